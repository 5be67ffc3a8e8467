/** Random attention problems for property tests. */
import fc from 'fast-check';
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
