// append_kv: writes new keys and values to their slots of a paged pool. One CTA a token; what has no slot is skipped, so
// padding may hold -1. Rows are widened to float32, divided by the pool's scale and rounded to
// the pool's type, as on the CPU device.
#include "attention_params.h"
#include "pdl.cuh"
#include "tensor/elements.cuh"

namespace warpbook {

__device__ __forceinline__ void append_row(
    const AppendKvParams& params, const void* source, void* target, int64 source_at, int64 target_at, float scale) {
  const float x = load_float(params.dtype, source, source_at);
  store_float(params.page_dtype, target, target_at, scale != 1.0f ? __fdiv_rn(x, scale) : x);
}

// Of the token's request and position; -1 where the page table has no such place.
__device__ __forceinline__ int64 slot_of_position(const AppendKvParams& params, int64 token) {
  const int request = static_cast<const int*>(params.batch_indices)[token];
  const int position = static_cast<const int*>(params.positions)[token];
  if (request < 0 || request >= params.batch_size || position < 0) return -1;
  const int* indptr = static_cast<const int*>(params.kv_indptr) + request;
  const int page_of_request = position / params.page_size;
  const int64 entry = static_cast<int64>(indptr[0]) + page_of_request;
  if (entry < 0 || entry >= indptr[1] || entry >= params.num_kv_indices) return -1;
  const int64 page = static_cast<const int*>(params.kv_indices)[entry];
  return page < 0 ? -1 : page * params.page_size + (position - page_of_request * params.page_size);
}

}  // namespace warpbook

extern "C" __global__ void __launch_bounds__(256) append_kv(const __grid_constant__ warpbook::AppendKvParams params) {
  using warpbook::int64;
  warpbook::wait_for_predecessor();
  for (int64 token = blockIdx.x; token < params.num_tokens; token += gridDim.x) {
    const int64 slot = params.slots != nullptr ? static_cast<const int64*>(params.slots)[token]
                                               : warpbook::slot_of_position(params, token);
    if (slot < 0 || slot >= params.num_pages * params.page_size) continue;
    const int64 page = slot / params.page_size;
    const int64 page_at = page * params.page_stride_page + (slot - page * params.page_size) * params.page_stride_token;
    for (int i = threadIdx.x; i < params.num_kv_heads * params.head_dim; i += blockDim.x) {
      const int head = i / params.head_dim;
      const int dim = i - head * params.head_dim;
      const int64 source_at = token * params.stride_token + head * params.stride_head + dim;
      const int64 target_at = page_at + head * params.page_stride_head + dim;
      warpbook::append_row(params, params.k, params.k_pages, source_at, target_at, params.k_scale);
      warpbook::append_row(params, params.v, params.v_pages, source_at, target_at, params.v_scale);
    }
  }
}
