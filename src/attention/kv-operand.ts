/** Keys and values as launch operands: a paged cache, or ragged tensors; and which page table a plan means. */
import { WarpbookError } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { PageTable } from './page-table';
import type { PagedKvCache } from './paged-kv';
import type { AttentionVariant } from './variant';
import type { BatchPages } from './workspace';

/** Where keys and values lie; strides in elements. */
export interface KvOperand {
  k: Tensor;
  v: Tensor;
  stridePage: number;
  strideToken: number;
  strideHead: number;
  numPages: number;
  pageSize: number;
  kScale: number;
  vScale: number;
}

/** The page table that `plan` was given, or the one of before with new lengths. */
export function resolvePages(
  kv: PageTable | ArrayLike<number>,
  before: PageTable | undefined,
  pageSize: number,
): PageTable {
  if (!(kv instanceof PageTable)) {
    if (!before) {
      throw new WarpbookError(
        'INVALID_PAGE_TABLE',
        'plan got lengths alone, but no page table was planned before; pass cache.pageTable(requests) first.',
      );
    }
    return before.withLengths(kv);
  }
  if (kv.pageSize !== pageSize) {
    throw new WarpbookError(
      'INVALID_PAGE_TABLE',
      `The page table has pages of ${kv.pageSize} tokens; the wrapper was made for ${pageSize}.`,
    );
  }
  return kv.withLengths(kv.kvLens);
}

/** The pages of `table`, which `resolvePages(kv, …)` gave: those of the plan before where `kv` was lengths alone. */
export function batchPages(table: PageTable, kv: PageTable | ArrayLike<number>): BatchPages {
  return { indptr: table.pagedKvIndptr, indices: table.pagedKvIndices, unchanged: !(kv instanceof PageTable) };
}

/** @throws WarpbookError SHAPE_MISMATCH where heads differ */
export function cacheOperand(cache: PagedKvCache, variant: AttentionVariant): KvOperand {
  checkHeads('The cache', cache.numKvHeads, cache.headDim, variant);
  return {
    k: cache.k,
    v: cache.v,
    stridePage: cache.strides.page,
    strideToken: cache.strides.token,
    strideHead: cache.strides.head,
    numPages: cache.numPages,
    pageSize: cache.pageSize,
    kScale: cache.kScale,
    vScale: cache.vScale,
  };
}

/** Ragged keys and values of a batch. */
export interface RaggedKv {
  /** [numKvTokens, numKvHeads, headDim] */
  k: Tensor;
  /** As k. */
  v: Tensor;
  /** Dequantisation scales: `k` and `v` hold value / scale, as float8 does; default 1. */
  kScale?: number;
  vScale?: number;
}

/**
 * Ragged keys and values are pages of one token each, in order.
 * @throws WarpbookError SHAPE_MISMATCH; INVALID_ARGUMENT for a scale that is not a positive number
 */
export function raggedOperand({ k, v, kScale = 1, vScale = 1 }: RaggedKv, variant: AttentionVariant): KvOperand {
  requireScale('kScale', kScale);
  requireScale('vScale', vScale);
  for (const [name, tensor] of [
    ['k', k],
    ['v', v],
  ] as const) {
    if (tensor.ndim !== 3)
      throw new WarpbookError(
        'SHAPE_MISMATCH',
        `${name} has shape [${tensor.shape}]; wanted [numKvTokens, numKvHeads, headDim].`,
      );
    checkHeads(name, tensor.shape[1], tensor.shape[2], variant);
    if (tensor.shape[0] !== k.shape[0] || tensor.strides.join() !== k.strides.join() || tensor.strides[2] !== 1) {
      throw new WarpbookError(
        'SHAPE_MISMATCH',
        'k and v must have the same shape and strides, with contiguous rows; use .contiguous().',
      );
    }
  }
  return {
    k,
    v,
    stridePage: k.strides[0],
    strideToken: k.strides[0],
    strideHead: k.strides[1],
    numPages: k.shape[0],
    pageSize: 1,
    kScale,
    vScale,
  };
}

/** @throws WarpbookError INVALID_ARGUMENT unless keys or values can be divided by it */
export function requireScale(name: string, scale: number): void {
  if (scale > 0 && Number.isFinite(scale)) return;
  throw new WarpbookError('INVALID_ARGUMENT', `${name} is ${scale}; wanted a positive number.`);
}

function checkHeads(what: string, numKvHeads: number, headDim: number, variant: AttentionVariant): void {
  if (numKvHeads !== variant.numKvHeads || headDim !== variant.headDim) {
    throw new WarpbookError(
      'SHAPE_MISMATCH',
      `${what} has ${numKvHeads} KV heads of ${headDim}; the wrapper was made for ${variant.numKvHeads} of ${variant.headDim}.`,
    );
  }
}
