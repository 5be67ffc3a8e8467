/**
 * The nine items of FlashInfer's issue 187 ("Make flashinfer kernels cuda graphs friendly"), one named test each, on the
 * CPU device; docs/architecture.md lists them.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { BatchDecode } from '../../../src/attention/batch-decode';
import { BatchPrefill } from '../../../src/attention/batch-prefill';
import { PageTable } from '../../../src/attention/page-table';
import { PagedKvCache } from '../../../src/attention/paged-kv';
import { reference } from '../../../src/attention/reference';
import type { Buffer } from '../../../src/device/buffer';
import { type Device, openDevice } from '../../../src/device/device';
import { capture } from '../../../src/graph/capture';
import type { GraphExec } from '../../../src/graph/graph-exec';
import { ScheduleBuilder } from '../../../src/schedule/builder';
import { machines } from '../../../src/schedule/machine';
import { policies } from '../../../src/schedule/policies/known';
import type { Policy } from '../../../src/schedule/schedule';
import { full } from '../../../src/tensor/create';
import { normal } from '../../../src/tensor/random';
import type { Tensor } from '../../../src/tensor/tensor';

const heads = { numQoHeads: 8, numKvHeads: 2, headDim: 64 };
const MAX_BATCH = 6;
const MAX_TOKENS = 48;

let device: Device;
let cache: PagedKvCache;
let decode: BatchDecode;
let prefill: BatchPrefill;
let q: Tensor;
let out: Tensor;
let lse: Tensor;

beforeAll(async () => {
  device = await openDevice('cpu');
  cache = new PagedKvCache({ ...heads, device, numPages: 640, pageSize: 16, dtype: 'float32' });
  for (const [pool, seed] of [
    [cache.k, 1],
    [cache.v, 2],
  ] as const) {
    const values = normal([...pool.shape], { seed, device });
    pool.copyFrom(values);
    values.dispose();
  }
  const capacity = { maxBatch: MAX_BATCH, maxQoTokens: MAX_TOKENS, maxPages: 640 };
  decode = await BatchDecode.create({ ...heads, device, dtype: 'float32', capacity, machine: machines.h100 });
  prefill = await BatchPrefill.create({ ...heads, device, dtype: 'float32', capacity, machine: machines.h100 });
  q = normal([MAX_TOKENS, heads.numQoHeads, heads.headDim], { seed: 3, device });
  out = full([MAX_TOKENS, heads.numQoHeads, heads.headDim], 0, { device });
  lse = full([MAX_TOKENS, heads.numQoHeads], 0, { device });
});
afterAll(() => device.dispose());
beforeEach(() => {
  out.fill(Number.NaN);
  lse.fill(Number.NaN);
});

/** Page table of requests whose pages lie anywhere in the pool. */
function pagesFor(kvLens: readonly number[]): PageTable {
  const indptr = [0];
  const indices: number[] = [];
  let next = 5;
  for (const length of kvLens) {
    for (let page = 0; page < Math.ceil(length / 16); page++) {
      indices.push(next % 640);
      next += 7;
    }
    indptr.push(indices.length);
  }
  return new PageTable({ pagedKvIndptr: indptr, pagedKvIndices: indices, kvLens, pageSize: 16, numPages: 640 });
}

/** Relative L2 error of the rows of `out` that a batch of `qoLens` fills; the other rows must still be NaN. */
async function errorOf(table: PageTable, qoLens: readonly number[], causal: boolean): Promise<number> {
  const variant = causal ? prefill.variant : decode.variant;
  const { output: want, lse: wantLse } = await reference(q, cache, table, variant, qoLens);
  const [got, gotLse] = (await Promise.all([out.data(), lse.data()])) as [Float32Array, Float32Array];
  expect(got.subarray(want.length).every(Number.isNaN), 'rows beyond the batch are untouched').toBe(true);
  for (let i = 0; i < wantLse.length; i++)
    expect(Math.abs(gotLse[i] - wantLse[i])).toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(wantLse[i])));
  let [difference, norm] = [0, 0];
  for (let i = 0; i < want.length; i++) {
    difference += (got[i] - want[i]) ** 2;
    norm += want[i] ** 2;
  }
  return Math.sqrt(difference / norm);
}

