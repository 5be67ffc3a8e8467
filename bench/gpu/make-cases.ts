/**
 * Writes the schedules that check_decode.py and time_decode.py run: `make-cases.ts OUT_FOLDER`. One image a case;
 * cases.json with what the scripts need to pack the launch parameters; programs.json with the builds that the cases use;
 * params.json with the layout of the parameter block.
 * So the kernels are measured on schedules of the library's own policies, on a machine that has neither Node nor the
 * library.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { attentionProgram, selectKernel, tileClassOf } from '../../src/attention/kernel-variants';
import { attentionParams } from '../../src/attention/launch-params';
import { makeVariant } from '../../src/attention/variant';
import type { ProgramSource } from '../../src/device/programs/program-source';
import { workspaceLayout } from '../../src/schedule/layout';
import { machines } from '../../src/schedule/machine';
import { packSchedule, requiredCapacity } from '../../src/schedule/pack';
import { policies } from '../../src/schedule/policies/known';
import { makeProblem } from '../../src/schedule/problem';
import { type Policy, Schedule } from '../../src/schedule/schedule';

const ARCHITECTURE = 'sm_90a';
const programs = new Map<string, ProgramSource>();

interface Case {
  name: string;
  kvLens: number[];
  qoLens?: number[];
  heads?: [number, number];
  headDim?: number;
  pageSize?: number;
  dtype?: 'bfloat16' | 'float16';
  kvDtype?: 'float8_e4m3fn' | 'float8_e5m2';
  layout?: 'NHD' | 'HND';
  causal?: boolean;
  windowLeft?: number;
  softCap?: number;
  policy?: string;
  badPages?: boolean;
  /** Pages at the end of the list that the launch is not told of. */
  unlistedPages?: number;
  sinks?: boolean;
  alibi?: boolean;
  trace?: boolean;
  /** The first tokens of all requests are in the same pages. */
  sharedTokens?: number;
  /** Query rows of a tile at least. */
  rows?: 16 | 32;
}

/** Query tiles of 128 rows: the kernel takes them in passes. */
const wideRows: Policy = (problem, machine) =>
  policies.noSplit(problem, { ...machine, tileClasses: [{ ...machine.tileClasses[0], queryRows: 128 }] });
/** The same tiles, drawn from one queue. */
const queue: Policy = (problem, machine) => {
  const dealt = policies.fixedSplitSize(512)(problem, machine);
  return new Schedule('queue', problem, machine, { ...dealt.tables, dispatch: 'queue' });
};
const policyOf: Record<string, Policy> = {
  headGroups: policies.headGroups,
  headGroupsSpare: policies.headGroupsSpare,
  binarySearch: policies.binarySearch,
  noSplit: policies.noSplit,
  split100: policies.fixedSplitSize(100),
  split64: policies.fixedSplitSize(64),
  wideRows,
  queue,
  cascade: policies.cascade({ always: true }),
};

