// append_kv: writes new keys and values to their slots of a paged pool. One CTA a token; what has no slot is skipped, so
// padding may hold -1. As on the CPU device, rows are widened to float32, divided by the pool's scale and rounded to the
// pool's type; rows of the pool's own type and the scale 1 are copied bit by bit.
#include "attention_params.h"
#include "pdl.cuh"
#include "tensor/elements.cuh"

namespace warpbook {

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

// Both rows of a token's heads, one Element after the other; rows, strides and addresses are whole Elements.
template <class Element>
__device__ __forceinline__ void copy_heads(const AppendKvParams& params, int64 source, int64 target) {
  const int per_element = sizeof(Element) / item_size(params.dtype);
  const int per_head = params.head_dim / per_element;
  for (int i = threadIdx.x; i < params.num_kv_heads * per_head; i += blockDim.x) {
    const int head = i / per_head;
    const int dim = (i - head * per_head) * per_element;
    const int64 from = (source + head * params.stride_head + dim) / per_element;
    const int64 to = (target + head * params.page_stride_head + dim) / per_element;
    const Element key = static_cast<const Element*>(params.k)[from];
    const Element value = static_cast<const Element*>(params.v)[from];
    static_cast<Element*>(params.k_pages)[to] = key;
    static_cast<Element*>(params.v_pages)[to] = value;
  }
}

// Whether keys and values can be copied in pieces of 16 bytes; the pool's pages always can.
__device__ __forceinline__ bool in_pieces(const AppendKvParams& params) {
  const int64 elements = params.stride_token | params.stride_head | params.head_dim;
  const uint64 addresses = reinterpret_cast<uint64>(params.k) | reinterpret_cast<uint64>(params.v);
  return ((static_cast<uint64>(elements) * item_size(params.dtype) | addresses) & 15) == 0;
}

__device__ __forceinline__ void convert_element(
    const AppendKvParams& params, const void* source, void* target, int64 source_at, int64 target_at, float scale) {
  const float x = load_float(params.dtype, source, source_at);
  store_float(params.page_dtype, target, target_at, scale != 1.0f ? __fdiv_rn(x, scale) : x);
}

__device__ __forceinline__ void convert_heads(const AppendKvParams& params, int64 source, int64 target) {
  for (int i = threadIdx.x; i < params.num_kv_heads * params.head_dim; i += blockDim.x) {
    const int head = i / params.head_dim;
    const int dim = i - head * params.head_dim;
    const int64 from = source + head * params.stride_head + dim;
    const int64 to = target + head * params.page_stride_head + dim;
    convert_element(params, params.k, params.k_pages, from, to, params.k_scale);
    convert_element(params, params.v, params.v_pages, from, to, params.v_scale);
  }
}

}  // namespace warpbook

extern "C" __global__ void __launch_bounds__(256) append_kv(const __grid_constant__ warpbook::AppendKvParams params) {
  using namespace warpbook;
  wait_for_predecessor();
  const bool same = params.dtype == params.page_dtype && params.k_scale == 1.0f && params.v_scale == 1.0f;
  for (int64 token = blockIdx.x; token < params.num_tokens; token += gridDim.x) {
    const int64 slot = params.slots != nullptr ? static_cast<const int64*>(params.slots)[token]
                                               : slot_of_position(params, token);
    if (slot < 0 || slot >= params.num_pages * params.page_size) continue;
    const int64 page = slot / params.page_size;
    const int64 target = page * params.page_stride_page + (slot - page * params.page_size) * params.page_stride_token;
    const int64 source = token * params.stride_token;
    if (!same) {
      convert_heads(params, source, target);
    } else if (in_pieces(params)) {
      copy_heads<uint4>(params, source, target);
    } else if (item_size(params.dtype) == 4) {
      copy_heads<uint32>(params, source, target);
    } else {
      copy_heads<unsigned short>(params, source, target);
    }
  }
}