const ones = (n: number): number[] => Array<number>(n).fill(1);

/** A decode graph captured with one small request. */
function captureDecode(): GraphExec {
  decode.plan(pagesFor([20]));
  return capture(device, () => void decode.run(q, cache, { out, lse })).instantiate();
}

/** A prefill graph captured with one small request. */
function capturePrefill(): GraphExec {
  prefill.plan([2], pagesFor([20]));
  return capture(device, () => void prefill.run(q, cache, { out, lse })).instantiate();
}

describe('the nine items', () => {
  test('1: paged prefill returns LSE', async () => {
    const table = pagesFor([70, 5]);
    prefill.plan([12, 5], table);
    prefill.run(q, cache, { out, lse });
    expect(await errorOf(table, [12, 5], true)).toBeLessThanOrEqual(2e-6);
  });

  test('2: a captured run follows another batch size', async () => {
    const [decodeExec, prefillExec] = [captureDecode(), capturePrefill()];
    for (const kvLens of [[300, 17, 1], [40], [9, 9, 9, 9, 9, 9], []]) {
      decode.plan(pagesFor(kvLens));
      out.fill(Number.NaN);
      decodeExec.replay();
      const untouched = ((await out.data()) as Float32Array).every(Number.isNaN);
      expect(untouched, 'an empty batch writes nothing').toBe(kvLens.length === 0);
      if (kvLens.length > 0)
        expect(await errorOf(pagesFor(kvLens), ones(kvLens.length), false)).toBeLessThanOrEqual(2e-6);
    }
    const table = pagesFor([100, 33, 8]);
    prefill.plan([7, 30, 8], table);
    out.fill(Number.NaN);
    prefillExec.replay();
    expect(await errorOf(table, [7, 30, 8], true)).toBeLessThanOrEqual(2e-6);
  });

  test('3: tiles are dispatched from a queue in device memory', async () => {
    const queued: Policy = (problem, machine) => {
      const builder = new ScheduleBuilder('queued', problem, machine, { dispatch: 'queue' });
      builder.forEachQueryTile((tile) => builder.splitByChunk(tile, 64));
      return builder.build('inOrder');
    };
    const exec = captureDecode();
    for (const kvLens of [
      [1000, 3],
      [64, 640, 6],
    ]) {
      decode.plan(pagesFor(kvLens), { policy: queued });
      for (let again = 0; again < 3; again++) {
        out.fill(Number.NaN);
        exec.replay();
        expect(await errorOf(pagesFor(kvLens), ones(kvLens.length), false)).toBeLessThanOrEqual(2e-6);
      }
    }
  });

  test('4: the tile count changes between replays', async () => {
    const exec = captureDecode();
    const table = pagesFor([2000, 900]);
    const counts = [];
    for (const policy of [policies.noSplit, policies.fixedSplitSize(32), policies.fixedSplitCount(3)]) {
      counts.push(decode.plan(table, { policy }).schedule.numTiles);
      out.fill(Number.NaN);
      exec.replay();
      expect(await errorOf(table, [1, 1], false)).toBeLessThanOrEqual(2e-6);
    }
    expect(new Set(counts).size).toBe(3);
  });

  test('5: a replay depends on device memory alone', async () => {
    const exec = captureDecode();
    const first = pagesFor([500, 20]);
    decode.plan(first);
    exec.replay();
    // Replanned before the wrapper is asked for anything: what was enqueued follows the plan that it stood behind.
    decode.plan(pagesFor([3]));
    expect(await errorOf(first, [1, 1], false)).toBeLessThanOrEqual(2e-6);

    // Another wrapper's plan, copied into this one's memory behind its back: the replay follows the memory, whatever
    // this wrapper believes.
    const other = await BatchDecode.create({
      ...heads,
      device,
      dtype: 'float32',
      capacity: { maxBatch: MAX_BATCH, maxQoTokens: MAX_TOKENS, maxPages: 640 },
      machine: machines.h100,
    });
    const table = pagesFor([70, 900, 1]);
    other.plan(table, { policy: policies.fixedSplitSize(64) });
    type Inside = { workspace: { image: Buffer; pageList: { buffer: Buffer } } };
    const [from, to] = [other, decode].map((wrapper) => (wrapper as unknown as Inside).workspace);
    const before = await to.pageList.buffer.read();
    to.image.copyFrom(from.image);
    to.pageList.buffer.copyFrom(from.pageList.buffer);
    out.fill(Number.NaN);
    exec.replay();
    expect(await errorOf(table, [1, 1, 1], false)).toBeLessThanOrEqual(2e-6);
    // A wrapper sends what differs from what it sent before: it finds its own list again.
    to.pageList.buffer.write(before);
    other.dispose();
  });

  test('6: split, merge and mask are all read from device memory', async () => {
    const exec = capturePrefill();
    for (const [qoLens, kvLens] of [
      [[1], [1500]],
      [[40], [40]],
      [
        [3, 20],
        [1200, 300],
      ],
    ]) {
      const table = pagesFor(kvLens);
      const { schedule } = prefill.plan(qoLens, table);
      out.fill(Number.NaN);
      exec.replay();
      expect(schedule.numMergeGroups > 0).toBe(Math.max(...kvLens) > 128);
      expect(await errorOf(table, qoLens, true)).toBeLessThanOrEqual(2e-6);
    }
  });

  test('7: the number of query tiles is in device memory', async () => {
    const exec = capturePrefill();
    const queryTiles = [];
    for (const qoLens of [[4], [48], [17, 17]]) {
      const table = pagesFor(qoLens);
      queryTiles.push(prefill.plan(qoLens, table, { policy: policies.noSplit }).schedule.numTiles);
      out.fill(Number.NaN);
      exec.replay();
      expect(await errorOf(table, qoLens, true)).toBeLessThanOrEqual(2e-6);
    }
    expect(new Set(queryTiles).size).toBe(3);
  });

  test('8: a bad page index is skipped and counted on the device', async () => {
    // The host doesn't know the pool's size here, so only the device can find out.
    for (const bad of [100_000, 640]) {
      const wrapper = await BatchDecode.create({
        ...heads,
        device,
        dtype: 'float32',
        capacity: { maxBatch: 1, maxPages: 8 },
      });
      const table = new PageTable({ pagedKvIndptr: [0, 3], pagedKvIndices: [4, bad, 9], kvLens: [48], pageSize: 16 });
      const without = new PageTable({ pagedKvIndptr: [0, 2], pagedKvIndices: [4, 9], kvLens: [32], pageSize: 16 });
      Object.defineProperty(table, 'maxPage', { value: 9 });
      wrapper.plan(table, { policy: policies.noSplit });
      wrapper.run(q, cache, { out, lse });
      expect(await errorOf(without, [1], false)).toBeLessThanOrEqual(2e-6);
      expect((await wrapper.status()).skippedPages).toBeGreaterThan(0);
      wrapper.dispose();
    }
  });

  test('9: padded inputs, and shorter replays leave padding untouched', async () => {
    const exec = captureDecode();
    for (const kvLens of [
      [10, 20, 30, 40, 50, 60],
      [10, 20],
    ]) {
      decode.plan(pagesFor(kvLens));
      out.fill(Number.NaN);
      lse.fill(Number.NaN);
      exec.replay();
      expect(await errorOf(pagesFor(kvLens), ones(kvLens.length), false)).toBeLessThanOrEqual(2e-6);
      const got = (await lse.data()) as Float32Array;
      expect(got.subarray(kvLens.length * heads.numQoHeads).every(Number.isNaN)).toBe(true);
    }
    expect(() => decode.plan(pagesFor(ones(7)))).toThrow(
      'plan: the batch needs maxBatch = 7, BatchDecode was made for 6; raise the option capacity.maxBatch.',
    );
  });
});