const RAGGED = [0, 1, 15, 16, 17, 31, 33, 64, 65, 127, 128, 129, 1000, 1024, 4097, 20000, 3];
const SHORT = [0, 1, 15, 16, 17, 100, 700, 2500];
const checks: Case[] = [];
for (const heads of [
  [32, 8],
  [64, 8],
] as [number, number][]) {
  for (const policy of ['headGroups', 'binarySearch', 'split100', 'queue']) {
    checks.push({ name: `ragged ${heads.join('/')} ${policy}`, kvLens: RAGGED, heads, policy });
  }
}
checks.push({ name: 'ragged HND', kvLens: RAGGED, layout: 'HND' });
checks.push({ name: 'one long', kvLens: [65536, ...Array<number>(31).fill(512)] });
checks.push({ name: 'traced', kvLens: RAGGED, policy: 'split64', trace: true });
checks.push({ name: 'bad pages', kvLens: SHORT, badPages: true });
checks.push({ name: 'bad pages of 5', kvLens: SHORT, badPages: true, pageSize: 5 });
checks.push({ name: 'unlisted pages', kvLens: SHORT, unlistedPages: 20 });
checks.push({ name: 'unlisted pages of 5', kvLens: SHORT, unlistedPages: 20, pageSize: 5 });
for (const pageSize of [1, 8, 13, 48, 64]) checks.push({ name: `page ${pageSize}`, kvLens: RAGGED, pageSize });
for (const heads of [
  [4, 4],
  [32, 4],
  [16, 1],
  [32, 1],
  [40, 8],
  [64, 1],
] as [number, number][]) {
  checks.push({ name: `heads ${heads.join('/')}`, kvLens: SHORT, heads });
}
for (const policy of ['headGroups', 'split100', 'queue']) {
  checks.push({ name: `heads 32/1 ragged ${policy}`, kvLens: RAGGED, heads: [32, 1], policy });
}
const tokens = [1, 2, 3, 4, 1, 4, 2, 3];
checks.push({ name: 'causal tokens', kvLens: SHORT, qoLens: tokens, causal: true });
checks.push({
  name: 'causal tokens 64/8',
  kvLens: SHORT,
  qoLens: tokens,
  causal: true,
  heads: [64, 8],
  policy: 'split100',
});
checks.push({
  name: 'causal long queries',
  kvLens: [300, 700, 64],
  qoLens: [300, 20, 64],
  causal: true,
  policy: 'wideRows',
});
checks.push({ name: 'window', kvLens: SHORT, qoLens: tokens, causal: true, windowLeft: 50 });
checks.push({ name: 'window page 1', kvLens: SHORT, windowLeft: 333, pageSize: 1, causal: true });
checks.push({ name: 'soft cap', kvLens: SHORT, softCap: 20 });
for (const heads of [
  [32, 8],
  [32, 1],
] as [number, number][]) {
  for (const policy of ['noSplit', 'split100']) {
    const what = `${heads.join('/')} ${policy}`;
    checks.push({ name: `sinks ${what}`, kvLens: SHORT, heads, policy, sinks: true });
    checks.push({ name: `ALiBi ${what}`, kvLens: SHORT, heads, policy, alibi: true });
    checks.push({
      name: `all rules ${what}`,
      kvLens: SHORT,
      qoLens: tokens,
      heads,
      policy,
      causal: true,
      windowLeft: 300,
      softCap: 20,
      sinks: true,
      alibi: true,
    });
  }
}
for (const dtype of ['bfloat16', 'float16'] as const) {
  for (const kvDtype of [undefined, 'float8_e4m3fn', 'float8_e5m2'] as const) {
    for (const headDim of [64, 128, 256]) {
      const name = `${dtype} ${kvDtype ?? ''} d${headDim}`;
      checks.push({ name, kvLens: RAGGED, dtype, kvDtype, headDim });
      checks.push({
        name: `${name} tokens`,
        kvLens: SHORT,
        qoLens: tokens,
        causal: true,
        dtype,
        kvDtype,
        headDim,
        pageSize: 8,
        policy: 'split100',
      });
    }
  }
}

const batch = (size: number, kvLen: number): number[] => Array<number>(size).fill(kvLen);
// Merges that are shared, and tiles that arrive at several groups.
for (const heads of [
  [32, 8],
  [32, 1],
  [16, 16],
] as [number, number][]) {
  for (const rows of [16, 32] as const) {
    for (const sharedTokens of [256, 4096]) {
      for (const size of [8, 33]) {
        const what = `${size} users ${sharedTokens} shared ${heads.join('/')} r${rows}`;
        const kvLens = batch(size, sharedTokens).map((n, i) => n + ((i * 37) % 200));
        checks.push({ name: what, kvLens, sharedTokens, heads, rows, policy: 'cascade' });
      }
    }
  }
}
checks.push({
  name: '8 users 4096 shared, traced',
  kvLens: batch(8, 4160),
  sharedTokens: 4096,
  rows: 32,
  policy: 'cascade',
  trace: true,
});
for (const policy of ['headGroups', 'binarySearch', 'split64', 'split100', 'queue']) {
  checks.push({ name: `heads 32/1 4096 ${policy}`, kvLens: [4096], heads: [32, 1], policy });
  checks.push({ name: `heads 64/2 8 x 4096 ${policy}`, kvLens: batch(8, 4096), heads: [64, 2], policy });
}

const timed: Case[] = [];
const skewed = [65536, ...batch(31, 512)];
const table: [number, number][] = [];
for (const size of [1, 8, 32, 128]) for (const kvLen of [1024, 4096, 16384, 65536]) table.push([size, kvLen]);
for (const heads of [
  [32, 8],
  [64, 8],
] as [number, number][]) {
  for (const [size, kvLen] of table) {
    timed.push({
      name: `${size}x${kvLen} ${heads.join('/')}`,
      kvLens: batch(size, kvLen),
      heads,
      policy: 'headGroupsSpare',
    });
  }
  timed.push({ name: `skewed ${heads.join('/')}`, kvLens: skewed, heads });
}
const few: [number, number][] = [
  [1, 1024],
  [8, 4096],
  [32, 1024],
  [32, 4096],
  [128, 1024],
];
for (const [size, kvLen] of few) {
  const kvLens = batch(size, kvLen);
  const what = `${size}x${kvLen}`;
  for (const policy of ['binarySearch', 'noSplit']) timed.push({ name: `${what} ${policy}`, kvLens, policy });
  timed.push({ name: `${what} HND`, kvLens, layout: 'HND' });
  if (kvLen * size < 32768) continue;
  for (const headDim of [64, 256]) timed.push({ name: `${what} d${headDim}`, kvLens, headDim });
  for (const pageSize of [1, 64]) timed.push({ name: `${what} page ${pageSize}`, kvLens, pageSize });
  timed.push({ name: `${what} 4 tokens`, kvLens, qoLens: batch(size, 4), causal: true });
  for (const policy of ['headGroups', 'binarySearch'])
    timed.push({ name: `${what} 32/1`, kvLens, heads: [32, 1], policy });
  timed.push({ name: `${what} 4/4`, kvLens, heads: [4, 4] });
  for (const layout of ['NHD', 'HND'] as const) {
    timed.push({ name: `${what} e4m3 ${layout}`, kvLens, kvDtype: 'float8_e4m3fn', layout });
  }
}

