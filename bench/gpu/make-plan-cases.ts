/**
 * Writes what check_planner.py runs: `make-plan-cases.ts OUT_FOLDER`. For each case the parameters of `plan_tiles`, the KV
 * lengths, and the image that the host's policy of the same name packs: the planner on the device has to write the same
 * words. plan-cases.bin holds them one after the other; plan-cases.json says what each is.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { wrapperCapacity } from '../../src/attention/capacity';
import { type DevicePolicy, devicePlanValues } from '../../src/attention/device-plan';
import { attentionProgram, selectKernel, tileClassOf } from '../../src/attention/kernel-variants';
import { attentionParams } from '../../src/attention/launch-params';
import { planTilesParams } from '../../src/attention/plan-params';
import { makeVariant } from '../../src/attention/variant';
import { workspaceLayout } from '../../src/schedule/layout';
import { type Machine, machines } from '../../src/schedule/machine';
import { largestCapacity, packSchedule, requiredCapacity } from '../../src/schedule/pack';
import { policies } from '../../src/schedule/policies/known';
import { makeProblem } from '../../src/schedule/problem';
import { ceilDiv } from '../../src/units';
import { makeRandom } from '../../src/workload/random';

interface PlanCase {
  name: string;
  policy: DevicePolicy;
  kvLens: number[];
  heads?: [numQoHeads: number, numKvHeads: number];
  qoLen?: number;
  causal?: boolean;
  windowLeft?: number;
  machine?: Machine;
  /** Capacity of merge slots, where the plan shall not fit. */
  maxMergeSlots?: number;
}

const decodeTile = { ...machines.h100.tileClasses[0], queryRows: 8 };
const h100: Machine = { ...machines.h100, tileClasses: [decodeTile] };
const names: readonly DevicePolicy[] = ['adaptive', 'headGroups', 'binarySearch', 'noSplit'];
const random = makeRandom(5);
const draw = (low: number, high: number): number => Math.floor(low + random() * (high - low));
const ragged = (count: number, longest: number): number[] => Array.from({ length: count }, () => draw(0, longest));
const uniform = (count: number, length: number): number[] => Array<number>(count).fill(length);
const skewed = (count: number): number[] => [65536, ...uniform(count - 1, 512)];

const cases: PlanCase[] = [];
for (const policy of names) {
  for (const [count, longest] of [
    [1, 70000],
    [3, 400],
    [16, 9000],
    [17, 9000],
    [32, 20000],
    [128, 8000],
    [300, 3000],
    [1000, 900],
  ]) {
    cases.push({ name: `ragged ${count}`, policy, kvLens: ragged(count, longest) });
  }
  for (const [count, length] of [
    [1, 1],
    [1, 1024],
    [8, 4096],
    [32, 1024],
    [128, 1024],
  ]) {
    cases.push({ name: `uniform ${count}x${length}`, policy, kvLens: uniform(count, length) });
  }
  cases.push({ name: 'skewed 32', policy, kvLens: skewed(32) });
  cases.push({ name: 'skewed 128', policy, kvLens: skewed(128) });
  cases.push({ name: 'all empty', policy, kvLens: uniform(20, 0) });
  for (const heads of [
    [4, 4],
    [32, 1],
    [40, 40],
    [96, 48],
  ] as [number, number][]) {
    cases.push({ name: `heads ${heads.join('/')}`, policy, kvLens: ragged(19, 5000), heads });
    cases.push({ name: `heads ${heads.join('/')} few`, policy, kvLens: ragged(2, 5000), heads });
  }
  cases.push({ name: '4 tokens causal', policy, kvLens: ragged(24, 3000), qoLen: 4, causal: true });
  cases.push({
    name: '4 tokens causal window',
    policy,
    kvLens: ragged(11, 3000),
    qoLen: 4,
    causal: true,
    windowLeft: 700,
  });
  cases.push({ name: 'window', policy, kvLens: ragged(130, 3000), windowLeft: 1000, causal: true });
  cases.push({ name: 'few CTAs', policy, kvLens: ragged(9, 3000), machine: { ...h100, numSms: 5 } });
  cases.push({ name: 'too many slots', policy, kvLens: uniform(2, 60000), maxMergeSlots: 40 });
}

/** {first page, pages} of each request. */
function rangesOf(pageIndptr: Int32Array): Int32Array {
  const ranges = new Int32Array(2 * (pageIndptr.length - 1));
  for (let r = 0; r + 1 < pageIndptr.length; r++) {
    ranges.set([pageIndptr[r], pageIndptr[r + 1] - pageIndptr[r]], 2 * r);
  }
  return ranges;
}

