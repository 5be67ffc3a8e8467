/** Attention cases for each feature and each way into a kernel, over a batch of ragged lengths: what a device has to get right. */
import { ScheduleBuilder } from '../../src/schedule/builder';
import { policies } from '../../src/schedule/policies/known';
import { queryPosition } from '../../src/schedule/problem';
import { type Policy, Schedule, type ScheduleTables } from '../../src/schedule/schedule';
import {
  MERGE_GROUP,
  MERGE_GROUP_STRIDE,
  SEGMENT_STRIDE,
  TILE,
  TILE_FLAG,
  TILE_STRIDE,
} from '../../src/schedule/work-tile';
import type { AttentionCase } from './attention';

/** Lengths around block and page ends, an empty request, and one that is split. */
export const RAGGED: readonly number[] = [0, 1, 15, 16, 17, 63, 64, 65, 300, 2500];

/** What the cases below change. */
export const FEATURE_BASE: AttentionCase = {
  kvLens: RAGGED,
  numQoHeads: 32,
  numKvHeads: 8,
  headDim: 128,
  pageSize: 16,
  dtype: 'bfloat16',
  policy: policies.binarySearch,
  seed: 11,
};

/** Tiles from one queue, taken in whatever order CTAs get there. */
export const queued: Policy = (problem, machine) => {
  const builder = new ScheduleBuilder('queued', problem, machine, { dispatch: 'queue' });
  builder.forEachQueryTile((tile) => builder.splitByChunk(tile, 64));
  return builder.build('inOrder');
};

/** Every tile's keys as two segments, of which each says whether the mask applies. */
export const segmented: Policy = (problem, machine) => {
  const plain = policies.fixedSplitSize(96)(problem, machine);
  const tiles = plain.tiles.slice();
  const segments: number[] = [];
  for (let at = 0; at < tiles.length; at += TILE_STRIDE) {
    const [start, end] = [tiles[at + TILE.kvStart], tiles[at + TILE.kvEnd]];
    if (end - start < 2) continue;
    const middle = start + Math.ceil((end - start) / 3);
    const masked = tiles[at + TILE.flags] & TILE_FLAG.needsMask;
    tiles[at + TILE.segStart] = segments.length / SEGMENT_STRIDE;
    tiles[at + TILE.segCount] = 2;
    segments.push(start, middle, masked, 0, middle, end, masked, 0);
  }
  const tables = { ...tablesOf(plain), tiles, segments: Int32Array.from(segments) };
  return new Schedule('segmented', problem, machine, tables);
};

/** Every tile's rows out of the row table, merges too. */
export const gathered: Policy = (problem, machine) => {
  const plain = policies.fixedSplitSize(96)(problem, machine);
  const group = problem.numQoHeads / problem.numKvHeads;
  const rowsPerHead = problem.qoIndptr[problem.batchSize] * group;
  const rows: number[] = [];
  for (let kvHead = 0; kvHead < problem.numKvHeads; kvHead++) {
    for (let request = 0; request < problem.batchSize; request++) {
      for (let token = problem.qoIndptr[request]; token < problem.qoIndptr[request + 1]; token++) {
        const position = queryPosition(problem, request, token);
        for (let g = 0; g < group; g++) rows.push(request, token, kvHead * group + g, position);
      }
    }
  }
  const [tiles, mergeGroups] = [plain.tiles.slice(), plain.mergeGroups.slice()];
  for (let at = 0; at < tiles.length; at += TILE_STRIDE) {
    tiles[at + TILE.rowStart] += tiles[at + TILE.kvHead] * rowsPerHead;
    tiles[at + TILE.flags] |= TILE_FLAG.gatherRows;
  }
  for (let at = 0; at < mergeGroups.length; at += MERGE_GROUP_STRIDE) {
    mergeGroups[at + MERGE_GROUP.rowStart] += mergeGroups[at + MERGE_GROUP.kvHead] * rowsPerHead;
    mergeGroups[at + MERGE_GROUP.flags] |= TILE_FLAG.gatherRows;
  }
  const tables = { ...tablesOf(plain), tiles, mergeGroups, rows: Int32Array.from(rows) };
  return new Schedule('gathered', problem, machine, tables);
};

function tablesOf(schedule: Schedule): ScheduleTables {
  const { tiles, ctaIndptr, dispatch, kvSequences, rows, segments, mergeGroups, mergeSlots, numPartialRows } = schedule;
  return { tiles, ctaIndptr, dispatch, kvSequences, rows, segments, mergeGroups, mergeSlots, numPartialRows };
}

/** What a wrapper has to have room for. */
const segmentsRoom = { maxSegments: 4096 };
const rowsRoom = { maxRows: 16384 };

/** `count` query tokens each, fewer where a request has fewer keys. */
function tokens(count: number): Pick<AttentionCase, 'qoLens' | 'causal'> {
  return { qoLens: RAGGED.map((length) => Math.min(length, count)), causal: true };
}

const e4m3 = { kvDtype: 'float8_e4m3fn', kScale: 0.5, vScale: 1.75 } as const;
const everything = { sinks: true, alibi: true, logitsSoftCap: 30, windowLeft: 100 } as const;
const PREFILL = { qoLens: [1, 1, 7, 16, 3, 40, 64, 0, 130, 5], causal: true } as const;

