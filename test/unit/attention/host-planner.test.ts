/** Plans by native code: the words that policy and packing write, and everything else as if they had. */
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { BatchDecode } from '../../../src/attention/batch-decode';
import type { DevicePolicy } from '../../../src/attention/device-plan';
import { HostPlanner } from '../../../src/attention/host-planner';
import { PageTable } from '../../../src/attention/page-table';
import { PagedKvCache } from '../../../src/attention/paged-kv';
import { type Device, openDevice } from '../../../src/device/device';
import { capture } from '../../../src/graph/capture';
import { HEADER, HEADER_WORDS, type SectionName, workspaceLayout } from '../../../src/schedule/layout';
import { cpuMachine, machines } from '../../../src/schedule/machine';
import { largestCapacity, packSchedule, requiredCapacity } from '../../../src/schedule/pack';
import { policies } from '../../../src/schedule/policies/known';
import { makeProblem } from '../../../src/schedule/problem';
import type { Policy } from '../../../src/schedule/schedule';
import { sectionWords } from '../../../src/schedule/table-source';
import { ceilDiv } from '../../../src/units';
import { keepBusy } from '../../support/device-programs';

const planned: readonly DevicePolicy[] = ['adaptive', 'headGroups', 'binarySearch', 'noSplit'];
const LONG = process.env.WARPBOOK_LONG === '1';

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

interface Batch {
  kvLens: number[];
  groupSize: number;
  numKvHeads: number;
  causal: boolean;
  windowLeft: number;
  pageSize: number;
  machine: (typeof machines)['h100'];
}

/** Of words that should be the same; −1: they are. Quicker than a comparison that would print all of them. */
function firstDifference(got: Int32Array, wanted: Int32Array): number {
  if (Buffer.from(got.buffer, got.byteOffset, got.byteLength).equals(new Uint8Array(wanted.buffer))) return -1;
  return got.findIndex((word, i) => word !== wanted[i]);
}

/** Images of the policy and of native code, in slots with what other plans left, and the words that count. */
function bothImages(name: DevicePolicy, batch: Batch, spare: number) {
  const { machine, groupSize, numKvHeads } = batch;
  const problem = makeProblem({ ...batch, numQoHeads: groupSize * numKvHeads, headDim: 64 });
  const schedule = policies[name](problem, machine);
  const required = largestCapacity(requiredCapacity(schedule), requiredCapacity(policies.noSplit(problem, machine)));
  const roomy = Object.entries(required).map(([key, value]) => [key, value + spare]);
  const layout = workspaceLayout(Object.fromEntries(roomy) as typeof required);
  const kvLens = Int32Array.from(batch.kvLens);
  const ranges = new Int32Array(2 * kvLens.length + 6).fill(-1);
  let start = 5;
  for (const [r, length] of kvLens.entries()) {
    ranges[2 * r] = start;
    ranges[2 * r + 1] = ceilDiv(length, batch.pageSize) + (r % 3);
    start += ranges[2 * r + 1] + (r % 2);
  }
  const pageStarts = ranges.filter((_, i) => i % 2 === 0);
  const [wanted, got] = [1, 2].map(() => new Int32Array(layout.totalWords).fill(-7));
  const wantedWords = packSchedule(schedule, layout, wanted, pageStarts, 77);
  const planner = new HostPlanner(problem, machine, layout, 2 ** 20);
  const words = planner.write(policies[name], kvLens, ranges, got, 77);
  return { wanted, wantedWords, got, words };
}

describe('native code writes the words of policy and packing:', () => {
  const lengths = fc.oneof(
    fc.constantFrom(0, 1, 15, 16, 128, 129, 1024),
    fc.integer({ min: 0, max: 9000 }),
    fc.integer({ min: 0, max: 300_000 }),
  );
  const batches = fc.record({
    kvLens: fc.oneof(
      fc.array(lengths, { minLength: 1, maxLength: 40 }),
      fc.array(fc.integer({ min: 900, max: 1100 }), { minLength: 60, maxLength: 200 }),
    ),
    groupSize: fc.constantFrom(1, 4, 4, 5, 12, 16, 24, 71),
    numKvHeads: fc.constantFrom(1, 2, 3, 8, 8, 32, 40, 48),
    causal: fc.boolean(),
    windowLeft: fc.constantFrom(-1, -1, 0, 700, 2 ** 31 - 1),
    pageSize: fc.constantFrom(1, 16, 24),
    machine: fc.constantFrom(machines.h100, machines.h100, machines.l40s, cpuMachine(3), cpuMachine(8)),
  });
  for (const name of planned) {
    test(name, { timeout: LONG ? 600_000 : 60_000 }, () => {
      fc.assert(
        fc.property(batches, fc.constantFrom(0, 100), (batch, spare) => {
          const { wanted, wantedWords, got, words } = bothImages(name, batch, spare);
          expect(words).toBe(wantedWords);
          expect(firstDifference(got, wanted)).toBe(-1);
        }),
        { numRuns: LONG ? 20_000 : 2000 },
      );
    });
  }
});

