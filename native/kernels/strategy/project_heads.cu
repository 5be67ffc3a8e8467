// project_heads: the stand-in for the matrix products of a layer. Each head of q, k and v is a matrix of its own times the
// token's embedding and, from the second layer on, the output of attention before. One CTA takes a head and 16 rows.
#include "pdl.cuh"
#include "step_params.h"
#include "tensor/elements.cuh"

namespace warpbook {

constexpr int kThreads = 128;
constexpr int kRows = STEP_ROWS_PER_CTA;
constexpr int kMaxHeadDim = 256;

template <int kDtype>
__device__ __forceinline__ float load(const void* source, int64 at) {
  if constexpr (kDtype == DTYPE_FLOAT32) return static_cast<const float*>(source)[at];
  const uint32 bits = static_cast<const unsigned short*>(source)[at];
  return kDtype == DTYPE_FLOAT16 ? widen<Float16>(bits) : widen<Bfloat16>(bits);
}

template <int kDtype>
__device__ __forceinline__ void project(const ProjectHeadsParams& params, float (&x)[kMaxHeadDim][kRows]) {
  const int dims = params.head_dim;
  const int group = params.num_qo_heads / params.num_kv_heads;
  const int head = static_cast<int>(blockIdx.x);
  const int kv_head = (head - params.num_qo_heads) % params.num_kv_heads;
  const int source_head = head < params.num_qo_heads ? head : kv_head * group;
  const int first_row = static_cast<int>(blockIdx.y) * kRows;
  const int num_rows = min(kRows, params.num_rows - first_row);
  for (int i = static_cast<int>(threadIdx.x); i < kRows * dims; i += kThreads) {
    const int row = i / dims;
    const int dim = i - row * dims;
    float value = 0;
    if (row < num_rows) {
      const int position = static_cast<const int*>(params.positions)[first_row + row];
      const int request = static_cast<const int*>(params.batch_indices)[first_row + row];
      const int embedding = position < 0 ? 0 : (request * 131 + position * 31) % params.num_embeddings;
      value = load<kDtype>(params.embeddings, (static_cast<int64>(embedding) * params.num_qo_heads + source_head) * dims + dim);
      const int64 at = (static_cast<int64>(first_row + row) * params.num_qo_heads + source_head) * dims + dim;
      if (params.residual != nullptr && position >= 0) value += load<kDtype>(params.residual, at);
    }
    x[dim][row] = value;
  }
  __syncthreads();
  const bool is_query = head < params.num_qo_heads;
  void* out = is_query ? params.q : head < params.num_qo_heads + params.num_kv_heads ? params.k : params.v;
  const int out_head = is_query ? head : kv_head;
  const int out_heads = is_query ? params.num_qo_heads : params.num_kv_heads;
  for (int dim = static_cast<int>(threadIdx.x); dim < dims; dim += kThreads) {
    float sums[kRows] = {};
    const int64 column = static_cast<int64>(head) * dims * dims + dim;
#pragma unroll 8
    for (int i = 0; i < dims; ++i) {
      const float weight = load<kDtype>(params.weights, column + static_cast<int64>(i) * dims);
#pragma unroll
      for (int row = 0; row < kRows; ++row) sums[row] += x[i][row] * weight;
    }
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      if (row >= num_rows) break;
      store_float(kDtype, out, (static_cast<int64>(first_row + row) * out_heads + out_head) * dims + dim, sums[row]);
    }
  }
}

}  // namespace warpbook

extern "C" __global__ void __launch_bounds__(warpbook::kThreads)
project_heads(const __grid_constant__ warpbook::ProjectHeadsParams params) {
  using namespace warpbook;
  __shared__ __align__(16) float x[kMaxHeadDim][kRows];
  wait_for_predecessor();
  switch (params.dtype) {
    case DTYPE_FLOAT32: project<DTYPE_FLOAT32>(params, x); break;
    case DTYPE_FLOAT16: project<DTYPE_FLOAT16>(params, x); break;
    default: project<DTYPE_BFLOAT16>(params, x);
  }
}