/** Name and changes of {@link FEATURE_BASE}. */
export const FEATURES: readonly (readonly [name: string, changes: Partial<AttentionCase>])[] = [
  ['bfloat16', {}],
  ['float16', { dtype: 'float16' }],
  ['HND', { layout: 'HND' }],
  ['e4m3 keys with scales', e4m3],
  ['e4m3 keys, HND, pages of 1', { ...e4m3, layout: 'HND', pageSize: 1 }],
  ['e5m2 keys, float16 queries', { kvDtype: 'float8_e5m2', dtype: 'float16' }],
  ['head_dim 64', { headDim: 64 }],
  ['head_dim 256', { headDim: 256, numQoHeads: 8, numKvHeads: 2 }],
  ['pages of 1', { pageSize: 1 }],
  ['pages of 1, HND', { pageSize: 1, layout: 'HND' }],
  ['pages of 5', { pageSize: 5 }],
  ['pages of 8, HND', { pageSize: 8, layout: 'HND' }],
  ['pages of 64', { pageSize: 64 }],
  ['one KV head for 32', { numKvHeads: 1 }],
  ['as many KV heads', { numQoHeads: 4, numKvHeads: 4 }],
  ['64 query heads', { numQoHeads: 64 }],
  ['3 query heads for each KV head', { numQoHeads: 12, numKvHeads: 4 }],
  ['padded rows', { padding: 3 }],

  ['no split', { policy: policies.noSplit }],
  ['7 splits', { policy: policies.fixedSplitCount(7) }],
  ['splits of 64 tokens', { policy: policies.fixedSplitSize(64) }],
  ['splits of 100 tokens', { policy: policies.fixedSplitSize(100) }],
  ['binary search by batch size', { policy: policies.binarySearchByBatchSize }],
  ['head groups', { policy: policies.headGroups }],
  ['a queue', { policy: queued }],
  ['segments', { policy: segmented, capacity: segmentsRoom }],
  ['segments, 4 query tokens, a window', { ...tokens(4), windowLeft: 50, policy: segmented, capacity: segmentsRoom }],
  ['gathered rows', { policy: gathered, capacity: rowsRoom }],
  ['gathered rows, 3 query tokens', { ...tokens(3), policy: gathered, capacity: rowsRoom }],

  ...[1, 2, 3, 4, 5, 6, 7, 8].map((count): [string, Partial<AttentionCase>] => [
    `${count} query tokens, causal`,
    { ...tokens(count), layout: count % 2 === 0 ? 'HND' : 'NHD', pageSize: [16, 8, 1, 64][count % 4] },
  ]),
  ['4 query tokens, head groups', { ...tokens(4), policy: policies.headGroups }],

  ['a window of 0', { windowLeft: 0 }],
  ['a window of 40', { windowLeft: 40 }],
  ['a window of 1,000, splits of 64 tokens', { windowLeft: 1000, policy: policies.fixedSplitSize(64) }],
  ['a soft cap', { logitsSoftCap: 30 }],
  ['a tight soft cap and a window', { logitsSoftCap: 1.5, windowLeft: 40 }],
  ['4 query tokens, a window', { ...tokens(4), windowLeft: 20 }],
  ['a scale of its own', { smScale: 0.25 }],

  ['sinks', { sinks: true }],
  ['sinks, splits of 64 tokens', { sinks: true, policy: policies.fixedSplitSize(64) }],
  ['sinks, a window of 40, pages of 1', { sinks: true, windowLeft: 40, pageSize: 1 }],
  ['ALiBi', { alibi: true }],
  ['ALiBi, 4 query tokens', { alibi: true, ...tokens(4) }],
  ['ALiBi, head_dim 64, a queue', { alibi: true, headDim: 64, policy: queued }],
  ['all of it, e4m3 keys, HND', { ...everything, ...e4m3, layout: 'HND' }],
  ['all of it, 5 query tokens', { ...everything, ...tokens(5), dtype: 'float16' }],

  ['prefill, causal', PREFILL],
  ['prefill, not causal', { ...PREFILL, causal: false }],
  ['prefill, pages of 1, HND', { ...PREFILL, pageSize: 1, layout: 'HND' }],
  ['prefill, head_dim 64, float16', { ...PREFILL, headDim: 64, dtype: 'float16' }],
  ['prefill, head_dim 256', { ...PREFILL, headDim: 256, numQoHeads: 8, numKvHeads: 2 }],
  ['prefill, e4m3 keys', { ...PREFILL, ...e4m3 }],
  ['prefill, splits of 64 tokens', { ...PREFILL, policy: policies.fixedSplitSize(64) }],
  ['prefill, a queue', { ...PREFILL, policy: queued }],
  ['prefill, a window', { ...PREFILL, windowLeft: 20 }],
  ['prefill, segments', { ...PREFILL, policy: segmented, capacity: segmentsRoom }],
  ['prefill, gathered rows', { ...PREFILL, policy: gathered, capacity: rowsRoom }],
  ['prefill, all of it', { ...PREFILL, ...everything }],
];
