/**
 * Writes the schedules that check_prefill.py and time_prefill.py run: `make-prefill-cases.ts OUT_FOLDER`; files as those of
 * make-cases.ts.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { attentionParams } from '../../src/attention/launch-params';
import { findPrefillKernel, prefillProgram, prefillTileClass } from '../../src/attention/prefill-variants';
import { makeVariant } from '../../src/attention/variant';
import type { ProgramSource } from '../../src/device/programs/program-source';
import { workspaceLayout } from '../../src/schedule/layout';
import { machines } from '../../src/schedule/machine';
import { packSchedule, requiredCapacity } from '../../src/schedule/pack';
import { policies } from '../../src/schedule/policies/known';
import { makeProblem, queryPosition } from '../../src/schedule/problem';
import { type Policy, Schedule } from '../../src/schedule/schedule';
import { validate } from '../../src/schedule/validate';
import {
  MERGE_GROUP,
  MERGE_GROUP_STRIDE,
  SEGMENT_STRIDE,
  TILE,
  TILE_FLAG,
  TILE_STRIDE,
} from '../../src/schedule/work-tile';

const ARCHITECTURE = 'sm_90a';
const programs = new Map<string, ProgramSource>();

interface Case {
  name: string;
  kvLens: number[];
  qoLens: number[];
  heads?: [number, number];
  headDim?: number;
  pageSize?: number;
  dtype?: 'bfloat16' | 'float16';
  kvDtype?: 'float8_e4m3fn' | 'float8_e5m2';
  layout?: 'NHD' | 'HND';
  ragged?: boolean;
  causal?: boolean;
  windowLeft?: number;
  softCap?: number;
  sinks?: boolean;
  alibi?: boolean;
  policy?: string;
  badPages?: boolean;
  /** Entries at the end of the page list that the launch is not told of. */
  hiddenPages?: number;
  trace?: boolean;
}

const queued =
  (policy: Policy): Policy =>
  (problem, machine) => {
    const dealt = policy(problem, machine);
    return new Schedule('queue', problem, dealt.machine, {
      ...dealt.tables,
      dispatch: 'queue',
    });
  };
/** Query tiles of 300 rows: the kernel takes them in passes. */
const wideRows: Policy = (problem, machine) =>
  policies.noSplit(problem, { ...machine, tileClasses: [{ ...machine.tileClasses[0], queryRows: 300 }] });
/** Query tiles of 40 rows. */
const narrowRows: Policy = (problem, machine) =>
  policies.fixedSplitSize(200)(problem, { ...machine, tileClasses: [{ ...machine.tileClasses[0], queryRows: 40 }] });
/** Rows from the row table. */
const gathered: Policy = (problem, machine) => gatherRows(policies.fixedSplitSize(100)(problem, machine));
/** The keys of each tile as segments of uneven length. */
const segmented: Policy = (problem, machine) => cutIntoSegments(policies.fixedSplitSize(300)(problem, machine));

const policyOf: Record<string, Policy> = {
  noSplit: policies.noSplit,
  binarySearch: policies.binarySearch,
  headGroups: policies.headGroups,
  split100: policies.fixedSplitSize(100),
  split64: policies.fixedSplitSize(64),
  split512: policies.fixedSplitSize(512),
  longestFirst: policies.longestFirst,
  queue: queued(policies.fixedSplitSize(512)),
  wideRows,
  wideRowsQueue: queued(wideRows),
  narrowRows,
  gathered,
  segmented,
};

/** The same schedule with every tile's and group's rows taken from a row table. */
function gatherRows(schedule: Schedule): Schedule {
  const { problem } = schedule;
  const group = problem.groupSize;
  const rows: number[] = [];
  for (let kvHead = 0; kvHead < problem.numKvHeads; kvHead++) {
    for (let r = 0; r < problem.batchSize; r++) {
      for (let token = problem.qoIndptr[r]; token < problem.qoIndptr[r + 1]; token++) {
        const position = queryPosition(problem, r, token);
        for (let head = 0; head < group; head++) rows.push(r, token, kvHead * group + head, position);
      }
    }
  }
  const rowsOfHead = problem.qoIndptr[problem.batchSize] * group;
  const tiles = schedule.tiles.slice();
  for (let at = 0; at < tiles.length; at += TILE_STRIDE) {
    tiles[at + TILE.rowStart] += tiles[at + TILE.kvHead] * rowsOfHead;
    tiles[at + TILE.flags] |= TILE_FLAG.gatherRows;
  }
  const mergeGroups = schedule.mergeGroups.slice();
  for (let at = 0; at < mergeGroups.length; at += MERGE_GROUP_STRIDE) {
    mergeGroups[at + MERGE_GROUP.rowStart] += mergeGroups[at + MERGE_GROUP.kvHead] * rowsOfHead;
    mergeGroups[at + MERGE_GROUP.flags] |= TILE_FLAG.gatherRows;
  }
  return new Schedule('gathered', problem, schedule.machine, {
    ...schedule.tables,
    tiles,
    mergeGroups,
    rows: Int32Array.from(rows),
  });
}

