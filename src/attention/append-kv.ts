/** New keys and values for a paged cache: what they must look like, and the launch that writes them to their slots. */
import { WarpbookError } from '../errors';
import { DTYPE_CODE } from '../tensor/dtype';
import type { Tensor } from '../tensor/tensor';
import { appendParams } from './append-params';
import type { PagedKvCache } from './paged-kv';

/** @throws WarpbookError DEVICE_MISMATCH, SHAPE_MISMATCH, DTYPE_MISMATCH */
export function checkNewTokens(cache: PagedKvCache, k: Tensor, v: Tensor): void {
  for (const [name, tensor] of [
    ['k', k],
    ['v', v],
  ] as const) {
    if (tensor.device !== cache.device) {
      throw new WarpbookError(
        'DEVICE_MISMATCH',
        `${name} is on ${tensor.device.name}, the cache on ${cache.device.name}; use ${name}.to(device).`,
      );
    }
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
export function launchAppend(cache: PagedKvCache, slots: Tensor, k: Tensor, v: Tensor): void {
  if (slots.dtype !== 'int64' || slots.ndim !== 1 || slots.shape[0] !== k.shape[0] || !slots.isContiguous) {
    throw new WarpbookError('SHAPE_MISMATCH', `slots is ${slots}; wanted contiguous int64 [${k.shape[0]}].`);
  }
  if (k.shape[0] === 0) return;
  cache.device.stream.launch({
    program: 'append_kv',
    grid: [k.shape[0], 1, 1],
    params: appendParams.pack({
      k: k.address(),
      v: v.address(),
      k_pages: cache.k.address(),
      v_pages: cache.v.address(),
      slots: slots.address(),
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
    buffers: [k.buffer, v.buffer, cache.k.buffer, cache.v.buffer, slots.buffer],
  });
}
