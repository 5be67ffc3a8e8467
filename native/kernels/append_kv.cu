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

// A piece of a token's rows: number i of the keys and then the values of all heads.
struct Piece {
  bool of_keys;
  // Elements from the token's first.
  int64 source;
  int64 target;

  __device__ __forceinline__ Piece(const AppendKvParams& params, int i, int per_head, int elements) {
    const int half = params.num_kv_heads * per_head;
    of_keys = i < half;
    const int of_half = of_keys ? i : i - half;
    const int head = of_half / per_head;
    const int dim = (of_half - head * per_head) * elements;
    source = head * params.stride_head + dim;
    target = head * params.page_stride_head + dim;
  }
};

// The pool's own type.
template <class Bits>
__device__ __forceinline__ void copy_heads(const AppendKvParams& params, int64 source, int64 target) {
  const int elements = sizeof(Bits) / item_size(params.dtype);
  const int per_head = params.head_dim / elements;
  for (int i = threadIdx.x; i < 2 * params.num_kv_heads * per_head; i += blockDim.x) {
    const Piece piece(params, i, per_head, elements);
    const void* from = piece.of_keys ? params.k : params.v;
    void* to = piece.of_keys ? params.k_pages : params.v_pages;
    static_cast<Bits*>(to)[(target + piece.target) / elements] =
        static_cast<const Bits*>(from)[(source + piece.source) / elements];
  }
}

__device__ __forceinline__ float scaled(float x, float scale) { return scale != 1.0f ? __fdiv_rn(x, scale) : x; }

// Another type, or scales: kElements (8 or 1) at once.
template <int kElements>
__device__ __forceinline__ void convert_heads(const AppendKvParams& params, int64 source, int64 target) {
  const int per_head = params.head_dim / kElements;
  for (int i = threadIdx.x; i < 2 * params.num_kv_heads * per_head; i += blockDim.x) {
    const Piece piece(params, i, per_head, kElements);
    const void* from = piece.of_keys ? params.k : params.v;
    void* to = piece.of_keys ? params.k_pages : params.v_pages;
    const float scale = piece.of_keys ? params.k_scale : params.v_scale;
    if constexpr (kElements == kGroup) {
      float x[kGroup];
      load8(params.dtype, from, source + piece.source, x);
#pragma unroll
      for (int d = 0; d < kGroup; ++d) x[d] = scaled(x[d], scale);
      store8(params.page_dtype, to, target + piece.target, x);
    } else {
      const float x = load_float(params.dtype, from, source + piece.source);
      store_float(params.page_dtype, to, target + piece.target, scaled(x, scale));
    }
  }
}

// Whether all rows begin at whole groups of eight elements; those of the pool's pages always do.
__device__ __forceinline__ bool in_groups(const AppendKvParams& params) {
  const int64 elements = params.stride_token | params.stride_head | params.head_dim;
  return elements % kGroup == 0 && is_aligned8(params.dtype, params.k) && is_aligned8(params.dtype, params.v);
}

}  // namespace warpbook

extern "C" __global__ void __launch_bounds__(256) append_kv(const __grid_constant__ warpbook::AppendKvParams params) {
  using namespace warpbook;
  wait_for_predecessor();
  const bool same = params.dtype == params.page_dtype && params.k_scale == 1.0f && params.v_scale == 1.0f;
  const bool groups = in_groups(params);
  for (int64 token = blockIdx.x; token < params.num_tokens; token += gridDim.x) {
    const int64 slot = params.slots != nullptr ? static_cast<const int64*>(params.slots)[token]
                                               : slot_of_position(params, token);
    if (slot < 0 || slot >= params.num_pages * params.page_size) continue;
    const int64 page = slot / params.page_size;
    const int64 target = page * params.page_stride_page + (slot - page * params.page_size) * params.page_stride_token;
    const int64 source = token * params.stride_token;
    if (groups) {
      same ? copy_heads<uint4>(params, source, target) : convert_heads<kGroup>(params, source, target);
    } else if (!same) {
      convert_heads<1>(params, source, target);
    } else if (item_size(params.dtype) == 4) {
      copy_heads<uint32>(params, source, target);
    } else {
      copy_heads<unsigned short>(params, source, target);
    }
  }
}
