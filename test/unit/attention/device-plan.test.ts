/** The planner on the device: the host policies' work list word for word, and what happens where that can't be. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DevicePolicy, devicePlanValues } from '../../../src/attention/device-plan';
import { planTilesParams } from '../../../src/attention/plan-params';
import { type Device, openDevice } from '../../../src/device/device';
import { HEADER, HEADER_WORDS, workspaceLayout } from '../../../src/schedule/layout';
import { cpuMachine, type Machine, machines } from '../../../src/schedule/machine';
import { largestCapacity, packSchedule, requiredCapacity } from '../../../src/schedule/pack';
import { policies } from '../../../src/schedule/policies/known';
import { makeProblem } from '../../../src/schedule/problem';
import { unpackSchedule } from '../../../src/schedule/unpack';
import { ceilDiv } from '../../../src/units';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu');
});
afterAll(() => device.dispose());

interface Batch {
  kvLens: number[];
  policy: DevicePolicy;
  qoLen?: number;
  numKvHeads?: number;
  causal?: boolean;
  windowLeft?: number;
  pageSize?: number;
  machine?: Machine;
}

const bytes = (words: Int32Array): Uint8Array => new Uint8Array(words.buffer, words.byteOffset, words.byteLength);

/** Images of the host's policy and of the device's planner, poisoned before, and their layout. */
async function bothImages(
  batch: Batch,
  change: { maxMergeSlots?: number; lengths?: number[]; requests?: number } = {},
) {
  const { kvLens, policy, qoLen = 1, numKvHeads = 8, causal = false, windowLeft = -1, pageSize = 16 } = batch;
  const machine = batch.machine ?? machines.h100;
  const problem = makeProblem({
    kvLens,
    qoLens: kvLens.map(() => qoLen),
    numQoHeads: 4 * numKvHeads,
    numKvHeads,
    headDim: 64,
    pageSize,
    causal,
    windowLeft,
  });
  const schedule = policies[policy](problem, machine);
  const capacity = largestCapacity(
    requiredCapacity(schedule),
    requiredCapacity(policies.noSplit(problem, machine)),
    ...(change.lengths
      ? [{ ...requiredCapacity(schedule), maxKvSequences: change.lengths.length, maxTiles: 4096 }]
      : []),
  );
  const layout = workspaceLayout({ ...capacity, maxMergeSlots: change.maxMergeSlots ?? capacity.maxMergeSlots });
  const lengths = change.lengths ?? kvLens;
  const ranges = new Int32Array(2 * lengths.length);
  let start = 5;
  kvLens.forEach((length, r) => {
    ranges[2 * r] = start;
    ranges[2 * r + 1] = ceilDiv(length, pageSize);
    start += ranges[2 * r + 1] + (r % 2);
  });
  const pageStarts = ranges.filter((_, i) => i % 2 === 0);

  const host = new Int32Array(layout.totalWords).fill(-7);
  if (change.maxMergeSlots === undefined) packSchedule(schedule, layout, host, pageStarts, 3);
  else packSchedule(policies.noSplit(problem, machine), layout, host, pageStarts, 3);

  const poisoned = new Int32Array(layout.totalWords).fill(-7);
  poisoned.fill(0, 0, HEADER_WORDS);
  const [image, kvLensBuffer, rangesBuffer, count] = [
    poisoned,
    Int32Array.from(lengths),
    ranges,
    Int32Array.of(change.requests ?? 0),
  ].map((words) => {
    const buffer = device.allocate(Math.max(16, words.byteLength));
    buffer.write(bytes(words));
    return buffer;
  });
  const shape = { policy, maxRequests: lengths.length, qoLen };
  device.stream.launch({
    program: 'plan_tiles',
    grid: [1, 1, 1],
    params: planTilesParams.pack({
      ...devicePlanValues(shape, problem, machine, layout, 3),
      kv_lens: kvLensBuffer.address(),
      num_requests: change.requests === undefined ? null : count.address(),
      page_ranges: rangesBuffer.address(),
      workspace: image.address(),
    }),
    buffers: [image, kvLensBuffer, rangesBuffer, count],
  });
  const read = await image.read({ byteLength: layout.totalWords * 4 });
  for (const buffer of [image, kvLensBuffer, rangesBuffer, count]) buffer.dispose();
  return { host, planned: new Int32Array(read.buffer, read.byteOffset, layout.totalWords), layout, schedule, problem };
}

const policyNames: readonly DevicePolicy[] = ['adaptive', 'headGroups', 'binarySearch', 'noSplit'];

