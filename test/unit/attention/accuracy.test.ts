/**
 * Attention on the CPU device against the float64 reference, over random problems. A failure prints fast-check's seed and
 * the smallest failing problem; WARPBOOK_SEED repeats a run, WARPBOOK_PROBLEMS changes how many are drawn.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { KvDType, QueryDType } from '../../../src/attention/variant';
import { type Device, openDevice } from '../../../src/device/device';
import { policies } from '../../../src/schedule/policies/known';
import type { Policy } from '../../../src/schedule/schedule';
import { roundToDType } from '../../../src/tensor/float-format';
import { type AttentionCase, LSE_TOLERANCE, lseError, outputError, runCase, TOLERANCE } from '../../support/attention';
import { everyPolicy } from '../../support/policies';

const NUM_PROBLEMS = Number(process.env.WARPBOOK_PROBLEMS ?? 2000);
const SEED = process.env.WARPBOOK_SEED ? Number(process.env.WARPBOOK_SEED) : undefined;

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu');
});
afterAll(() => device.dispose());

const policyArbitrary: fc.Arbitrary<Policy> = fc.oneof(
  fc.constantFrom(...Object.values(everyPolicy)),
  fc.integer({ min: 1, max: 9 }).map((count) => policies.fixedSplitCount(count)),
  fc.constantFrom(7, 64, 100, 512).map((tokens) => policies.fixedSplitSize(tokens)),
);

const length = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(0, 1, 15, 16, 17, 63, 64, 65, 128) },
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 300 }) },
  { weight: 1, arbitrary: fc.integer({ min: 300, max: 1500 }) },
);

/** Ragged, empty, one-token, a last page of one token, each page size, head ratios 1 to 8, every mask, every dtype. */
const caseArbitrary: fc.Arbitrary<AttentionCase> = fc
  .record({
    requests: fc.array(fc.record({ kvLen: length, qoLen: fc.oneof(fc.constant(1), fc.integer({ min: 0, max: 9 })) }), {
      minLength: 1,
      maxLength: 5,
    }),
    prefill: fc.boolean(),
    pageSize: fc.constantFrom(1, 5, 8, 16, 64),
    layout: fc.constantFrom('NHD' as const, 'HND' as const),
    numKvHeads: fc.integer({ min: 1, max: 3 }),
    groupSize: fc.integer({ min: 1, max: 8 }),
    headDim: fc.constantFrom(8, 24, 64, 64, 128, 128, 256),
    dtype: fc.constantFrom('float32' as const, 'float16' as const, 'bfloat16' as const),
    kvKind: fc.constantFrom('same', 'same', 'float8_e4m3fn', 'float8_e5m2'),
    causal: fc.boolean(),
    windowLeft: fc.oneof(fc.constant(-1), fc.constant(-1), fc.integer({ min: 0, max: 200 })),
    logitsSoftCap: fc.constantFrom(0, 0, 30),
    smScale: fc.constantFrom(undefined, 0.2),
    sinks: fc.constantFrom(false, false, true),
    alibi: fc.constantFrom(false, false, true),
    scales: fc.constantFrom([1, 1], [0.5, 1.75]),
    padding: fc.integer({ min: 0, max: 2 }),
    policy: policyArbitrary,
    seed: fc.integer({ min: 0, max: 2 ** 30 }),
  })
  .map(({ requests, prefill, groupSize, kvKind, scales, ...rest }) => ({
    ...rest,
    numQoHeads: rest.numKvHeads * groupSize,
    kvLens: requests.map((r) => r.kvLen),
    qoLens: prefill ? requests.map((r) => r.qoLen) : undefined,
    kvDtype: (kvKind === 'same' ? rest.dtype : kvKind) as KvDType,
    kScale: kvKind === 'same' ? 1 : scales[0],
    vScale: kvKind === 'same' ? 1 : scales[1],
  }));

/**
 * The bound of a dtype; in outputs of less than 1,024 numbers 1.2 times the error of rounding the exact result to it once, where that is
 * more: over few numbers that error alone comes near the bound, and may pass it.
 */
function outputBound(dtype: QueryDType, exact: Float64Array): number {
  if (exact.length >= 1024) return TOLERANCE[dtype];
  const rounding = Math.hypot(...exact.map((x) => x - roundToDType(x, dtype))) / (Math.hypot(...exact) || 1);
  return Math.max(TOLERANCE[dtype], 1.2 * rounding);
}

async function check(c: AttentionCase): Promise<void> {
  const outcome = await runCase(device, c);
  const bound = outputBound(c.dtype ?? 'bfloat16', outcome.expected.output);
  expect(outputError(outcome), 'relative L2 error of the output').toBeLessThanOrEqual(bound);
  expect(lseError(outcome), 'error of the LSE').toBeLessThanOrEqual(LSE_TOLERANCE);
  const planned = outcome.expected.output.length;
  expect(outcome.output.subarray(0, planned).some(Number.isNaN), 'NaN in planned rows').toBe(false);
  expect(outcome.output.subarray(planned).every(Number.isNaN), 'padding rows untouched').toBe(true);
}

describe('attention on the CPU device', () => {
  test(`meets the reference on ${NUM_PROBLEMS} random problems`, { timeout: 300_000 }, async () => {
    await fc.assert(fc.asyncProperty(caseArbitrary, check), { numRuns: NUM_PROBLEMS, seed: SEED });
  });

  for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
    test(`stays accurate at 100,000 tokens, ${dtype}`, { timeout: 60_000 }, async () => {
      for (const policy of [policies.noSplit, policies.fixedSplitSize(4096)]) {
        await check({
          kvLens: [100_000, 3],
          numQoHeads: 4,
          numKvHeads: 1,
          headDim: 64,
          dtype,
          pageSize: 16,
          policy,
          seed: 7,
        });
      }
    });
  }

  test('gives 0 and −∞ for requests without keys', async () => {
    const outcome = await runCase(device, {
      kvLens: [0, 0],
      numQoHeads: 4,
      numKvHeads: 2,
      headDim: 64,
      dtype: 'float32',
      pageSize: 16,
      policy: policies.binarySearch,
      seed: 1,
    });
    expect(outcome.output.every((x) => x === 0)).toBe(true);
    expect(outcome.lse.every((x) => x === Number.NEGATIVE_INFINITY)).toBe(true);
  });

  test('gives 0 and the sink for requests without keys', async () => {
    const c = { kvLens: [0, 3, 0], numQoHeads: 4, numKvHeads: 2, headDim: 64, dtype: 'float32' as const, pageSize: 16 };
    const outcome = await runCase(device, { ...c, policy: policies.binarySearch, seed: 1, sinks: true });
    expect(lseError(outcome)).toBeLessThanOrEqual(LSE_TOLERANCE);
    const row = 4 * 64;
    expect([...outcome.output.subarray(0, row), ...outcome.output.subarray(2 * row)].every((x) => x === 0)).toBe(true);
    expect([...outcome.lse.subarray(0, 4)]).toEqual([...outcome.lse.subarray(8)]);
    expect(outcome.lse.every(Number.isFinite)).toBe(true);
  });
});
