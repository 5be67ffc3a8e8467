import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { gatherKv } from '../../../src/attention/gather-kv';
import { type KvLayout, PagedKvCache, type PagedKvCacheOptions } from '../../../src/attention/paged-kv';
import { type Device, openDevice } from '../../../src/device/device';
import { capture } from '../../../src/graph/capture';
import { fromHost, zeros } from '../../../src/tensor/create';
import { normal } from '../../../src/tensor/random';
import type { Tensor } from '../../../src/tensor/tensor';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu');
});
afterAll(() => device.dispose());

const shape = { numKvHeads: 2, headDim: 8 };
const makeCache = (options: Partial<PagedKvCacheOptions> = {}): PagedKvCache =>
  new PagedKvCache({ ...shape, device, numPages: 12, pageSize: 4, dtype: 'float32', ...options });
const tokens = (count: number, seed: number): Tensor =>
  normal([count, shape.numKvHeads, shape.headDim], { seed, device });
const values = async (tensor: Tensor): Promise<number[]> => Array.from((await tensor.data()) as Float32Array);

describe('append', () => {
  for (const layout of ['NHD', 'HND'] as KvLayout[]) {
    for (const pageSize of [1, 4, 5]) {
      test(`what is appended is what attention will read, ${layout}, page size ${pageSize}`, async () => {
        const cache = makeCache({ layout, pageSize, numPages: 40 });
        const [a, b] = [cache.allocate(), cache.allocate()];
        const [first, second, third] = [tokens(7, 1), tokens(5, 2), tokens(2, 3)];
        cache.append([a, b], first, first, [4, 3]);
        cache.append([a], second, second);
        cache.append([b, a], third, first.slice(0, 0, 2));
        const { k, v, kvIndptr } = await gatherKv(cache, cache.pageTable([a, b]));
        expect(Array.from(kvIndptr)).toEqual([0, 10, 14]);
        const [one, two, three] = await Promise.all([first, second, third].map(values));
        const row = shape.numKvHeads * shape.headDim;
        expect(Array.from(k)).toEqual([
          ...one.slice(0, 4 * row),
          ...two,
          ...three.slice(row),
          ...one.slice(4 * row),
          ...three.slice(0, row),
        ]);
        expect(Array.from(v)).toEqual([
          ...one.slice(0, 4 * row),
          ...two,
          ...one.slice(row, 2 * row),
          ...one.slice(4 * row),
          ...one.slice(0, row),
        ]);
      });
    }
  }

  test('rounds to the pool’s type; float8 pools hold value / scale', async () => {
    const cache = makeCache({ dtype: 'float8_e4m3fn', kScale: 0.5, vScale: 4 });
    const request = cache.allocate();
    const exact = fromHost(new Float32Array(16).fill(3), { shape: [1, 2, 8], device });
    cache.append([request], exact, exact);
    const page = (pool: Tensor): Promise<number[]> => values(pool.slice(0, 0, 1).select(1, 0).contiguous());
    expect((await page(cache.k))[0]).toBe(6);
    expect((await page(cache.v))[0]).toBe(0.75);
    const { k, v } = await gatherKv(cache, cache.pageTable([request]));
    expect([k[0], v[0]]).toEqual([3, 3]);
  });

  test('copies the pool’s own type bit by bit', async () => {
    const cache = makeCache({ dtype: 'bfloat16' });
    const bits = Uint16Array.from({ length: 16 }, (_, i) => 0x7f80 + i); // infinity, and NaNs with payloads
    const k = fromHost(bits, { shape: [1, 2, 8], dtype: 'bfloat16', device });
    cache.append([cache.allocate()], k, k);
    for (const pool of [cache.k, cache.v]) expect(await pool.select(0, 0).slice(0, 0, 1).raw()).toEqual(bits);
  });

  test('refuses counts that do not add up, other shapes and dtypes, and changes nothing', () => {
    const cache = makeCache();
    const [a, b] = [cache.allocate(3), cache.allocate(1)];
    const k = tokens(3, 1);
    expect(() => cache.append([a, b], k, k)).toThrow('k has 3 tokens for 2 requests with counts [1.5, 1.5]');
    expect(() => cache.append([a, b], k, k, [1, 1])).toThrow('they must add up');
    expect(() => cache.append([a], zeros([3, 1, 8], { device }), k)).toThrow(
      'k has shape [3,1,8]; wanted [numTokens, 2, 8].',
    );
    expect(() => cache.append([a], k, tokens(2, 1))).toThrow('v has shape [2,2,8]; wanted [numTokens, 2, 8].');
    const ints = zeros([3, 2, 8], { device, dtype: 'int32' });
    expect(() => cache.append([a], ints, ints)).toThrow('k is int32; append takes float32, float16 or bfloat16.');
    const many = tokens(60, 1);
    expect(() => cache.append([a, b], many, many)).toThrow(/needs \d+ more pages of 4 tokens/);
    expect([cache.kvLen(a), cache.kvLen(b)]).toEqual([3, 1]);
  });

  test('appendToSlots can be captured, and skips slots outside the pool', async () => {
    const cache = makeCache({ numPages: 2 });
    const k = tokens(3, 5);
    const slots = fromHost(BigInt64Array.of(5n, -1n, 99n), { dtype: 'int64', device });
    cache.k.fill(0);
    const exec = capture(device, () => cache.appendToSlots(slots, k, k)).instantiate();
    expect((await values(cache.k)).every((x) => x === 0)).toBe(true);
    exec.replay();
    const pool = await values(cache.k);
    const row = shape.numKvHeads * shape.headDim;
    expect(pool.slice(5 * row, 6 * row)).toEqual((await values(k)).slice(0, row));
    expect(pool.filter((x) => x !== 0).length).toBe(row);
  });
});