describe('the planner on the device writes the list of the host policy, word for word:', () => {
  for (const policy of policyNames) {
    test(`${policy}, any batch, mask, heads and machine`, async () => {
      const batches = fc.record({
        kvLens: fc.array(fc.oneof(fc.constantFrom(0, 1, 15, 16, 128, 1024), fc.integer({ min: 0, max: 9000 })), {
          minLength: 1,
          maxLength: 40,
        }),
        qoLen: fc.constantFrom(1, 1, 4, 30),
        numKvHeads: fc.constantFrom(1, 2, 8, 40, 48),
        causal: fc.boolean(),
        windowLeft: fc.constantFrom(-1, -1, 0, 700, 2 ** 31 - 1),
        pageSize: fc.constantFrom(1, 16, 24),
        machine: fc.constantFrom(machines.h100, machines.l40s, cpuMachine(3), cpuMachine(8)),
      });
      await fc.assert(
        fc.asyncProperty(batches, async (batch) => {
          const { host, planned } = await bothImages({ ...batch, policy });
          expect(planned).toEqual(host);
        }),
        { numRuns: 250 },
      );
    });

    test(`${policy}, large batches: longest first over groups of CTAs`, async () => {
      for (const [count, longest] of [
        [128, 8000],
        [300, 100],
        [1024, 500],
      ]) {
        const kvLens = Array.from({ length: count }, (_, r) => (r * 7919 + 13) % longest);
        const { host, planned } = await bothImages({ kvLens, policy });
        expect(planned).toEqual(host);
      }
    });
  }
});

describe('on the device', () => {
  test('a plan beyond the capacity splits nothing, and is counted', async () => {
    for (const policy of ['headGroups', 'binarySearch'] as const) {
      const { host, planned } = await bothImages({ kvLens: [60_000, 5000], policy }, { maxMergeSlots: 12 });
      expect(planned[HEADER.unsplitPlans]).toBe(1);
      expect(planned[HEADER.numMergeGroups]).toBe(0);
      planned[HEADER.unsplitPlans] = 0;
      expect(planned).toEqual(host);
    }
  });

  test('a length beyond its pages is cut to fit, and counted', async () => {
    // 100 tokens have 7 pages: 112 tokens. The others have what they need.
    const { planned, layout } = await bothImages(
      { kvLens: [100, 500, 30], policy: 'headGroups' },
      { lengths: [4000, 500, -3] },
    );
    expect(planned[HEADER.badLengths]).toBe(2);
    const at = layout.offsets.kvSequences;
    expect([planned[at + 1], planned[at + 5], planned[at + 9]]).toEqual([112, 500, 0]);
  });

  test('the number of requests is read from device memory', async () => {
    const kvLens = [100, 5000];
    const { host, planned } = await bothImages(
      { kvLens, policy: 'headGroups' },
      { lengths: [100, 5000, 77], requests: 2 },
    );
    expect(planned).toEqual(host);
    const beyond = await bothImages({ kvLens, policy: 'headGroups' }, { lengths: [100, 5000], requests: 9 });
    expect(beyond.planned[HEADER.badLengths]).toBe(1);
    expect(beyond.planned[HEADER.batchSize]).toBe(2);
  });

  test('its image is read back as the schedule of the host', async () => {
    const { planned, layout, schedule, problem } = await bothImages({
      kvLens: [9000, 3, 0, 700],
      policy: 'headGroups',
    });
    const read = unpackSchedule(planned, layout, {
      policy: 'headGroups',
      machine: schedule.machine,
      problemOf: (kvLens) => makeProblem({ ...problem, kvLens }),
    });
    expect(read.tables).toEqual(schedule.tables);
    expect(Array.from(read.problem.kvLens)).toEqual([9000, 3, 0, 700]);
    planned[HEADER.numTiles] = 1 << 20;
    expect(() =>
      unpackSchedule(planned, layout, { policy: 'x', machine: schedule.machine, problemOf: () => problem }),
    ).toThrow('words of tiles; wanted at most');
  });
});

describe('devicePlanValues refuses', () => {
  const problem = { numKvHeads: 8, groupSize: 4, pageSize: 16, causal: false, windowLeft: -1 };
  const layout = workspaceLayout({
    maxTiles: 64,
    maxCtas: 132,
    maxKvSequences: 8,
    maxRows: 0,
    maxSegments: 0,
    maxMergeGroups: 0,
    maxMergeSlots: 0,
    maxPartialRows: 0,
  });
  const values = (maxRequests: number, policy = 'headGroups') =>
    devicePlanValues({ policy: policy as DevicePolicy, maxRequests, qoLen: 1 }, problem, machines.h100, layout, 1);

  test('a policy that it does not know, a batch beyond the planner or beyond the workspace', () => {
    expect(values(8).max_requests).toBe(8);
    expect(() => values(8, 'lpt')).toThrow(
      "planOnDevice got the policy 'lpt'; wanted one of noSplit, binarySearch, headGroups, adaptive.",
    );
    expect(() => values(2000)).toThrow(
      'wanted at most 1024 items of 256 rows and 1024 CTAs. Plan on the host with plan().',
    );
    expect(() => values(9)).toThrow(
      'planOnDevice needs maxTiles = 72 even if it splits nothing, the workspace was made for 64; raise the option capacity.maxTiles.',
    );
  });
});
