// merge_states: partial states that are tensors become one, o = sum of o_s e^(lse_s - lse), as on the CPU device but in
// float32. A team of 16 lanes takes a row (token, head), each lane eight head dims at a time, and the states in their order.
// A state of no keys, whose LSE is -inf, counts nothing, whatever its output holds. The result may lie where state 0 does.
#include "attention_params.h"
#include "pdl.cuh"
#include "tensor/elements.cuh"

namespace warpbook {

constexpr uint32 kAllLanes = 0xffffffffu;
constexpr int kTeam = 16;
// Head dims that a team takes at once.
constexpr int kTeamDims = kTeam * kGroup;
// 64 registers and not 68: one CTA more on an SM. On sm_80 it would spill.
#if __CUDA_ARCH__ >= 900
constexpr int kCtasPerSm = 4;
#else
constexpr int kCtasPerSm = 3;
#endif

__device__ __forceinline__ float infinity() { return __uint_as_float(0x7f800000); }

template <class Combine>
__device__ __forceinline__ float reduce_team(float x, Combine combine) {
#pragma unroll
  for (int lane = 1; lane < kTeam; lane <<= 1) x = combine(x, __shfl_xor_sync(kAllLanes, x, lane, kTeam));
  return x;
}

// A row's states, and the place of its result.
struct Row {
  const MergeStatesParams& params;
  int64 token;
  int head;

  __device__ __forceinline__ float lse(int state) const {
    if (state == 0) return static_cast<const float*>(params.first_lse)[token * params.first_lse_stride_token + head];
    const int64 at = (state - 1) * params.rest_lse_stride_state + token * params.rest_lse_stride_token + head;
    return static_cast<const float*>(params.rest_lse)[at];
  }
  __device__ __forceinline__ const void* output(int state) const { return state == 0 ? params.first_o : params.rest_o; }
  __device__ __forceinline__ int64 at(int state) const {
    if (state == 0) return token * params.first_stride_token + head * params.first_stride_head;
    return (state - 1) * params.rest_stride_state + token * params.rest_stride_token + head * params.rest_stride_head;
  }
  __device__ __forceinline__ int64 result() const { return token * params.o_stride_token + head * params.o_stride_head; }
};

// The softmax over the states so far: weights are relative to `largest`.
struct Softmax {
  float largest;
  float sum;

