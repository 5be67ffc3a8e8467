/**
 * Which graph of a pool a batch takes, as vLLM's dispatcher decides it (v1/cudagraph_dispatcher.py): a uniform decode batch takes a
 * full graph, padded to the next size; a batch with a piece of a prompt in it takes piecewise graphs; a batch beyond the largest
 * size takes none. Pure.
 */
import { longest, type StepBatch } from './batch';

/** Of a batch: all in one graph, all but attention in graphs, or launch by launch. */
export const POOL_MODES = ['full', 'piecewise', 'none'] as const;
export type PoolMode = (typeof POOL_MODES)[number];

/** What a graph is made for. */
export interface PoolKey {
  readonly mode: 'full' | 'piecewise';
  /** Rows, padding included. */
  readonly size: number;
  /** Tokens of a request at most; undefined for piecewise graphs, whose attention is outside. */
  readonly kvLen?: number;
}

export interface PoolShape {
  /** Rows of the graphs, ascending. */
  readonly sizes: readonly number[];
  /** Tokens of a request at most of each length bucket, ascending; one: no buckets. */
  readonly kvLens: readonly number[];
  /** What a uniform decode batch takes. */
  readonly mode: PoolMode;
}

/** The key, or why there is none. */
export function dispatch(batch: StepBatch, shape: PoolShape): PoolKey | { readonly none: string } {
  const rows = batch.kvLens.length;
  const size = shape.sizes.find((candidate) => candidate >= rows);
  if (shape.mode === 'none') return { none: 'the pool was made without graphs' };
  if (size === undefined) return { none: `${rows} requests are more than the largest graph's ${shape.sizes.at(-1)}` };
  if (batch.chunk || shape.mode === 'piecewise') return { mode: 'piecewise', size };
  const most = longest(batch.kvLens);
  const kvLen = shape.kvLens.find((candidate) => candidate >= most);
  if (kvLen === undefined) return { none: `${most} tokens are more than the longest bucket's ${shape.kvLens.at(-1)}` };
  return { mode: 'full', size, kvLen };
}

/** 1, 2, 4, 8, then every 8th: the sizes that vLLM captures by default. */
export function defaultSizes(maxBatch: number): number[] {
  const sizes = [1, 2, 4];
  for (let size = 8; size < maxBatch; size += 8) sizes.push(size);
  return [...sizes.filter((size) => size < maxBatch), maxBatch];
}

export function keyText({ mode, size, kvLen }: PoolKey): string {
  return kvLen === undefined ? `${mode} ${size}` : `${mode} ${size} × ${kvLen}`;
}
