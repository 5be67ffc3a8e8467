/**
 * The host's part of kernels as FlashInfer's were up to v0.0.5: how many tokens a KV chunk has, and which chunks each request
 * gets. Pure; `chunk_tiles` makes a work list of it on the device.
 */
import { MIN_CHUNK_TOKENS } from '../schedule/policies/binary-search';
import { ceilDiv } from '../units';
import { longest } from './batch';

/** Chunks of a batch. */
export interface ChunkPlan {
  /** Tokens of a chunk; the longest length where nothing is split. */
  readonly kvChunkSize: number;
  /** First chunk of each request; int32 [batchSize + 1]. */
  readonly oIndptr: Int32Array;
  readonly split: boolean;
}

export interface ChunkLimits {
  /** CTAs that run at the same time. */
  readonly slots: number;
  readonly numKvHeads: number;
  readonly pageSize: number;
}

/**
 * The smallest chunk, in whole pages and of 128 tokens at least, for which all chunks fit the CTAs at once (Z. Ye et al.,
 * "FlashInfer", 2025).
 * @param split default: whether requests × KV heads leave CTAs idle
 */
export function planChunks(kvLens: Int32Array, limits: ChunkLimits, split?: boolean): ChunkPlan {
  const { slots, numKvHeads, pageSize } = limits;
  const splits = split ?? kvLens.length * numKvHeads < slots;
  const most = Math.max(1, longest(kvLens));
  if (!splits) return { kvChunkSize: most, oIndptr: chunkIndptr(kvLens, most), split: false };
  let low = Math.max(1, Math.floor(MIN_CHUNK_TOKENS / pageSize));
  let high = Math.max(low, ceilDiv(most, pageSize));
  while (low < high) {
    const middle = (low + high) >> 1;
    if (countChunks(kvLens, middle * pageSize) * numKvHeads <= slots) high = middle;
    else low = middle + 1;
  }
  const kvChunkSize = low * pageSize;
  return { kvChunkSize, oIndptr: chunkIndptr(kvLens, kvChunkSize), split: true };
}

function countChunks(kvLens: Int32Array, chunk: number): number {
  let sum = 0;
  for (const length of kvLens) sum += Math.max(1, ceilDiv(length, chunk));
  return sum;
}

function chunkIndptr(kvLens: Int32Array, chunk: number): Int32Array {
  const indptr = new Int32Array(kvLens.length + 1);
  for (let r = 0; r < kvLens.length; r++) indptr[r + 1] = indptr[r] + Math.max(1, ceilDiv(kvLens[r], chunk));
  return indptr;
}
