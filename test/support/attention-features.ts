/** Attention cases for each feature and each way into a kernel, over a batch of ragged lengths: what a device has to get right. */
import { ScheduleBuilder } from '../../src/schedule/builder';
import { policies } from '../../src/schedule/policies/known';
import type { Policy } from '../../src/schedule/schedule';
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
  ['prefill, all of it', { ...PREFILL, ...everything }],
];