describe('the planner leaves to the policy', () => {
  const problem = { numKvHeads: 8, groupSize: 4, pageSize: 16, causal: false, windowLeft: -1 };
  const capacity = {
    maxTiles: 800,
    maxCtas: 132,
    maxKvSequences: 64,
    maxRows: 0,
    maxSegments: 0,
    maxMergeGroups: 200,
    maxMergeSlots: 400,
    maxPartialRows: 10_000,
  };
  const kvLens = Int32Array.of(5000, 300, 20);
  const ranges = Int32Array.of(0, 400, 400, 20, 420, 3);
  const write = (
    change: Partial<typeof capacity> = {},
    policy: Policy = policies.headGroups,
    lengths: Int32Array = kvLens,
    maxTokens = 2 ** 20,
  ) => {
    const layout = workspaceLayout({ ...capacity, ...change });
    const planner = new HostPlanner(problem, machines.h100, layout, maxTokens);
    return planner.write(policy, lengths, ranges, new Int32Array(layout.totalWords), 1);
  };

  test('nothing that it can write', () => {
    expect(write()).toBeGreaterThan(16);
  });
  test('what does not fit, by any capacity', () => {
    for (const change of [
      { maxTiles: 23 },
      { maxTiles: 30 },
      { maxCtas: 131 },
      { maxKvSequences: 2 },
      { maxMergeGroups: 7 },
      { maxMergeSlots: 60 },
      { maxPartialRows: 200 },
    ]) {
      expect(write(change), JSON.stringify(change)).toBeUndefined();
    }
  });
  test('policies that it does not know, made ones and wrapped ones among them', () => {
    const wrapped: Policy = (given, machine) => policies.headGroups(given, machine);
    for (const policy of [policies.headGroupsSpare, policies.streamK, policies.streamK({}), wrapped]) {
      expect(write({}, policy)).toBeUndefined();
    }
  });
  test('empty batches, and lengths beyond their pages or its 32 bits', () => {
    expect(write({}, policies.headGroups, new Int32Array(0))).toBeUndefined();
    expect(write({}, policies.headGroups, Int32Array.of(5000, 321))).toBeUndefined();
    expect(write({}, policies.headGroups, kvLens, 2 ** 30)).toBeUndefined();
  });
});

