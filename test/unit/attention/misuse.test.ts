/** What goes wrong in real notebooks: each is refused or made safe, and leaves things as they were. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { BatchDecode } from '../../../src/attention/batch-decode';
import { BatchPrefill } from '../../../src/attention/batch-prefill';
import { PageTable } from '../../../src/attention/page-table';
import { PagedKvCache } from '../../../src/attention/paged-kv';
import { type Device, openDevice } from '../../../src/device/device';
import { capture } from '../../../src/graph/capture';
import { policies } from '../../../src/schedule/policies/known';
import type { Policy } from '../../../src/schedule/schedule';
import { KV_SEQUENCE } from '../../../src/schedule/work-tile';
import { zeros } from '../../../src/tensor/create';
import { normal } from '../../../src/tensor/random';
import type { Tensor } from '../../../src/tensor/tensor';

const heads = { numQoHeads: 4, numKvHeads: 2, headDim: 64 };
let device: Device;
let cache: PagedKvCache;
let decode: BatchDecode;
let q: Tensor;
let garbage: { dispose(): void }[];
beforeAll(async () => {
  device = await openDevice('cpu');
});
afterAll(() => device.dispose());
beforeEach(async () => {
  cache = new PagedKvCache({ ...heads, device, numPages: 40, dtype: 'float32' });
  for (const [pool, seed] of [
    [cache.k, 1],
    [cache.v, 2],
  ] as const) {
    const values = normal([...pool.shape], { seed, device });
    pool.copyFrom(values);
    values.dispose();
  }
  decode = await BatchDecode.create({ ...heads, device, dtype: 'float32', capacity: { maxBatch: 4 }, trace: true });
  q = normal([4, heads.numQoHeads, heads.headDim], { seed: 3, device });
  garbage = [decode, cache, q];
});
afterEach(() => {
  for (const resource of garbage) resource.dispose();
});
const run = async (): Promise<Float32Array> => {
  const { output, lse } = decode.run(q, cache);
  garbage.push(output, lse);
  return (await output.data()) as Float32Array;
};
const caught = (fn: () => unknown): unknown => {
  try {
    fn();
  } catch (error) {
    return error;
  }
  return undefined;
};

describe('policies', () => {
  test('one that changes its problem is told so', () => {
    const sorting: Policy = (problem, machine) => {
      problem.kvLens.sort();
      return policies.noSplit(problem, machine);
    };
    const table = cache.pageTable([cache.allocate(200), cache.allocate(3)]);
    expect(caught(() => decode.plan(table, { policy: sorting }))).toMatchObject({
      code: 'INVALID_POLICY',
      message: 'Policy noSplit changed problem.kvLens[0] from 200 to 3; a policy is a pure function: work on a copy.',
    });
    expect(Array.from(table.kvLens)).toEqual([200, 3]);
  });

  test('pages before a request’s first are refused, and never read where checks are switched off', async () => {
    const before: Policy = (problem, machine) => {
      const schedule = policies.noSplit(problem, machine);
      schedule.kvSequences[KV_SEQUENCE.pageStart] = -70_000_000;
      return schedule;
    };
    const table = cache.pageTable([cache.allocate(40)]);
    expect(caught(() => decode.plan(table, { policy: before }))).toMatchObject({ code: 'INVALID_SCHEDULE' });
    decode.plan(table, { policy: before, validate: false });
    expect((await run()).every((x) => x === 0)).toBe(true);
    expect((await decode.status()).skippedPages).toBeGreaterThan(0);
  });
});

describe('page tables', () => {
  test('one that was written into is refused at the plan', () => {
    const table = cache.pageTable([cache.allocate(20)]);
    table.pagedKvIndptr[0] = 400_000_000;
    table.pagedKvIndptr[1] = 500_000_000;
    expect(caught(() => decode.plan(table))).toMatchObject({ code: 'INVALID_PAGE_TABLE' });
  });

  test.each([[[Number.NaN, 3]], [['a', 3]], [[2.5, 3]], [[-1, 3]]])('lengths %j are refused, not bent', (lengths) => {
    decode.plan(cache.pageTable([cache.allocate(20), cache.allocate(3)]));
    expect(caught(() => decode.plan(lengths as number[]))).toMatchObject({ code: 'INVALID_PAGE_TABLE' });
  });

  test('a fractional page id and a fractional ragged length are refused', async () => {
    const make = () => new PageTable({ pagedKvIndptr: [0, 1], pagedKvIndices: [1.5], kvLens: [3], pageSize: 16 });
    expect(caught(make)).toMatchObject({
      message: 'pagedKvIndices[0] is 1.5; wanted an integer from 0 to 2147483647.',
    });
    const prefill = await BatchPrefill.create({ ...heads, device, kv: 'ragged', capacity: { maxBatch: 1 } });
    expect(caught(() => prefill.plan([1], [2.5]))).toMatchObject({ code: 'INVALID_PAGE_TABLE' });
    prefill.dispose();
  });
});

describe('append and fork are all or nothing', () => {
  const kv = (tokens: number): Tensor => {
    const tensor = normal([tokens, heads.numKvHeads, heads.headDim], { seed: 5, device });
    garbage.push(tensor);
    return tensor;
  };
  const state = (requests: number[]) => [requests.map((r) => cache.kvLen(r)), cache.numFreePages];

  test('with a negative count, too few pages, in a capture, and after dispose', () => {
    const requests = [cache.allocate(10), cache.allocate(10)];
    const before = state(requests);
    const [three, many] = [kv(3), kv(640)];
    expect(() => cache.append(requests, three, three, [4, -1])).toThrow('counts[1] is -1');
    expect(() => cache.append(requests, many, many, [320, 320])).toThrow('append needs 40 more pages');
    expect(() => capture(device, () => cache.append([requests[0]], three, three))).toThrow('while stream');
    expect(() => capture(device, () => void cache.fork(requests[0]))).toThrow('Got fork() in a capture');
    expect(state(requests)).toEqual(before);
    cache.dispose();
    expect(() => cache.append([requests[0]], three, three)).toThrow(
      'Got append() of a PagedKvCache after its dispose()',
    );
    expect(() => cache.pageTable(requests)).toThrow('Got pageTable() of a PagedKvCache after its dispose()');
  });

  test('one request may get tokens twice in a call', () => {
    const request = cache.allocate(15);
    const two = kv(2);
    cache.append([request, request], two, two);
    expect(cache.kvLen(request)).toBe(17);
  });
});

describe('streams', () => {
  test('plan on one and run on another: the run waits for the plan', async () => {
    const [a, b] = [device.createStream('a'), device.createStream('b')];
    const table = cache.pageTable([cache.allocate(600)]);
    decode.plan(table);
    const want = await run();
    for (let round = 0; round < 100; round++) {
      const [first, second] = round % 2 ? [a, b] : [b, device.stream];
      decode.plan(round % 3 ? table : cache.pageTable([]), { stream: first });
      decode.plan(table, { stream: first });
      const { output, lse } = decode.run(q, cache, { stream: second });
      expect((await output.data({ stream: second })).slice(0, 256)).toEqual(want.slice(0, 256));
      output.dispose();
      lse.dispose();
    }
    a.dispose();
    b.dispose();
  });

  test('a replay on another stream waits for the plan too', async () => {
    const out = zeros([4, heads.numQoHeads, heads.headDim], { device });
    const lse = zeros([4, heads.numQoHeads], { device });
    const table = cache.pageTable([cache.allocate(600)]);
    decode.plan(table);
    const want = await run();
    const exec = capture(device, () => void decode.run(q, cache, { out, lse })).instantiate();
    const other = device.createStream('other');
    for (let round = 0; round < 50; round++) {
      decode.plan(cache.pageTable([]));
      decode.plan(table);
      exec.replay(other);
      expect((await out.data({ stream: other })).slice(0, 256)).toEqual(want.slice(0, 256));
    }
    garbage.push(exec, out, lse);
    other.dispose();
  });
});

describe('the timeline', () => {
  test('is of the latest run, not of a later plan', async () => {
    const table = cache.pageTable([cache.allocate(500)]);
    const { schedule } = decode.plan(table, { policy: policies.fixedSplitSize(32) });
    await run();
    decode.plan(table, { policy: policies.noSplit });
    const timeline = await decode.timeline();
    expect(timeline.numSpans).toBe(schedule.numTiles + schedule.numMergeGroups);
    for (let i = 0; i < timeline.numSpans; i++) expect(timeline.span(i).kvTokens).toBeLessThanOrEqual(32);
    await run();
    expect((await decode.timeline()).numSpans).toBe(heads.numKvHeads);
  });
});

describe('a disposed wrapper', () => {
  test('says what it is', () => {
    const table = cache.pageTable([cache.allocate(5)]);
    decode.plan(table);
    decode.dispose();
    decode.dispose();
    expect(() => decode.plan(table)).toThrow('Got plan() of a BatchDecode after its dispose(); make another one.');
    expect(() => decode.run(q, cache)).toThrow('Got run() of a BatchDecode after its dispose(); make another one.');
  });
});

test('outputs that run makes are zero beyond the batch', async () => {
  decode.plan(cache.pageTable([cache.allocate(5)]));
  expect((await run()).subarray(heads.numQoHeads * heads.headDim).every((x) => x === 0)).toBe(true);
});