  // The weight of an LSE, 0 for -inf also where nothing else has come: a difference of infinities would be NaN.
  __device__ __forceinline__ float weight(float lse) const { return lse == -infinity() ? 0.0f : expf(lse - largest); }
};

// Eight head dims from `dim` on, `count` of which there are; at once, or one at a time where not all rows begin at whole
// groups.
template <int kDtype, bool kGroups>
__device__ __forceinline__ void load_dims(const void* source, int64 at, int count, float (&x)[kGroup]) {
  if constexpr (kGroups) {
    if (count > 0) load8(kDtype, source, at, x);
  } else {
#pragma unroll
    for (int d = 0; d < kGroup; ++d) x[d] = d < count ? load_float(kDtype, source, at + d) : 0;
  }
}
template <bool kGroups>
__device__ __forceinline__ void store_dims(int dtype, void* target, int64 at, int count, const float (&x)[kGroup]) {
  if constexpr (kGroups) {
    if (count > 0) store8(dtype, target, at, x);
  } else {
#pragma unroll
    for (int d = 0; d < kGroup; ++d) {
      if (d < count) store_float(dtype, target, at + d, x[d]);
    }
  }
}

// To be called by whole warps; lanes of rows beyond the last repeat it and write nothing.
template <int kDtype, bool kGroups>
__device__ __forceinline__ void merge_row(const Row& row, bool writes, int lane) {
  // States whose outputs are requested before the first is looked at.
  constexpr int kInFlight = kGroups ? 2 : 1;
  const MergeStatesParams& params = row.params;
  const float sink = params.sinks != nullptr ? static_cast<const float*>(params.sinks)[row.head] : -infinity();
  Softmax softmax{};
  for (int team_dim = 0; team_dim < params.head_dim; team_dim += kTeamDims) {
    const int dim = team_dim + lane * kGroup;
    const int num_dims = params.head_dim - dim;
    softmax = {sink, sink == -infinity() ? 0.0f : 1.0f};
    float total[kGroup] = {};
    for (int first = 0; first < params.num_states; first += kTeam) {
      // Lane i has the LSE and the weight of state first + i.
      const int count = min(params.num_states - first, kTeam);
      const float lse = lane < count ? row.lse(first + lane) : -infinity();
      float x[kInFlight][kGroup];
      // States beyond repeat the last one, with the weight 0.
      const auto request = [&](int s) {
#pragma unroll
        for (int i = 0; i < kInFlight; ++i) {
          const int state = first + min(s + i, count - 1);
          load_dims<kDtype, kGroups>(row.output(state), row.at(state) + dim, num_dims, x[i]);
        }
      };
      request(0);  // on their way while the LSEs become weights
      const float before = softmax.largest;
      softmax.largest = fmaxf(before, reduce_team(lse, [](float a, float b) { return fmaxf(a, b); }));
      const float factor = before == -infinity() ? 0.0f : expf(before - softmax.largest);
      const float weight = softmax.weight(lse);
      softmax.sum = softmax.sum * factor + reduce_team(weight, [](float a, float b) { return a + b; });
#pragma unroll
      for (int d = 0; d < kGroup; ++d) total[d] *= factor;
      for (int s = 0; s < count; s += kInFlight) {
        if (s > 0) request(s);
#pragma unroll
        for (int i = 0; i < kInFlight; ++i) {
          const float w = __shfl_sync(kAllLanes, weight, s + i, kTeam);
          if (w == 0) continue;
#pragma unroll
          for (int d = 0; d < kGroup; ++d) total[d] += w * x[i][d];
        }
      }
    }
    const float scale = softmax.sum == 0 ? 0 : 1 / softmax.sum;
#pragma unroll
    for (int d = 0; d < kGroup; ++d) total[d] *= scale;
    if (writes) store_dims<kGroups>(params.o_dtype, params.o, row.result() + dim, num_dims, total);
  }
  __syncwarp();  // the result's LSE may lie where that of state 0 does, which the whole team has read
  if (writes && lane == 0) {
    static_cast<float*>(params.lse)[row.token * params.lse_stride_token + row.head] =
        softmax.sum == 0 ? -infinity() : softmax.largest + logf(softmax.sum);
  }
}

template <int kDtype>
__device__ __forceinline__ void merge_row_of(const Row& row, bool writes, bool groups, int lane) {
  groups ? merge_row<kDtype, true>(row, writes, lane) : merge_row<kDtype, false>(row, writes, lane);
}

// Whether all rows begin at whole groups of eight elements.
__device__ __forceinline__ bool in_groups(const MergeStatesParams& params) {
  const int64 elements = params.first_stride_token | params.first_stride_head | params.rest_stride_state |
                         params.rest_stride_token | params.rest_stride_head | params.o_stride_token |
                         params.o_stride_head | params.head_dim;
  return elements % kGroup == 0 && is_aligned8(params.state_dtype, params.first_o) &&
         is_aligned8(params.state_dtype, params.rest_o) && is_aligned8(params.o_dtype, params.o);
}

}  // namespace warpbook

extern "C" __global__ void __launch_bounds__(warpbook::kTeam * warpbook::MERGE_ROWS_PER_CTA, warpbook::kCtasPerSm)
merge_states(const __grid_constant__ warpbook::MergeStatesParams params) {
  using namespace warpbook;
  wait_for_predecessor();
  const int64 num_rows = params.num_tokens * params.num_heads;
  const int64 index = static_cast<int64>(blockIdx.x) * MERGE_ROWS_PER_CTA + threadIdx.x / kTeam;
  const bool writes = index < num_rows;
  const int64 at = writes ? index : num_rows - 1;
  // 32-bit division is several times faster, and nearly always enough.
  const int64 token = num_rows >> 32 == 0 ? static_cast<uint32>(at) / static_cast<uint32>(params.num_heads)
                                          : at / params.num_heads;
  const Row row{params, token, static_cast<int>(at - token * params.num_heads)};
  const bool groups = in_groups(params);
  const int lane = threadIdx.x % kTeam;
  switch (params.state_dtype) {
    case DTYPE_FLOAT32: return merge_row_of<DTYPE_FLOAT32>(row, writes, groups, lane);
    case DTYPE_FLOAT16: return merge_row_of<DTYPE_FLOAT16>(row, writes, groups, lane);
    case DTYPE_BFLOAT16: return merge_row_of<DTYPE_BFLOAT16>(row, writes, groups, lane);
  }
}