for (const size of [8, 32]) {
  for (const sharedTokens of [4096, 16384]) {
    const kvLens = batch(size, sharedTokens + 64);
    for (const rows of [16, 32] as const) {
      timed.push({
        name: `${size} users ${sharedTokens} shared r${rows}`,
        kvLens,
        sharedTokens,
        rows,
        policy: 'cascade',
      });
    }
    timed.push({
      name: `${size} users ${sharedTokens} shared unshared`,
      kvLens,
      sharedTokens,
      policy: 'headGroupsSpare',
    });
  }
}
for (const heads of [
  [32, 1],
  [64, 2],
] as [number, number][]) {
  for (const [size, kvLen] of [
    [1, 1024],
    [1, 4096],
    [8, 4096],
  ]) {
    timed.push({
      name: `${size}x${kvLen} ${heads.join('/')} merges`,
      kvLens: batch(size, kvLen),
      heads,
      policy: 'binarySearch',
    });
  }
}

function write(folder: string, kind: string, entry: Case, index: number): object {
  const [numQoHeads, numKvHeads] = entry.heads ?? [32, 8];
  const { headDim = 128, pageSize = 16, causal = false, windowLeft = -1, policy = 'headGroups' } = entry;
  const { sharedTokens = 0, rows = 0 } = entry;
  const qoLens = entry.qoLens ?? entry.kvLens.map(() => 1);
  const problem = makeProblem({
    kvLens: entry.kvLens,
    qoLens,
    numQoHeads,
    numKvHeads,
    headDim,
    pageSize,
    causal,
    windowLeft,
    prefixes: sharedTokens > 0 ? [{ length: sharedTokens, requests: entry.kvLens.map((_, r) => r) }] : [],
  });
  const dtype = entry.dtype ?? 'bfloat16';
  const kvDtype = entry.kvDtype ?? dtype;
  const { sinks = false, alibi = false, trace = false } = entry;
  const variant = makeVariant({ numQoHeads, numKvHeads, headDim, dtype, kvDtype, sinks, alibi }, causal);
  const kernel = selectKernel(variant, {
    traced: trace,
    rows: Math.max(rows, (numQoHeads / numKvHeads) * Math.max(...qoLens)),
    pageSize,
    maxSegments: 0,
    maxRows: policy === 'cascade' ? 1 : 0,
  });
  const program = attentionProgram(kernel, ARCHITECTURE);
  programs.set(program.name, program);
  const machine = { ...machines.h100, tileClasses: [tileClassOf(kernel, ARCHITECTURE)] };
  const schedule = policyOf[policy](problem, machine);
  const capacity = { ...requiredCapacity(schedule), maxCtas: Math.max(schedule.numCtas, 132) };
  const layout = workspaceLayout(capacity);
  const image = new Int32Array(layout.totalWords);
  const pageStarts: number[] = [];
  let pages = 0;
  for (const length of entry.kvLens) {
    pageStarts.push(pages);
    pages += Math.ceil(length / pageSize);
  }
  packSchedule(schedule, layout, image, pageStarts, 1);
  const file = `${kind}-${index}.bin`;
  writeFileSync(join(folder, file), image);
  return {
    layout: 'NHD',
    softCap: 0,
    badPages: false,
    unlistedPages: 0,
    sharedTokens,
    ...entry,
    sinks,
    alibi,
    trace,
    qoLens,
    numQoHeads,
    numKvHeads,
    headDim,
    pageSize,
    causal,
    windowLeft,
    policy,
    dtype,
    kvDtype,
    kind,
    file,
    pages,
    capacity,
    offsets: layout.offsets,
    program: { name: program.name, threads: program.threads, sharedMemoryBytes: program.sharedMemoryBytes },
    numTiles: schedule.numTiles,
    numMergeGroups: schedule.numMergeGroups,
  };
}

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });
const all = [
  ...checks.map((c, i) => write(folder, 'check', c, i)),
  ...timed.map((c, i) => write(folder, 'time', c, i)),
];
writeFileSync(join(folder, 'cases.json'), JSON.stringify(all));
const { byteLength, fields } = attentionParams;
writeFileSync(join(folder, 'params.json'), JSON.stringify({ byteLength, fields }));
writeFileSync(join(folder, 'programs.json'), JSON.stringify([...programs.values()]));
process.stdout.write(`${all.length} cases\n`);
