/** The wrappers: replanning under a captured graph, capacity, staging, and an error for each kind of bad input. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { BatchDecode } from '../../../src/attention/batch-decode';
import { BatchPrefill } from '../../../src/attention/batch-prefill';
import { PageTable } from '../../../src/attention/page-table';
import { PagedKvCache } from '../../../src/attention/paged-kv';
import { referenceAttention } from '../../../src/attention/reference';
import { type Device, openDevice } from '../../../src/device/device';
import { scope } from '../../../src/device/scope';
import { capture } from '../../../src/graph/capture';
import { ScheduleBuilder } from '../../../src/schedule/builder';
import { machines } from '../../../src/schedule/machine';
import { policies } from '../../../src/schedule/policies/known';
import type { Policy } from '../../../src/schedule/schedule';
import { full, zeros } from '../../../src/tensor/create';
import { normal } from '../../../src/tensor/random';
import type { Tensor } from '../../../src/tensor/tensor';

const heads = { numQoHeads: 4, numKvHeads: 2, headDim: 64 };
let device: Device;
let garbage: { dispose(): void }[];
beforeAll(async () => {
  device = await openDevice('cpu');
});
afterAll(() => device.dispose());
beforeEach(() => {
  garbage = [];
});
afterEach(() => {
  for (const resource of garbage) resource.dispose();
});
const keep = <T extends { dispose(): void }>(resource: T): T => {
  garbage.push(resource);
  return resource;
};

function filledCache(numPages: number, dtype: 'float32' | 'bfloat16' = 'float32'): PagedKvCache {
  const cache = keep(new PagedKvCache({ ...heads, device, numPages, dtype }));
  for (const [pool, seed] of [
    [cache.k, 1],
    [cache.v, 2],
  ] as const) {
    const values = normal([...pool.shape], { seed, dtype, device });
    pool.copyFrom(values);
    values.dispose();
  }
  return cache;
}
const queries = (tokens: number, dtype: 'float32' | 'bfloat16' = 'float32'): Tensor =>
  keep(normal([tokens, heads.numQoHeads, heads.headDim], { seed: 3, dtype, device }));
const makeDecode = async (options: object = {}): Promise<BatchDecode> =>
  keep(await BatchDecode.create({ ...heads, device, dtype: 'float32', capacity: { maxBatch: 4 }, ...options }));

describe('capture once, replan, replay', () => {
  test('captured at 1,000 tokens, replayed at 100,000: the bits of an eager run', { timeout: 60_000 }, async () => {
    const cache = filledCache(12_600, 'bfloat16');
    const decode = await makeDecode({
      dtype: 'bfloat16',
      machine: machines.h100,
      capacity: { maxBatch: 2, maxPages: 12_600 },
    });
    const q = queries(2, 'bfloat16');
    const out = keep(full([2, heads.numQoHeads, heads.headDim], Number.NaN, { dtype: 'bfloat16', device }));
    const lse = keep(full([2, heads.numQoHeads], Number.NaN, { device }));
    const requests = [cache.allocate(1000), cache.allocate(1000)];
    decode.plan(cache.pageTable(requests));
    const exec = keep(keep(capture(device, () => void decode.run(q, cache, { out, lse }))).instantiate());
    for (const request of requests) cache.grow(request, 99_000);
    for (const policy of [policies.binarySearch, policies.noSplit, policies.fixedSplitSize(2048)]) {
      decode.plan(cache.pageTable(requests), { policy });
      out.fill(Number.NaN);
      exec.replay();
      const eager = decode.run(q, cache);
      keep(eager.output);
      keep(eager.lse);
      expect(await out.raw()).toEqual(await eager.output.raw());
      expect(await lse.raw()).toEqual(await eager.lse.raw());
    }
  });

  test('the same schedule gives the same bits with any number of threads', async () => {
    const results: Uint8Array[] = [];
    for (const threads of [1, 2, 5]) {
      const own = await openDevice('cpu', { threads });
      const cache = new PagedKvCache({ ...heads, device: own, numPages: 200, dtype: 'float32' });
      cache.k.copyFrom(normal([...cache.k.shape], { seed: 1, device: own }));
      cache.v.copyFrom(normal([...cache.v.shape], { seed: 2, device: own }));
      const decode = await BatchDecode.create({
        ...heads,
        device: own,
        dtype: 'float32',
        machine: machines.h100,
        capacity: { maxBatch: 2 },
      });
      decode.plan(cache.pageTable([cache.allocate(2900), cache.allocate(70)]));
      const { output } = decode.run(normal([2, heads.numQoHeads, heads.headDim], { seed: 3, device: own }), cache);
      results.push((await output.raw()) as Uint8Array);
      own.dispose();
    }
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });

  test('ragged prefill agrees with the reference', async () => {
    const prefill = keep(
      await BatchPrefill.create({
        ...heads,
        device,
        dtype: 'float32',
        kv: 'ragged',
        capacity: { maxBatch: 3, maxQoTokens: 200 },
      }),
    );
    const [k, v] = [1, 2].map((seed) => keep(normal([160, heads.numKvHeads, heads.headDim], { seed, device })));
    const q = queries(120);
    prefill.plan([100, 0, 20], [100, 0, 60]);
    const { output } = prefill.run(q, { k, v });
    keep(output);
    const want = referenceAttention(
      {
        q: (await q.data()) as Float32Array,
        k: (await k.data()) as Float32Array,
        v: (await v.data()) as Float32Array,
        qoIndptr: [0, 100, 100, 120],
        kvIndptr: [0, 100, 100, 160],
      },
      prefill.variant,
    );
    const got = (await output.data()) as Float32Array;
    expect(Math.max(...want.output.map((x, i) => Math.abs(x - got[i])))).toBeLessThan(1e-5);
  });

  test('a graph refuses a plan that its tensors are too small for', async () => {
    const cache = filledCache(20);
    const decode = await makeDecode();
    const [q, out] = [queries(1), keep(zeros([1, heads.numQoHeads, heads.headDim], { device }))];
    const lse = keep(zeros([1, heads.numQoHeads], { device }));
    const requests = [cache.allocate(5), cache.allocate(6)];
    decode.plan(cache.pageTable([requests[0]]));
    const exec = keep(keep(capture(device, () => void decode.run(q, cache, { out, lse }))).instantiate());
    decode.plan(cache.pageTable(requests));
    expect(() => exec.replay()).toThrow('the plan has 2 query tokens, the graph was captured with q of 1');
    decode.plan(cache.pageTable([requests[0]]));
    exec.replay();
  });

  test('a graph refuses to replay when the wrapper or the cache is gone', async () => {
    const cache = filledCache(4);
    const decode = await makeDecode();
    const [q, out] = [queries(1), keep(zeros([1, heads.numQoHeads, heads.headDim], { device }))];
    const lse = keep(zeros([1, heads.numQoHeads], { device }));
    decode.plan(cache.pageTable([cache.allocate(5)]));
    const exec = keep(keep(capture(device, () => void decode.run(q, cache, { out, lse }))).instantiate());
    decode.dispose();
    expect(() => exec.replay()).toThrow(/BatchDecode/);
  });
});

describe('staging', () => {
  test('a full ring throws PLAN_QUEUE_FULL, ready() waits, nothing is lost', async () => {
    const cache = filledCache(64);
    const decode = await makeDecode();
    const table = cache.pageTable([cache.allocate(900)]);
    const out = keep(zeros([1, heads.numQoHeads, heads.headDim], { device }));
    const lse = keep(zeros([1, heads.numQoHeads], { device }));
    const q = queries(1);
    let refused = 0;
    for (let i = 0; i < 300; i++) {
      try {
        decode.plan(table);
      } catch (error) {
        expect(error).toMatchObject({ code: 'PLAN_QUEUE_FULL' });
        refused++;
        await decode.currentPlan?.ready();
        decode.plan(table);
      }
      decode.run(q, cache, { out, lse });
    }
    await device.synchronize();
    expect(refused).toBeGreaterThan(0);
    expect(((await out.data()) as Float32Array).every(Number.isFinite)).toBe(true);
  });

  test('only what changed of a page table is sent', async () => {
    const cache = filledCache(64);
    const decode = await makeDecode();
    const request = cache.allocate(500);
    const sent = (): number => {
      const table = cache.pageTable([request]);
      const first = decode.plan(table).cost.uploadedBytes;
      return first - decode.plan(table).cost.uploadedBytes;
    };
    // The ranges of the four requests that there may be, then 32 pages.
    expect(sent()).toBe(4 * 8 + 32 * 4 - 4);
    expect(sent()).toBe(0);
    // From the number of its pages to the new page.
    cache.grow(request, 16);
    expect(sent()).toBe(7 * 4 + 33 * 4);
  });

  test('10,000 alloc, free, plan and replay cycles end with the bytes they began with', {
    timeout: 120_000,
  }, async () => {
    // A device of its own: what other tests leave to the collector must not be counted here.
    const own = await openDevice('cpu');
    const cache = new PagedKvCache({ ...heads, device: own, numPages: 64, dtype: 'float32' });
    const decode = await BatchDecode.create({ ...heads, device: own, dtype: 'float32', capacity: { maxBatch: 4 } });
    const q = normal([4, heads.numQoHeads, heads.headDim], { seed: 3, device: own });
    const out = zeros([4, heads.numQoHeads, heads.headDim], { device: own });
    const lse = zeros([4, heads.numQoHeads], { device: own });
    decode.plan(cache.pageTable([cache.allocate(5)]));
    const exec = capture(own, () => void decode.run(q, cache, { out, lse })).instantiate();
    const before = own.memory();
    for (let i = 0; i < 10_000; i++) {
      const tensor = zeros([1 + (i % 64), 7], { device: own });
      const request = cache.allocate(1 + ((i * 37) % 200));
      try {
        decode.plan(cache.pageTable([request]));
      } catch (error) {
        expect(error).toMatchObject({ code: 'PLAN_QUEUE_FULL' });
        await decode.currentPlan?.ready();
        decode.plan(cache.pageTable([request]));
      }
      exec.replay();
      cache.free(request);
      tensor.dispose();
    }
    await own.synchronize();
    const after = own.memory();
    expect([after.usedBytes, after.liveBuffers]).toEqual([before.usedBytes, before.liveBuffers]);
    expect(cache.numUsedPages).toBe(1);
    own.dispose();
  });
});

describe('bad input gets a clear error, and the wrapper goes on', () => {
  const invalid = (code: string, message: string | RegExp) =>
    expect.objectContaining({ code, message: expect.stringMatching(message) });
  const caught = (fn: () => unknown): unknown => {
    try {
      fn();
    } catch (error) {
      return error;
    }
    return undefined;
  };

  test('in plan and run', async () => {
    const cache = filledCache(32);
    const decode = await makeDecode({ capacity: { maxBatch: 2, maxPages: 8, maxTiles: 40 } });
    const q = queries(2);
    const table = cache.pageTable([cache.allocate(20), cache.allocate(3)]);
    expect(caught(() => decode.run(q, cache))).toEqual(invalid('INVALID_ARGUMENT', 'BatchDecode.run before plan'));
    expect(caught(() => decode.plan([5, 5]))).toEqual(
      invalid('INVALID_PAGE_TABLE', 'lengths alone, but no page table was planned before'),
    );
    decode.plan(table);
    const good = decode.currentPlan;

    expect(caught(() => decode.plan([33, 3]))).toEqual(
      invalid('INVALID_PAGE_TABLE', 'Request 0 has 33 tokens, which need 3 pages of 16; its page table has 2'),
    );
    expect(caught(() => decode.plan(cache.pageTable([cache.allocate(200)])))).toEqual(
      invalid('CAPACITY_EXCEEDED', /maxPages = 13, BatchDecode was made for 8; raise the option capacity.maxPages/),
    );
    expect(caught(() => decode.plan(table, { policy: policies.fixedSplitSize(1) }))).toEqual(
      invalid(
        'CAPACITY_EXCEEDED',
        /needs maxTiles = 46, the workspace was made for 40; raise the option capacity.maxTiles/,
      ),
    );
    expect(
      caught(() =>
        decode.plan(new PageTable({ pagedKvIndptr: [0, 1], pagedKvIndices: [0], kvLens: [3], pageSize: 8 })),
      ),
    ).toEqual(invalid('INVALID_PAGE_TABLE', 'pages of 8 tokens; the wrapper was made for 16'));
    const overlapping: Policy = (problem, machine) => {
      const builder = new ScheduleBuilder('overlapping', problem, machine);
      builder.forEachQueryTile((tile) => builder.split(tile, [tile.kvEnd - 1]));
      const schedule = builder.build();
      schedule.tiles[5] = 0;
      schedule.tiles[6] = 20;
      return schedule;
    };
    expect(caught(() => decode.plan(table, { policy: overlapping }))).toEqual(
      invalid('INVALID_SCHEDULE', /request \d, KV head \d: KV range \[\d+, \d+\) is covered twice/),
    );
    expect(decode.currentPlan).toBe(good);

    const wrongHeads = keep(zeros([2, 3, heads.headDim], { device }));
    expect(caught(() => decode.run(wrongHeads, cache))).toEqual(invalid('SHAPE_MISMATCH', 'q has shape'));
    expect(caught(() => decode.run(queries(1), cache))).toEqual(
      invalid('SHAPE_MISMATCH', 'q has 1 query tokens; the plan has 2'),
    );
    expect(caught(() => decode.run(queries(2, 'bfloat16'), cache))).toEqual(
      invalid('DTYPE_MISMATCH', 'q is bfloat16; BatchDecode was made for float32'),
    );
    expect(caught(() => decode.run(q, filledCache(32, 'bfloat16')))).toEqual(
      invalid('DTYPE_MISMATCH', 'keys are bfloat16 and values bfloat16'),
    );
    const otherHeads = keep(new PagedKvCache({ device, numPages: 32, numKvHeads: 4, headDim: 64, dtype: 'float32' }));
    expect(caught(() => decode.run(q, otherHeads))).toEqual(
      invalid('SHAPE_MISMATCH', 'The cache has 4 KV heads of 64; the wrapper was made for 2 of 64'),
    );
    const small = filledCache(2);
    expect(caught(() => decode.run(q, small))).toEqual(
      invalid('INVALID_PAGE_TABLE', /names page \d+, the cache has 2 pages/),
    );

    const elsewhere = await openDevice('cpu', { name: 'another' });
    const foreign = zeros([2, heads.numQoHeads, heads.headDim], { device: elsewhere });
    expect(caught(() => decode.run(foreign, cache))).toEqual(invalid('DEVICE_MISMATCH', 'q is on another'));
    elsewhere.dispose();
    const gone = zeros([2, heads.numQoHeads, heads.headDim], { device });
    gone.dispose();
    expect(caught(() => decode.run(gone, cache))).toEqual(invalid('DISPOSED', ''));

    const { output, lse } = decode.run(q, cache);
    expect(((await keep(output).data()) as Float32Array).every(Number.isFinite)).toBe(true);
    keep(lse);
  });

  test('in a capture: outputs must be there, planning must not happen', async () => {
    const cache = filledCache(8);
    const decode = await makeDecode();
    const q = queries(1);
    const table = cache.pageTable([cache.allocate(20)]);
    decode.plan(table);
    expect(caught(() => capture(device, () => void decode.run(q, cache)))).toEqual(
      invalid(
        'CAPTURE_FORBIDDEN',
        'would allocate its outputs during a capture; make them before and pass \\{ out, lse \\}',
      ),
    );
    expect(caught(() => capture(device, () => void decode.plan(table)))).toEqual(invalid('CAPTURE_FORBIDDEN', ''));
    decode.plan(table);
    const { output, lse } = decode.run(q, cache);
    keep(output);
    keep(lse);
  });

  test('of a wrapper', async () => {
    await expect(makeDecode({ numQoHeads: 5 })).rejects.toEqual(
      invalid('SHAPE_MISMATCH', 'numQoHeads 5 is not a multiple of numKvHeads 2'),
    );
    await expect(makeDecode({ headDim: 60 })).rejects.toEqual(
      invalid('INVALID_ARGUMENT', 'headDim is 60; wanted a multiple of 8'),
    );
    await expect(makeDecode({ dtype: 'int32' })).rejects.toEqual(invalid('DTYPE_MISMATCH', 'dtype is int32'));
    await expect(makeDecode({ capacity: { maxBatch: 0 } })).rejects.toEqual(
      invalid('INVALID_ARGUMENT', 'capacity.maxBatch is 0'),
    );
    await expect((await makeDecode()).timeline()).rejects.toEqual(
      invalid('INVALID_ARGUMENT', 'is not traced; make it with \\{ trace: true \\}'),
    );
  });

  test('out of memory says asked, limit and owners, and leaves nothing behind', async () => {
    const tight = await openDevice('cpu', { memoryLimitBytes: 4 << 20 });
    const before = tight.memory().usedBytes;
    await expect(
      BatchDecode.create({ ...heads, device: tight, capacity: { maxBatch: 64, maxPages: 1 << 22 } }),
    ).rejects.toMatchObject({ code: 'OUT_OF_MEMORY' });
    expect(tight.memory().usedBytes).toBe(before);
    tight.dispose();
  });
});

describe('scope', () => {
  test('disposes caches and wrappers made in it, and hands out whole what it returns', async () => {
    const own = await openDevice('cpu');
    const kept = await scope(async () => {
      new PagedKvCache({ ...heads, device: own, numPages: 4, dtype: 'float32' });
      const cache = new PagedKvCache({ ...heads, device: own, numPages: 8, dtype: 'float32' });
      await BatchDecode.create({ ...heads, device: own, capacity: { maxBatch: 1 } });
      const decode = await BatchDecode.create({ ...heads, device: own, dtype: 'float32', capacity: { maxBatch: 1 } });
      return { cache, decode };
    });
    kept.decode.plan(kept.cache.pageTable([kept.cache.allocate(20)]));
    const { output, lse } = kept.decode.run(zeros([1, heads.numQoHeads, heads.headDim], { device: own }), kept.cache);
    expect(await lse.data()).toHaveLength(heads.numQoHeads);
    output.dispose();
    lse.dispose();
    const labels = own.memory().owners.map(({ label }) => label);
    expect(labels.filter((label) => label === 'PagedKvCache')).toHaveLength(1);
    kept.cache.dispose();
    kept.decode.dispose();
    own.dispose();
  });
});

describe('timeline', () => {
  test('has a span for each tile and merge of the last run, on the CTA that the schedule dealt it to', async () => {
    const cache = filledCache(200);
    const decode = await makeDecode({ trace: true, machine: machines.a100 });
    const { schedule } = decode.plan(cache.pageTable([cache.allocate(2000), cache.allocate(0), cache.allocate(40)]));
    const { output, lse } = decode.run(queries(3), cache);
    keep(output);
    keep(lse);
    const timeline = await decode.timeline();
    expect(timeline.cta.length).toBe(schedule.numTiles + schedule.numMergeGroups);
    for (let i = 0; i < timeline.cta.length; i++) {
      const span = timeline.span(i);
      expect(span.endNs).toBeGreaterThanOrEqual(span.startNs);
      if (span.phase !== 'tile') continue;
      const tile = schedule.tile(span.item);
      expect([span.cta, span.request, span.kvHead, span.kvTokens, timeline.kvStart?.[i]]).toEqual([
        tile.cta,
        tile.request,
        tile.kvHead,
        tile.kvEnd - tile.kvStart,
        tile.kvStart,
      ]);
    }
  });
});
