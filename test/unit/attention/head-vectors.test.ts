/** Attention sinks and ALiBi slopes: what a wrapper's run makes of them, in graphs too, and what it refuses. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { alibiSlopes } from '../../../src/attention/alibi';
import { BatchDecode } from '../../../src/attention/batch-decode';
import type { PageTable } from '../../../src/attention/page-table';
import { PagedKvCache } from '../../../src/attention/paged-kv';
import { reference } from '../../../src/attention/reference';
import { type Device, openDevice } from '../../../src/device/device';
import { wrapperBundle } from '../../../src/display/attention-display';
import { capture } from '../../../src/graph/capture';
import { fromHost, zeros } from '../../../src/tensor/create';
import { normal } from '../../../src/tensor/random';
import type { Tensor } from '../../../src/tensor/tensor';

const heads = { numQoHeads: 12, numKvHeads: 4, headDim: 64 };
const KV_LENS = [300, 0, 41];

let device: Device;
let cache: PagedKvCache;
let table: PageTable;
let q: Tensor;

beforeAll(async () => {
  device = await openDevice('cpu');
  cache = new PagedKvCache({ ...heads, device, numPages: 32, dtype: 'float32' });
  for (const [pool, seed] of [
    [cache.k, 1],
    [cache.v, 2],
  ] as const) {
    const values = normal([...pool.shape], { seed, device });
    pool.copyFrom(values);
    values.dispose();
  }
  table = cache.pageTable(KV_LENS.map((kvLen) => cache.allocate(kvLen)));
  q = normal([KV_LENS.length, heads.numQoHeads, heads.headDim], { seed: 3, device });
});
afterAll(() => device.dispose());

const makeDecode = (options: object = {}): Promise<BatchDecode> =>
  BatchDecode.create({ ...heads, device, dtype: 'float32', capacity: { maxBatch: 4 }, ...options });
const makeSinks = (seed: number): Tensor => normal([heads.numQoHeads], { seed, std: 2, device });

describe('alibiSlopes', () => {
  test('are a geometric sequence down to 2^−8 where heads are a power of two', async () => {
    const slopes = (await alibiSlopes(8, { device }).data()) as Float32Array;
    expect([...slopes]).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((i) => 2 ** -i));
    expect([...((await alibiSlopes(1, { device }).data()) as Float32Array)]).toEqual([2 ** -8]);
  });

  test('else also every other one of twice as many', async () => {
    const slopes = (await alibiSlopes(12, { device }).data()) as Float32Array;
    const between = [-0.5, -1.5, -2.5, -3.5].map((exponent) => Math.fround(2 ** exponent));
    expect([...slopes]).toEqual([...[1, 2, 3, 4, 5, 6, 7, 8].map((i) => 2 ** -i), ...between]);
  });

  test('refuse a number of heads that is none', () => {
    expect(() => alibiSlopes(0)).toThrow('numQoHeads is 0');
  });
});

describe('a wrapper with sinks and ALiBi', () => {
  test('takes those of each layer with run, and a graph holds the tensors, not their values', async () => {
    const decode = await makeDecode({ sinks: true, alibi: true });
    decode.plan(table);
    const slopes = alibiSlopes(heads.numQoHeads, { device });
    const layers = [makeSinks(4), makeSinks(5)].map((sinks) => ({
      given: { sinks, alibiSlopes: slopes },
      out: zeros([KV_LENS.length, heads.numQoHeads, heads.headDim], { device }),
      lse: zeros([KV_LENS.length, heads.numQoHeads], { device }),
    }));
    const graph = capture(device, () => {
      for (const { given, out, lse } of layers) decode.run(q, cache, { ...given, out, lse });
    });
    const exec = graph.instantiate();
    for (const round of [0, 1]) {
      exec.replay();
      for (const { given, out, lse } of layers) {
        const want = await reference(q, cache, table, decode.variant, undefined, given);
        const got = (await out.data()) as Float32Array;
        const gotLse = (await lse.data()) as Float32Array;
        expect(Math.max(...want.output.map((x, i) => Math.abs(x - got[i])))).toBeLessThan(2e-6);
        expect(Math.max(...want.lse.map((x, i) => Math.abs(x - gotLse[i])))).toBeLessThan(1e-5);
      }
      if (round === 0) layers[0].given.sinks.fill(1.5);
    }
    layers[1].given.sinks.dispose();
    expect(() => exec.replay()).toThrow(expect.objectContaining({ code: 'GRAPH_STALE' }));
    decode.dispose();
  });

  test('shows them in its facts', async () => {
    const decode = await makeDecode({ sinks: true, alibi: true });
    const bundle = wrapperBundle(decode, {});
    expect(bundle['text/plain']).toContain('ALiBi, attention sinks');
    decode.dispose();
  });

  test('refuses a missing one, one too many, and one that does not fit', async () => {
    const [plain, sunk] = [await makeDecode(), await makeDecode({ sinks: true })];
    for (const decode of [plain, sunk]) decode.plan(table);
    const sinks = makeSinks(6);
    expect(() => sunk.run(q, cache)).toThrow(
      'run got no sinks, but this BatchDecode was made with { sinks: true }; pass { sinks }.',
    );
    expect(() => plain.run(q, cache, { sinks })).toThrow(
      'run got sinks, but this BatchDecode was made without; create it with { sinks: true }.',
    );
    expect(() => plain.run(q, cache, { alibiSlopes: sinks })).toThrow('create it with { alibi: true }.');
    for (const wrong of [
      zeros([heads.numKvHeads], { device }),
      zeros([heads.numQoHeads], { dtype: 'bfloat16', device }),
      zeros([heads.numQoHeads, 2], { device }).select(1, 0),
    ]) {
      expect(() => sunk.run(q, cache, { sinks: wrong })).toThrow(
        /sinks is .*; wanted contiguous float32 \[12\], one for each query head/,
      );
    }
    const other = await openDevice('cpu', { name: 'another' });
    expect(() => sunk.run(q, cache, { sinks: fromHost(new Float32Array(12), { device: other }) })).toThrow(
      'sinks is on another, BatchDecode on cpu',
    );
    other.dispose();
    for (const decode of [plain, sunk]) decode.dispose();
  });
});
