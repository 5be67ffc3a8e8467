/** New keys and values for a paged cache: what they must look like, and the launch that writes them to their slots. */
import type { Address } from '../device/params';
import type { Stream } from '../device/stream';
import { WarpbookError } from '../errors';
import { DTYPE_CODE, type DType } from '../tensor/dtype';
import type { Tensor } from '../tensor/tensor';
import { appendParams } from './append-params';
import type { PagedKvCache } from './paged-kv';

/** Where tokens go, by request and position of a page table on the cache's device. All contiguous int32. */
export interface AppendPlaces {
  /** Request of each token in the page table, [numTokens]. A token of a request that isn't there is skipped. */
  batchIndices: Tensor;
  /** Position of each token in its request, [numTokens]. A token beyond the request's pages is skipped. */
  positions: Tensor;
  /** [batchSize + 1], as `PageTable.toTensors()` makes it. */
  pagedKvIndptr: Tensor;
  /** Page ids; at least as many as the pages of all requests. A page that the pool doesn't have is skipped. */
  pagedKvIndices: Tensor;
}

export interface AppendOptions {
  /** Default: the device's own. */
  stream?: Stream;
  /** False: the launch waits for all that is ahead of it; see `CtaOverrides`. */
  pdl?: boolean;
}

/** @throws WarpbookError DEVICE_MISMATCH, SHAPE_MISMATCH, DTYPE_MISMATCH */
export function checkNewTokens(cache: PagedKvCache, k: Tensor, v: Tensor): void {
  for (const [name, tensor] of [
    ['k', k],
    ['v', v],
  ] as const) {
    requireOnDevice(cache, name, tensor);
    const fits =
      tensor.ndim === 3 &&
      tensor.shape[0] === k.shape[0] &&
      tensor.shape[1] === cache.numKvHeads &&
      tensor.shape[2] === cache.headDim;
    if (!fits) {
      throw new WarpbookError(
        'SHAPE_MISMATCH',
        `${name} has shape [${tensor.shape}]; wanted [numTokens, ${cache.numKvHeads}, ${cache.headDim}].`,
      );
    }
    if (!(tensor.dtype in { float32: 0, float16: 0, bfloat16: 0 })) {
      throw new WarpbookError(
        'DTYPE_MISMATCH',
        `${name} is ${tensor.dtype}; append takes float32, float16 or bfloat16.`,
      );
    }
    if (
      tensor.strides[2] !== 1 ||
      tensor.strides.some((stride, i) => stride !== k.strides[i]) ||
      tensor.dtype !== k.dtype
    ) {
      throw new WarpbookError(
        'SHAPE_MISMATCH',
        `k and v must have the same dtype and strides, with contiguous rows; use .contiguous().`,
      );
    }
  }
}

/** Enqueues the writing of `k` and `v`, checked before, to `slots` (int64 [numTokens]). May be captured. */
export function launchAppend(cache: PagedKvCache, slots: Tensor, k: Tensor, v: Tensor, stream?: Stream): void {
  requireVector(cache, 'slots', slots, 'int64', k.shape[0]);
  launch(cache, { ...NOWHERE, slots: slots.address() }, [slots], k, v, { stream });
}

/** Enqueues the writing of `k` and `v`, checked before, to their places. May be captured. */
export function launchAppendAt(
  cache: PagedKvCache,
  places: AppendPlaces,
  k: Tensor,
  v: Tensor,
  options: AppendOptions = {},
): void {
  const { batchIndices, positions, pagedKvIndptr, pagedKvIndices } = places;
  const numTokens = k.shape[0];
  requireVector(cache, 'batchIndices', batchIndices, 'int32', numTokens);
  requireVector(cache, 'positions', positions, 'int32', numTokens);
  requireVector(cache, 'pagedKvIndptr', pagedKvIndptr, 'int32');
  requireVector(cache, 'pagedKvIndices', pagedKvIndices, 'int32');
  if (pagedKvIndptr.numel === 0) {
    throw new WarpbookError('SHAPE_MISMATCH', 'pagedKvIndptr is empty; wanted int32 [batchSize + 1].');
  }
  const where = {
    slots: null,
    batch_indices: batchIndices.address(),
    positions: positions.address(),
    kv_indptr: pagedKvIndptr.address(),
    kv_indices: pagedKvIndices.address(),
    batch_size: pagedKvIndptr.numel - 1,
    num_kv_indices: pagedKvIndices.numel,
  };
  launch(cache, where, [batchIndices, positions, pagedKvIndptr, pagedKvIndices], k, v, options);
}

/** The part of the parameters that says where tokens go. */
interface Where {
  slots: Address | null;
  batch_indices: Address | null;
  positions: Address | null;
  kv_indptr: Address | null;
  kv_indices: Address | null;
  batch_size: number;
  num_kv_indices: number;
}

const NOWHERE: Where = {
  slots: null,
  batch_indices: null,
  positions: null,
  kv_indptr: null,
  kv_indices: null,
  batch_size: 0,
  num_kv_indices: 0,
};

function launch(
  cache: PagedKvCache,
  where: Where,
  tables: readonly Tensor[],
  k: Tensor,
  v: Tensor,
  { stream = cache.device.stream, pdl }: AppendOptions,
): void {
  if (k.shape[0] === 0) return;
  stream.launch({
    program: 'append_kv',
    pdl,
    grid: [k.shape[0], 1, 1],
    params: appendParams.pack({
      k: k.address(),
      v: v.address(),
      k_pages: cache.k.address(),
      v_pages: cache.v.address(),
      ...where,
      num_tokens: k.shape[0],
      stride_token: k.strides[0],
      stride_head: k.strides[1],
      page_stride_page: cache.strides.page,
      page_stride_token: cache.strides.token,
      page_stride_head: cache.strides.head,
      num_pages: cache.numPages,
      page_size: cache.pageSize,
      num_kv_heads: cache.numKvHeads,
      head_dim: cache.headDim,
      dtype: DTYPE_CODE[k.dtype],
      page_dtype: DTYPE_CODE[cache.dtype],
      k_scale: cache.kScale,
      v_scale: cache.vScale,
    }),
    buffers: [k, v, cache.k, cache.v, ...tables].map((tensor) => tensor.buffer),
  });
}

function requireOnDevice(cache: PagedKvCache, name: string, tensor: Tensor): void {
  if (tensor.device === cache.device) return;
  throw new WarpbookError(
    'DEVICE_MISMATCH',
    `${name} is on ${tensor.device.name}, the cache on ${cache.device.name}; use ${name}.to(device).`,
  );
}

/** A contiguous vector on the cache's device; `length`: any where left out. */
function requireVector(cache: PagedKvCache, name: string, tensor: Tensor, dtype: DType, length?: number): void {
  requireOnDevice(cache, name, tensor);
  const fits = tensor.ndim === 1 && (length === undefined || tensor.shape[0] === length) && tensor.isContiguous;
  if (tensor.dtype === dtype && fits) return;
  throw new WarpbookError('SHAPE_MISMATCH', `${name} is ${tensor}; wanted contiguous ${dtype} [${length ?? 'n'}].`);
}