/** Appends a case to `parts`: parameters, batch, lengths, page ranges, words, image. */
function write(entry: PlanCase, parts: Uint8Array[]): object {
  const { name, policy, kvLens, heads = [32, 8], qoLen = 1, causal = false, windowLeft = -1, machine = h100 } = entry;
  const [numQoHeads, numKvHeads] = heads;
  const problem = makeProblem({
    kvLens,
    qoLens: kvLens.map(() => qoLen),
    numQoHeads,
    numKvHeads,
    headDim: 128,
    causal,
    windowLeft,
  });
  const wanted = policies[policy](problem, machine);
  const whole = policies.noSplit(problem, machine);
  const capacity = largestCapacity(requiredCapacity(wanted), requiredCapacity(whole));
  if (entry.maxMergeSlots !== undefined) capacity.maxMergeSlots = entry.maxMergeSlots;
  const fits = requiredCapacity(wanted).maxMergeSlots <= capacity.maxMergeSlots;
  const layout = workspaceLayout(capacity);
  const pageIndptr = new Int32Array(kvLens.length + 1);
  kvLens.forEach((length, r) => {
    pageIndptr[r + 1] = pageIndptr[r] + ceilDiv(length, problem.pageSize) + (r % 3);
  });
  const image = new Int32Array(layout.totalWords).fill(-7);
  packSchedule(fits ? wanted : whole, layout, image, pageIndptr, 9);
  const values = devicePlanValues({ policy, maxRequests: kvLens.length, qoLen }, problem, machine, layout, 9);
  const addresses = { kv_lens: null, num_requests: null, page_ranges: null, workspace: null };
  const bytes = (words: Int32Array): Uint8Array => new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  parts.push(planTilesParams.pack({ ...values, ...addresses }).params);
  parts.push(bytes(Int32Array.of(kvLens.length)), bytes(Int32Array.from(kvLens)), bytes(rangesOf(pageIndptr)));
  parts.push(bytes(Int32Array.of(layout.totalWords)), bytes(image));
  return {
    name,
    policy,
    batch: kvLens.length,
    unsplitPlans: fits ? 0 : 1,
    kvSequencesOffset: layout.offsets.kvSequences,
  };
}

/** A batch to time, with the capacity that a wrapper would have by default: decode's side of it as make-cases.ts has it. */
function writeTimed(name: string, kvLens: number[], policy: DevicePolicy, index: number): object {
  const [numQoHeads, numKvHeads, headDim, pageSize] = [32, 8, 128, 16];
  const variant = makeVariant({ numQoHeads, numKvHeads, headDim, dtype: 'bfloat16' }, false);
  const needs = { rows: numQoHeads / numKvHeads, pageSize, maxSegments: 0, maxRows: 0, traced: false };
  const kernel = selectKernel(variant, needs);
  const program = attentionProgram(kernel, 'sm_90a');
  const machine = { ...machines.h100, tileClasses: [tileClassOf(kernel, 'sm_90a')] };
  const problem = makeProblem({ kvLens, numQoHeads, numKvHeads, headDim, pageSize });
  const capacity = wrapperCapacity({ maxBatch: kvLens.length }, variant, machine);
  const layout = workspaceLayout(capacity);
  const image = new Int32Array(layout.totalWords);
  // Ragged batches change their lengths while they are checked: room for the longest everywhere.
  const longest = Math.max(...kvLens);
  const pageIndptr = new Int32Array(kvLens.length + 1);
  kvLens.forEach((length, r) => {
    pageIndptr[r + 1] = pageIndptr[r] + ceilDiv(name.startsWith('ragged') ? longest : length, pageSize);
  });
  packSchedule(policies[policy](problem, machine), layout, image, pageIndptr, 1);
  const file = `plan-time-${index}.bin`;
  writeFileSync(join(folder, file), image);
  const shape = { policy, maxRequests: kvLens.length, qoLen: 1 };
  return {
    name,
    policy,
    kvLens,
    qoLens: kvLens.map(() => 1),
    numQoHeads,
    numKvHeads,
    headDim,
    pageSize,
    layout: 'NHD',
    dtype: 'bfloat16',
    kvDtype: 'bfloat16',
    causal: false,
    windowLeft: -1,
    softCap: 0,
    trace: false,
    sinks: false,
    alibi: false,
    unlistedPages: 0,
    file,
    pages: pageIndptr[kvLens.length],
    pageRanges: [...rangesOf(pageIndptr)],
    capacity,
    offsets: layout.offsets,
    program: { name: program.name, threads: program.threads, sharedMemoryBytes: program.sharedMemoryBytes },
    plan: devicePlanValues(shape, problem, machine, layout, 1),
    source: program,
  };
}

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });
const parts: Uint8Array[] = [new Uint8Array(Int32Array.of(cases.length).buffer)];
const described = cases.map((entry) => write(entry, parts));
writeFileSync(join(folder, 'plan-cases.bin'), Buffer.concat(parts));
const batches: [string, number[]][] = [
  ['8x1024', uniform(8, 1024)],
  ['32x1024', uniform(32, 1024)],
  ['32x4096', uniform(32, 4096)],
  ['128x1024', uniform(128, 1024)],
  ['ragged 32', ragged(32, 8000)],
  ['ragged 128', ragged(128, 4000)],
  ['skewed 32', skewed(32)],
];
const timed = batches.flatMap(([name, kvLens], i) =>
  (['headGroups', 'binarySearch'] as const).map((policy, j) => writeTimed(name, kvLens, policy, 2 * i + j)),
);
const { byteLength, fields } = planTilesParams;
const { byteLength: decodeBytes, fields: decodeFields } = attentionParams;
writeFileSync(
  join(folder, 'plan-cases.json'),
  JSON.stringify({ params: { byteLength, fields }, cases: described, timed }),
);
writeFileSync(join(folder, 'params.json'), JSON.stringify({ byteLength: decodeBytes, fields: decodeFields }));
process.stdout.write(`${cases.length} plan cases, ${timed.length} to time\n`);
