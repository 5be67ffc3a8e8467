// merge_states: partial states that are tensors become one, o = sum of o_s e^(lse_s - lse), as on the CPU device but in
// float32. A warp takes a row (token, head), each lane four head dims at a time, and the states in their order. A state of no
// keys, whose LSE is -inf, counts nothing, whatever its output holds. The result may lie where state 0 does.
#include "attention_params.h"
#include "pdl.cuh"
#include "tensor/elements.cuh"

namespace warpbook {

constexpr uint32 kAllLanes = 0xffffffffu;
// States whose outputs are requested before the first is looked at.
constexpr int kInFlight = 4;

__device__ __forceinline__ float infinity() { return __uint_as_float(0x7f800000); }

// Four elements of a dtype that is known at compile time, in one access.
template <int kDtype>
__device__ __forceinline__ float4 load4(const void* source, int64 at) {
  if constexpr (kDtype == DTYPE_FLOAT32) {
    return *reinterpret_cast<const float4*>(static_cast<const float*>(source) + at);
  } else {
    const uint2 x = *reinterpret_cast<const uint2*>(static_cast<const unsigned short*>(source) + at);
    if constexpr (kDtype == DTYPE_FLOAT16) {
      return make_float4(widen<Float16>(x.x & 0xffff), widen<Float16>(x.x >> 16), widen<Float16>(x.y & 0xffff),
                         widen<Float16>(x.y >> 16));
    } else {
      return make_float4(widen<Bfloat16>(x.x & 0xffff), widen<Bfloat16>(x.x >> 16), widen<Bfloat16>(x.y & 0xffff),
                         widen<Bfloat16>(x.y >> 16));
    }
  }
}

__device__ __forceinline__ void store4(int dtype, void* target, int64 at, float4 x) {
  if (dtype == DTYPE_FLOAT32) {
    *reinterpret_cast<float4*>(static_cast<float*>(target) + at) = x;
    return;
  }
  const bool half = dtype == DTYPE_FLOAT16;
  const auto narrow16 = [half](float value) { return half ? narrow<Float16>(value) : narrow<Bfloat16>(value); };
  *reinterpret_cast<uint2*>(static_cast<unsigned short*>(target) + at) =
      make_uint2(narrow16(x.x) | narrow16(x.y) << 16, narrow16(x.z) | narrow16(x.w) << 16);
}

// One row's states.
struct Row {
  const MergeStatesParams& params;
  int64 first;
  int64 rest;
  int64 first_lse;
  int64 rest_lse;

  __device__ Row(const MergeStatesParams& p, int64 token, int head)
      : params(p), first(token * p.first_stride_token + head * p.first_stride_head),
        rest(token * p.rest_stride_token + head * p.rest_stride_head), first_lse(token * p.first_lse_stride_token + head),
        rest_lse(token * p.rest_lse_stride_token + head) {}