describe('plan() by native code', () => {
  const heads = { numQoHeads: 8, numKvHeads: 2, headDim: 64 };
  const table = new PageTable({
    pagedKvIndptr: [0, 320, 640, 700],
    pagedKvIndices: Array.from({ length: 700 }, (_, i) => i),
    kvLens: [5000, 70, 0],
    pageSize: 16,
  });
  const makeDecode = async (options: object = {}): Promise<BatchDecode> =>
    keep(
      await BatchDecode.create({
        ...heads,
        device,
        dtype: 'float32',
        machine: machines.h100,
        capacity: { maxBatch: 4 },
        ...options,
      }),
    );
  /** What the device has of a plan: the header, then the words of each section that count. */
  const imageOf = async (decode: BatchDecode): Promise<Int32Array[]> => {
    const bytes = await decode.memory.image.read();
    const { layout } = decode.memory;
    const image = new Int32Array(bytes.buffer, bytes.byteOffset, layout.totalWords);
    const counts = Object.fromEntries(Object.entries(HEADER).map(([name, word]) => [name, image[word]]));
    const words = sectionWords(counts as never);
    const names = Object.keys(words) as SectionName[];
    const start = layout.offsets;
    return [image.slice(0, HEADER_WORDS), ...names.map((name) => image.slice(start[name], start[name] + words[name]))];
  };
  /** Plans that native code has written. */
  const write = vi.spyOn(HostPlanner.prototype, 'write');
  const numWritten = (): number => write.mock.results.filter(({ value }) => value !== undefined).length;
  beforeEach(() => {
    write.mockClear();
  });
  afterAll(() => {
    write.mockRestore();
  });
  /** The same policy as a function of the user's own, which native code doesn't know. */
  const slow =
    (name: DevicePolicy): Policy =>
    (problem, machine) =>
      policies[name](problem, machine);
  const batches = [
    [5000, 70, 0],
    [17, 64, 900],
    [0, 0, 0],
    [5120, 5120, 960],
  ];

  test('puts the same words on the device, and has the same schedule, cost and tokens', async () => {
    const [native, byPolicy] = [await makeDecode(), await makeDecode()];
    for (const decode of [native, byPolicy]) decode.plan(table);
    for (const name of planned) {
      for (const kvLens of batches) {
        for (const given of [kvLens, Int32Array.from(kvLens)]) {
          const plan = native.plan(given, { policy: policies[name] });
          const wanted = byPolicy.plan(given, { policy: slow(name) });
          expect(plan.id).toBe(wanted.id);
          expect(plan.cost.uploadedBytes).toBe(wanted.cost.uploadedBytes);
          expect(plan.cost.policyNs).toBeGreaterThan(0);
          expect(plan.cost.packNs).toBeGreaterThan(0);
          expect(plan.numQoTokens).toBe(wanted.numQoTokens);
          expect(await imageOf(native)).toEqual(await imageOf(byPolicy));
          if (given instanceof Int32Array) given.fill(1);
          expect(plan.schedule.tables).toEqual(wanted.schedule.tables);
          expect(plan.schedule.decisions).toEqual(wanted.schedule.decisions);
          expect(Array.from(plan.schedule.problem.kvLens)).toEqual(kvLens);
          expect(await plan.readSchedule()).toBe(plan.schedule);
        }
      }
    }
    // Typed arrays of the one wrapper, that is.
    expect(numWritten()).toBe(planned.length * batches.length);
  });

  test('keeps the schedules of plans that others followed', async () => {
    const decode = await makeDecode();
    decode.plan(table);
    const plans = [];
    for (let i = 0; i < 2000; i++) {
      await decode.ready();
      plans.push(decode.plan(Int32Array.of(5000 - i, i % 1000, 900)));
    }
    for (const [i, { schedule }] of plans.entries()) {
      expect(Array.from(schedule.problem.kvLens)).toEqual([5000 - i, i % 1000, 900]);
    }
  });

  test('fails as the policy does, and the plan of before stays in force', async () => {
    const capacity = { maxBatch: 4, maxMergeSlots: 8 };
    const decode = await makeDecode({ capacity });
    const first = decode.plan(table, { policy: policies.noSplit });
    const before = await imageOf(decode);
    const fails = (policy: Policy, lengths: ArrayLike<number> = Int32Array.of(5000, 70, 0)): unknown => {
      try {
        return decode.plan(lengths, { policy });
      } catch (error) {
        return error;
      }
    };
    for (const name of ['headGroups', 'binarySearch'] as const) {
      expect(fails(policies[name])).toMatchObject({
        code: 'CAPACITY_EXCEEDED',
        message: (fails(slow(name)) as Error).message,
        details: { option: 'capacity.maxMergeSlots' },
      });
    }
    expect(fails(policies.noSplit, Int32Array.of(5121, 0, 0))).toMatchObject({ code: 'INVALID_PAGE_TABLE' });
    expect(fails(policies.noSplit, Int32Array.of(1, 2))).toMatchObject({ code: 'INVALID_PAGE_TABLE' });
    expect(fails('headGroups' as never)).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(decode.currentPlan).toBe(first);
    expect(await imageOf(decode)).toEqual(before);
    expect(before[0][HEADER.planId]).toBe(first.id);
  });

  test('refuses in a capture, and in a queue that is full, as before', async () => {
    const decode = await makeDecode();
    decode.plan(table);
    expect(() => capture(device, () => void decode.plan(Int32Array.of(1, 2, 3)))).toThrow(
      expect.objectContaining({ code: 'CAPTURE_FORBIDDEN' }),
    );
    await device.synchronize();
    keepBusy(device.stream, keep(device.allocate(1 << 26)), 20);
    for (let i = 0; i < 8; i++) decode.plan(Int32Array.of(i, 2, 3), { policy: policies.headGroups });
    expect(() => decode.plan(Int32Array.of(1, 2, 3), { policy: policies.headGroups })).toThrow(
      expect.objectContaining({ code: 'PLAN_QUEUE_FULL' }),
    );
    await decode.ready();
    const { id } = decode.plan(Int32Array.of(1, 2, 3), { policy: policies.headGroups });
    await device.synchronize();
    expect((await imageOf(decode))[0][HEADER.planId]).toBe(id);
  });

  test('sees who wrote into the page table, and plans on when it is right again', async () => {
    const decode = await makeDecode();
    const own = table.withLengths([10, 10, 10]);
    decode.plan(own);
    const plan = (): unknown => decode.plan(Int32Array.of(5000, 5000, 900));
    plan();
    const [, second] = own.pagedKvIndptr;
    own.pagedKvIndptr[1] = 700_000;
    expect(plan).toThrow(expect.objectContaining({ code: 'INVALID_PAGE_TABLE' }));
    own.pagedKvIndptr[1] = second;
    plan();
  });

  test('validates where it is told to', async () => {
    const decode = await makeDecode();
    decode.plan(table);
    const plan = decode.plan(Int32Array.of(70, 70, 70), { policy: policies.headGroups, validate: true });
    expect(plan.schedule.numTiles).toBeGreaterThan(0);
    expect(numWritten()).toBe(0);
    decode.plan(Int32Array.of(70, 70, 70));
    expect(numWritten()).toBe(1);
  });

  test('plans of a page table, and of several query tokens, are the policy’s', async () => {
    const cache = keep(new PagedKvCache({ ...heads, device, numPages: 64, dtype: 'float32' }));
    const decode = await makeDecode({ capacity: { maxBatch: 4, maxQoTokens: 16 } });
    const pages = cache.pageTable([cache.allocate(100), cache.allocate(200)]);
    expect(decode.plan(pages).numQoTokens).toBe(2);
    const plan = decode.plan(Int32Array.of(50, 60), { qoLens: [3, 2] });
    expect(plan.numQoTokens).toBe(5);
    expect(Array.from(plan.schedule.problem.qoIndptr)).toEqual([0, 3, 5]);
  });
});