describe('appendAt', () => {
  /** [request, position] of each new token; the order is neither the requests' nor the positions'. */
  const PLACES: [number, number][] = [
    [2, 9],
    [0, 4],
    [2, 0],
    [1, 0],
    [0, 3],
  ];
  const vector = (ids: readonly number[]): Tensor => fromHost(Int32Array.from(ids), { device });

  for (const layout of ['NHD', 'HND'] as KvLayout[]) {
    for (const pageSize of [1, 4, 5]) {
      test(`looks up each token's page on the device, ${layout}, page size ${pageSize}`, async () => {
        const cache = makeCache({ layout, pageSize, numPages: 40 });
        for (const pool of [cache.k, cache.v]) pool.fill(0);
        const kvLens = [5, 1, 10];
        const requests = kvLens.map(() => cache.allocate());
        // One token at a time, so that the pages of the requests are interleaved.
        for (let i = 0; i < 10; i++) requests.forEach((request, r) => void (i < kvLens[r] && cache.grow(request, 1)));
        const table = cache.pageTable(requests);
        const [k, v] = [tokens(PLACES.length, 1), tokens(PLACES.length, 2)];
        const batchIndices = vector(PLACES.map(([request]) => request));
        const positions = vector(PLACES.map(([, position]) => position));
        cache.appendAt({ ...table.toTensors(device), batchIndices, positions }, k, v);
        const dense = await gatherKv(cache, table);
        const row = shape.numKvHeads * shape.headDim;
        for (const [pool, source] of [
          [dense.k, await values(k)],
          [dense.v, await values(v)],
        ] as const) {
          const want = new Float32Array(pool.length);
          PLACES.forEach(([request, position], i) => {
            want.set(source.slice(i * row, (i + 1) * row), (dense.kvIndptr[request] + position) * row);
          });
          expect(pool).toEqual(want);
        }
      });
    }
  }

  test('skips what has no place: bad requests, positions and pages', async () => {
    const cache = makeCache({ numPages: 6 });
    cache.k.fill(0);
    const pagedKvIndptr = vector([0, 2, 1, 4]);
    const pagedKvIndices = vector([5, 6, -1]);
    const places: [number, number][] = [
      [-1, 0],
      [3, 0],
      [0, -1],
      [0, 8], // beyond the request's pages
      [0, 4], // page 6 of 6
      [1, 0], // its pages end before they begin
      [2, 4], // page -1
      [2, 8], // beyond the page list
      [0, 2],
      [2 ** 31 - 1, 2 ** 31 - 1],
    ];
    const k = tokens(places.length, 3);
    const batchIndices = vector(places.map(([request]) => request));
    const positions = vector(places.map(([, position]) => position));
    cache.appendAt({ batchIndices, positions, pagedKvIndptr, pagedKvIndices }, k, k);
    const pool = await values(cache.k);
    const row = shape.numKvHeads * shape.headDim;
    expect(pool.slice((5 * 4 + 2) * row, (5 * 4 + 3) * row)).toEqual((await values(k)).slice(8 * row, 9 * row));
    expect(pool.filter((x) => x !== 0).length).toBe(row);
  });

  test('in a graph it follows positions that grow on the device', async () => {
    const cache = makeCache();
    const requests = [cache.allocate(3), cache.allocate(7)];
    for (const request of requests) cache.reserve(request, 16);
    const table = cache.pageTable(requests);
    const places = {
      ...table.toTensors(device),
      batchIndices: vector([0, 1]),
      positions: vector(table.kvLens as never),
    };
    const k = tokens(2, 4);
    const graph = capture(device, () => {
      cache.appendAt(places, k, k);
      places.positions.increment();
    });
    const exec = graph.instantiate();
    for (let step = 0; step < 9; step++) {
      k.fill(step + 1);
      exec.replay();
    }
    expect(await places.positions.array()).toEqual([12, 16]);
    const { k: keys, kvIndptr } = await gatherKv(cache, table.withLengths([12, 16]));
    const row = shape.numKvHeads * shape.headDim;
    const firsts = [0, 1].map((r) =>
      Array.from({ length: 9 }, (_, step) => keys[(kvIndptr[r] + table.kvLens[r] + step) * row]),
    );
    expect(firsts).toEqual([
      [1, 2, 3, 4, 5, 6, 7, 8, 9],
      [1, 2, 3, 4, 5, 6, 7, 8, 9],
    ]);
  });

  test('refuses tables of another type, length or device', async () => {
    const cache = makeCache();
    const k = tokens(2, 1);
    const good = {
      batchIndices: vector([0, 0]),
      positions: vector([0, 1]),
      ...cache.pageTable([cache.allocate(2)]).toTensors(device),
    };
    expect(() => cache.appendAt({ ...good, positions: vector([0]) }, k, k)).toThrow(
      /positions is Tensor int32 \[1\].*; wanted contiguous int32 \[2\]/,
    );
    const long = zeros([2], { dtype: 'int64', device });
    expect(() => cache.appendAt({ ...good, batchIndices: long }, k, k)).toThrow('wanted contiguous int32 [2]');
    expect(() => cache.appendAt({ ...good, pagedKvIndptr: vector([]) }, k, k)).toThrow('pagedKvIndptr is empty');
    const other = await openDevice('cpu', { name: 'another' });
    const foreign = fromHost(Int32Array.of(0, 1), { device: other });
    expect(() => cache.appendAt({ ...good, positions: foreign }, k, k)).toThrow(
      expect.objectContaining({ code: 'DEVICE_MISMATCH' }),
    );
    other.dispose();
  });
});