/** The same schedule with every tile's range as segments of 7, 50, 7, 50 … tokens. */
function cutIntoSegments(schedule: Schedule): Schedule {
  const tiles = schedule.tiles.slice();
  const segments: number[] = [];
  for (let at = 0; at < tiles.length; at += TILE_STRIDE) {
    const masked = tiles[at + TILE.flags] & TILE_FLAG.needsMask;
    tiles[at + TILE.segStart] = segments.length / SEGMENT_STRIDE;
    let [from, length] = [tiles[at + TILE.kvStart], 7];
    while (from < tiles[at + TILE.kvEnd]) {
      const to = Math.min(tiles[at + TILE.kvEnd], from + length);
      segments.push(from, to, masked, 0);
      [from, length] = [to, 57 - length];
    }
    tiles[at + TILE.segCount] = segments.length / SEGMENT_STRIDE - tiles[at + TILE.segStart];
  }
  return new Schedule('segmented', schedule.problem, schedule.machine, {
    ...schedule.tables,
    tiles,
    segments: Int32Array.from(segments),
  });
}

const LENGTHS = [0, 1, 15, 16, 17, 63, 64, 65, 300, 2500];
const APPENDED = [0, 1, 7, 16, 3, 40, 64, 33, 130, 700];
const MIXED = [0, 1, 1, 1, 17, 1, 1, 65, 1, 1];
const checks: Case[] = [];
const check = (name: string, rest: Partial<Case> = {}): void => {
  checks.push({ name, kvLens: LENGTHS, qoLens: LENGTHS, causal: true, ...rest });
};
check('causal');
check('causal, traced', { trace: true, policy: 'split512' });
check('ragged', { ragged: true });
check('ragged, full', { ragged: true, causal: false });
check('appended', { qoLens: APPENDED });
check('mixed with decode rows', { qoLens: MIXED });
check('mixed, split', { qoLens: MIXED, policy: 'split100' });
check('more query tokens than keys', { qoLens: [3, 5, 15, 20, 17, 63, 100, 65, 300, 40] });
check('HND', { layout: 'HND' });
for (const pageSize of [1, 5, 8, 64]) check(`page ${pageSize}`, { pageSize, qoLens: APPENDED });
for (const heads of [
  [4, 4],
  [32, 1],
  [12, 3],
  [40, 8],
] as [number, number][]) {
  check(`heads ${heads.join('/')}`, { heads });
  check(`heads ${heads.join('/')}, split`, { heads, policy: 'split100', qoLens: APPENDED });
}
check('200 heads to one', { heads: [200, 1], qoLens: [0, 1, 2, 1, 3, 1, 1, 2, 5, 1] });
for (const policy of ['split100', 'split64', 'binarySearch', 'headGroups', 'queue', 'longestFirst']) {
  check(policy, { policy, qoLens: APPENDED });
}
check('queue of short tiles', { policy: 'longestFirst', qoLens: MIXED });
check('passes', { policy: 'wideRows' });
check('passes from a queue', { policy: 'wideRowsQueue' });
check('tiles of 40 rows', { policy: 'narrowRows', qoLens: APPENDED });
check('gathered rows', { policy: 'gathered', qoLens: APPENDED });
check('segments', { policy: 'segmented', qoLens: APPENDED });
check('window', { windowLeft: 50 });
check('window, page 1, split', { windowLeft: 333, pageSize: 1, policy: 'split100', qoLens: APPENDED });
check('window without causal', { windowLeft: 90, causal: false });
check('soft cap', { softCap: 20 });
check('sinks', { sinks: true, qoLens: [2, 1, 15, 16, 17, 63, 64, 65, 300, 700] });
check('sinks, split', { sinks: true, policy: 'split100', qoLens: [2, 1, 15, 16, 17, 63, 64, 65, 300, 700] });
check('alibi', { alibi: true });
check('alibi and soft cap', { alibi: true, softCap: 15, qoLens: APPENDED });
check('bad pages', { badPages: true });
check('bad pages of 5, split', { badPages: true, pageSize: 5, policy: 'split100', qoLens: APPENDED });
check('pages beyond the list', { hiddenPages: 9 });
for (const dtype of ['bfloat16', 'float16'] as const) {
  for (const kvDtype of [undefined, 'float8_e4m3fn', 'float8_e5m2'] as const) {
    for (const headDim of [64, 128, 256]) {
      const name = `${dtype} ${kvDtype ?? ''} d${headDim}`;
      check(name, { dtype, kvDtype, headDim });
      check(`${name} split`, { dtype, kvDtype, headDim, pageSize: 8, policy: 'split100', qoLens: APPENDED });
    }
  }
}

