/** Random attention problems for property tests. */
import fc from 'fast-check';
import { findSharedPrefixes } from '../../src/schedule/prefixes';
import { type AttentionProblem, makeProblem } from '../../src/schedule/problem';

/** Ragged, empty, one-token and page-aligned lengths, every mask, head ratios 1 to 8, decode and several query tokens. */
export const problemArbitrary: fc.Arbitrary<AttentionProblem> = fc
  .record({
    pageSize: fc.constantFrom(1, 5, 8, 16, 64),
    numKvHeads: fc.constantFrom(1, 2, 4, 8),
    groupSize: fc.integer({ min: 1, max: 8 }),
    causal: fc.boolean(),
    windowLeft: fc.oneof(fc.constant(-1), fc.integer({ min: 0, max: 700 })),
    requests: fc.array(
      fc.record({
        kvLen: fc.oneof(fc.constantFrom(0, 1, 15, 16, 17, 64, 65), fc.integer({ min: 0, max: 5000 })),
        qoLen: fc.oneof(fc.constant(1), fc.integer({ min: 0, max: 40 })),
      }),
      { maxLength: 12 },
    ),
  })
  .map(({ pageSize, numKvHeads, groupSize, causal, windowLeft, requests }) =>
    makeProblem({
      kvLens: requests.map((r) => r.kvLen),
      qoLens: requests.map((r) => r.qoLen),
      numKvHeads,
      numQoHeads: numKvHeads * groupSize,
      headDim: 64,
      pageSize,
      causal,
      windowLeft,
    }),
  );

/** The same problems with prefixes that requests share: up to three levels of up to two branches each. */
export const sharedProblemArbitrary: fc.Arbitrary<AttentionProblem> = fc
  .record({
    problem: problemArbitrary,
    span: fc.integer({ min: 1, max: 12 }),
    branches: fc.array(fc.tuple(fc.nat(1), fc.nat(1), fc.nat(1)), { minLength: 12, maxLength: 12 }),
  })
  .map(({ problem, span, branches }) => {
    const blockTokens = problem.pageSize * Math.ceil(64 / problem.pageSize);
    const prefixes = findSharedPrefixes({
      blockTokens,
      numBlocks: problem.kvLens.map((length) => Math.floor(length / blockTokens)),
      // Blocks beyond the third level are a request's own.
      blockAt: (r, i) => branches[r][Math.floor(i / span)] ?? 2 + r,
    });
    const qoLens = problem.kvLens.map((_, r) => problem.qoIndptr[r + 1] - problem.qoIndptr[r]);
    return makeProblem({ ...problem, qoLens, prefixes });
  });