describe('fork', () => {
  test('shares the prefix, copies a partly filled page, and both grow apart', async () => {
    const cache = makeCache();
    const parent = cache.allocate();
    const [prefix, left, right] = [tokens(6, 1), tokens(3, 2), tokens(3, 3)];
    cache.append([parent], prefix, prefix);
    const child = cache.fork(parent);
    expect(cache.pages(child)[0]).toBe(cache.pages(parent)[0]);
    expect(cache.pages(child)[1]).not.toBe(cache.pages(parent)[1]);
    cache.append([parent], left, left);
    cache.append([child], right, right);
    const { k } = await gatherKv(cache, cache.pageTable([parent, child]));
    const [p, l, r] = await Promise.all([prefix, left, right].map(values));
    expect(Array.from(k)).toEqual([...p, ...l, ...p, ...r]);
  });
});

describe('page table', () => {
  test('comes as tensors', async () => {
    const cache = makeCache();
    const requests = [cache.allocate(9), cache.allocate(0), cache.allocate(4)];
    const tensors = cache.pageTable(requests).toTensors(device);
    expect(await tensors.pagedKvIndptr.array()).toEqual([0, 3, 3, 4]);
    expect(await tensors.pagedKvIndices.array()).toEqual([0, 1, 2, 3]);
    expect(await tensors.pagedKvLastPageLen.array()).toEqual([1, 0, 4]);
    expect(tensors.pagedKvIndices.dtype).toBe('int32');
  });

  test('reserved pages are in the table, lengths are not changed by them', () => {
    const cache = makeCache();
    const request = cache.allocate(3);
    cache.reserve(request, 30);
    const table = cache.pageTable([request]);
    expect([table.pagedKvIndices.length, table.kvLens[0]]).toEqual([8, 3]);
    expect(table.withLengths([30]).kvLens[0]).toBe(30);
  });
});

test('a cache tells its size and gives its memory back', () => {
  const before = device.memory().usedBytes;
  const cache = makeCache({ dtype: 'bfloat16' });
  expect(cache.byteLength).toBe(2 * 12 * 4 * 2 * 8 * 2);
  expect(device.memory().usedBytes - before).toBeGreaterThanOrEqual(cache.byteLength);
  cache.dispose();
  cache.dispose();
  expect(device.memory().usedBytes).toBe(before);
  expect(() => makeCache({ layout: 'NDH' as KvLayout })).toThrow('layout is NDH; wanted NHD or HND.');
});

test('a cache beyond the device is refused before the host keeps its pages, and leaves nothing behind', async () => {
  const small = await openDevice('cpu', { threads: 1, memoryLimitBytes: 2 ** 16 });
  const options = { device: small, numKvHeads: 1, headDim: 8, pageSize: 1, dtype: 'bfloat16' } as const;
  for (const numPages of [3000, 2 ** 31 - 1])
    expect(() => new PagedKvCache({ ...options, numPages })).toThrow(
      expect.objectContaining({ code: 'OUT_OF_MEMORY' }),
    );
  expect(small.memory().usedBytes).toBe(0);
  expect(() => new PagedKvCache({ ...options, numPages: 2 ** 31 })).toThrow(
    'numPages is 2147483648; wanted an integer',
  );
  small.dispose();
});