const TOKENS = 16384;
const timed: Case[] = [];
for (const length of [512, 1024, 2048, 4096, 8192, 16384]) {
  const lengths = Array<number>(TOKENS / length).fill(length);
  const time = (name: string, rest: Partial<Case> = {}): void => {
    timed.push({ name: `${length} ${name}`, kvLens: lengths, qoLens: lengths, causal: true, ...rest });
  };
  time('ragged', { ragged: true });
  time('paged16');
  time('ragged, longestFirst', { ragged: true, policy: 'longestFirst' });
  time('paged16, longestFirst', { policy: 'longestFirst' });
  if (length !== 512 && length !== 4096 && length !== 16384) continue;
  time('ragged full', { ragged: true, causal: false });
  if (length !== 4096) continue;
  time('paged1', { pageSize: 1 });
  time('paged64', { pageSize: 64 });
  time('HND', { layout: 'HND' });
  time('32/32', { heads: [32, 32], ragged: true });
  time('32/1', { heads: [32, 1], ragged: true });
  for (const headDim of [64, 256])
    time(`d${headDim}`, { headDim, ragged: true, heads: headDim === 64 ? [64, 16] : [16, 4] });
  time('e4m3', { kvDtype: 'float8_e4m3fn' });
  time('window 1024', { windowLeft: 1024 });
}

function write(folder: string, kind: string, entry: Case, index: number): object {
  const [numQoHeads, numKvHeads] = entry.heads ?? [32, 8];
  const { headDim = 128, causal = false, windowLeft = -1, policy = 'noSplit', ragged = false, trace = false } = entry;
  const pageSize = ragged ? 1 : (entry.pageSize ?? 16);
  const { kvLens, qoLens } = entry;
  const dtype = entry.dtype ?? 'bfloat16';
  const kvDtype = entry.kvDtype ?? dtype;
  const problem = makeProblem({ kvLens, qoLens, numQoHeads, numKvHeads, headDim, pageSize, causal, windowLeft });
  const kernel = findPrefillKernel(
    makeVariant({ numQoHeads, numKvHeads, headDim, dtype, kvDtype }, causal),
    trace,
    ARCHITECTURE,
  );
  if (!kernel) throw new Error(`no kernel for ${entry.name}`);
  const program = prefillProgram(kernel, ARCHITECTURE);
  const tileClass = prefillTileClass(kernel, ARCHITECTURE);
  programs.set(program.name, program);
  const schedule = policyOf[policy](problem, { ...machines.h100, tileClasses: [tileClass] });
  if (kind === 'check') validate(schedule);
  const grid = machines.h100.numSms * tileClass.ctasPerSm;
  const capacity = { ...requiredCapacity(schedule), maxCtas: Math.max(schedule.numCtas, grid) };
  const layout = workspaceLayout(capacity);
  const image = new Int32Array(layout.totalWords);
  const pageStarts: number[] = [];
  let pages = 0;
  for (const length of kvLens) {
    pageStarts.push(pages);
    pages += Math.ceil(length / pageSize);
  }
  packSchedule(schedule, layout, image, pageStarts, 1);
  const file = `${kind}-${index}.bin`;
  writeFileSync(join(folder, file), image);
  return {
    layout: 'NHD',
    softCap: 0,
    sinks: false,
    alibi: false,
    badPages: false,
    hiddenPages: 0,
    ...entry,
    trace,
    ragged,
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
    grid,
    program: {
      name: program.name,
      threads: program.threads,
      sharedMemoryBytes: program.sharedMemoryBytes,
      ctasPerSm: tileClass.ctasPerSm,
    },
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
