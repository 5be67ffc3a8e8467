/** Every policy's schedule, run on the CPU device and measured against the float64 reference. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BatchPrefill } from '../../../src/attention/batch-prefill';
import { PagedKvCache } from '../../../src/attention/paged-kv';
import { reference } from '../../../src/attention/reference';
import { type Device, openDevice } from '../../../src/device/device';
import { policies } from '../../../src/schedule/policies/known';
import { normal } from '../../../src/tensor/random';
import { type AttentionCase, LSE_TOLERANCE, lseError, outputError, runCase, TOLERANCE } from '../../support/attention';
import { everyPolicy } from '../../support/policies';

const BATCHES: Readonly<Record<string, Pick<AttentionCase, 'kvLens' | 'qoLens' | 'causal'>>> = {
  decode: { kvLens: [0, 1, 17, 700, 64, 3000, 128] },
  prefill: { kvLens: [40, 300, 129], qoLens: [40, 70, 129], causal: true },
  mixed: { kvLens: [260, 900, 0, 33, 1500, 5], qoLens: [130, 1, 0, 1, 1, 4], causal: true },
};

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu');
});
afterAll(() => device.dispose());

describe.each(Object.entries(everyPolicy))('%s', (_name, policy) => {
  test.each(Object.entries(BATCHES))('a batch of %s', async (_kind, batch) => {
    const heads = { numQoHeads: 8, numKvHeads: 2, headDim: 64 };
    const c: AttentionCase = { ...heads, ...batch, pageSize: 16, dtype: 'float32', policy, seed: 5 };
    const outcome = await runCase(device, c);
    expect(outputError(outcome)).toBeLessThanOrEqual(TOLERANCE.float32);
    expect(lseError(outcome)).toBeLessThanOrEqual(LSE_TOLERANCE);
  });
});

describe('cascade over requests that share pages', () => {
  const heads = { numQoHeads: 8, numKvHeads: 2, headDim: 64 };
  test.each<[string, { qoLens: number[]; causal?: boolean; windowLeft?: number; pageSize?: number }]>([
    ['one query token each', { qoLens: [1, 1, 1, 1, 1] }],
    ['several, causal, some within the prefix', { qoLens: [3, 1, 9, 5, 12], causal: true }],
    ['a window that hides part of the prefix', { qoLens: [2, 1, 4, 1, 3], causal: true, windowLeft: 250 }],
    ['a window that hides all of it from some', { qoLens: [1, 1, 2, 1, 1], windowLeft: 60 }],
    ['pages of 5', { qoLens: [1, 2, 1, 1, 4], causal: true, pageSize: 5 }],
  ])('%s', async (_what, { qoLens, pageSize = 16, ...mask }) => {
    const cache = new PagedKvCache({ ...heads, device, numPages: 600, pageSize, dtype: 'float32' });
    for (const [pool, seed] of [
      [cache.k, 1],
      [cache.v, 2],
    ] as const) {
      const values = normal([...pool.shape], { seed, device });
      pool.copyFrom(values);
      values.dispose();
    }
    const outer = cache.allocate(240);
    const inner = cache.fork(outer);
    cache.grow(inner, 160);
    const requests = [outer, outer, inner, inner, inner].map((from) => cache.fork(from));
    for (const [r, request] of requests.entries()) cache.grow(request, [0, 70, 3, 130, 0][r]);
    const table = cache.pageTable(requests);
    const tokens = qoLens.reduce((sum, count) => sum + count, 0);
    const capacity = { maxBatch: 5, maxQoTokens: tokens, maxPages: 1000 };
    const wrapper = await BatchPrefill.create({
      ...heads,
      ...mask,
      causal: mask.causal ?? false,
      dtype: 'float32',
      device,
      pageSize,
      sharedPrefixes: true,
      capacity,
    });
    const { schedule } = wrapper.plan(qoLens, table, {
      policy: policies.cascade({ minPrefixTokens: 16, always: true }),
      validate: true,
    });
    expect(schedule.numRows).toBeGreaterThan(0);
    const q = normal([tokens, heads.numQoHeads, heads.headDim], { seed: 3, device });
    const { output, lse } = wrapper.run(q, cache);
    const expected = await reference(q, cache, table, wrapper.variant, qoLens);
    const outcome = {
      output: (await output.data()) as Float32Array,
      lse: (await lse.data()) as Float32Array,
      expected,
    };
    expect(outputError(outcome)).toBeLessThanOrEqual(TOLERANCE.float32);
    expect(lseError(outcome)).toBeLessThanOrEqual(LSE_TOLERANCE);
    for (const thing of [wrapper, q, output, lse, cache]) thing.dispose();
  });
});