  __device__ __forceinline__ float lse(int state) const {
    if (state == 0) return static_cast<const float*>(params.first_lse)[first_lse];
    return static_cast<const float*>(params.rest_lse)[rest_lse + (state - 1) * params.rest_lse_stride_state];
  }
  __device__ __forceinline__ const void* output(int state) const { return state == 0 ? params.first_o : params.rest_o; }
  __device__ __forceinline__ int64 at(int state) const {
    return state == 0 ? first : rest + (state - 1) * params.rest_stride_state;
  }
};

// Whether all rows can be read and written four elements at a time.
__device__ __forceinline__ bool in_fours(const MergeStatesParams& params) {
  const int64 strides = params.first_stride_token | params.first_stride_head | params.rest_stride_state |
                        params.rest_stride_token | params.rest_stride_head | params.o_stride_token | params.o_stride_head;
  const uint64 states = reinterpret_cast<uint64>(params.first_o) | reinterpret_cast<uint64>(params.rest_o);
  return ((strides | params.head_dim) & 3) == 0 && (states & (4 * item_size(params.state_dtype) - 1)) == 0 &&
         (reinterpret_cast<uint64>(params.o) & (4 * item_size(params.o_dtype) - 1)) == 0;
}

template <int kDtype>
__device__ void merge_row(const MergeStatesParams& params, int64 token, int head, bool fours, int lane) {
  const Row row(params, token, head);
  const float sink = params.sinks != nullptr ? static_cast<const float*>(params.sinks)[head] : -infinity();
  float largest = sink;
  for (int s = lane; s < params.num_states; s += 32) largest = fmaxf(largest, row.lse(s));
#pragma unroll
  for (int x = 1; x < 32; x <<= 1) largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, x));
  // No key anywhere: a difference of infinities would be NaN, and all weights are 0.
  const auto weight = [largest](float lse) { return lse == -infinity() ? 0.0f : expf(lse - largest); };
  float sum = weight(sink);
  for (int s = 0; s < params.num_states; ++s) sum += weight(row.lse(s));
  const bool empty = sum == 0;
  const float scale = empty ? 0 : 1 / sum;

  const int64 out = token * params.o_stride_token + head * params.o_stride_head;
  if (fours) {
    for (int dim = 4 * lane; dim < params.head_dim; dim += 128) {
      float4 total = make_float4(0, 0, 0, 0);
      for (int s = 0; s < params.num_states; s += kInFlight) {
        float4 x[kInFlight];
#pragma unroll
        for (int i = 0; i < kInFlight; ++i) {
          // States beyond repeat the last one, with the weight 0.
          const int state = min(s + i, params.num_states - 1);
          x[i] = load4<kDtype>(row.output(state), row.at(state) + dim);
        }
#pragma unroll
        for (int i = 0; i < kInFlight; ++i) {
          const float w = s + i < params.num_states ? weight(row.lse(s + i)) : 0;
          if (w == 0) continue;
          total.x += w * x[i].x, total.y += w * x[i].y, total.z += w * x[i].z, total.w += w * x[i].w;
        }
      }
      total.x *= scale, total.y *= scale, total.z *= scale, total.w *= scale;
      store4(params.o_dtype, params.o, out + dim, total);
    }
  } else {
    for (int dim = lane; dim < params.head_dim; dim += 32) {
      float total = 0;
      for (int s = 0; s < params.num_states; ++s) {
        const float w = weight(row.lse(s));
        if (w != 0) total += w * load_float(kDtype, row.output(s), row.at(s) + dim);
      }
      store_float(params.o_dtype, params.o, out + dim, total * scale);
    }
  }
  __syncwarp();  // the result's LSE may lie where that of state 0 does, which every lane has read
  if (lane == 0) {
    static_cast<float*>(params.lse)[token * params.lse_stride_token + head] = empty ? -infinity() : largest + logf(sum);
  }
}

}  // namespace warpbook

extern "C" __global__ void __launch_bounds__(32 * warpbook::MERGE_ROWS_PER_CTA)
merge_states(const __grid_constant__ warpbook::MergeStatesParams params) {
  using namespace warpbook;
  wait_for_predecessor();
  const int64 index = static_cast<int64>(blockIdx.x) * MERGE_ROWS_PER_CTA + threadIdx.x / 32;
  if (index >= params.num_tokens * params.num_heads) return;
  const int64 token = index / params.num_heads;
  const int head = static_cast<int>(index - token * params.num_heads);
  const int lane = threadIdx.x % 32;
  const bool fours = in_fours(params);
  switch (params.state_dtype) {
    case DTYPE_FLOAT32: return merge_row<DTYPE_FLOAT32>(params, token, head, fours, lane);
    case DTYPE_FLOAT16: return merge_row<DTYPE_FLOAT16>(params, token, head, fours, lane);
    case DTYPE_BFLOAT16: return merge_row<DTYPE_BFLOAT16>(params, token, head, fours, lane);
  }
}
