// Where results go: rows of the output with their LSE, partial states, trace records; and what joins a row last, its sink.
#pragma once

#include "attention/elements.cuh"
#include "attention/schedule_view.cuh"

namespace warpbook {

constexpr float kLog2e = 1.4426950408889634f;
constexpr float kLn2 = 0.6931471805599453f;
// Stands for "no key yet": finite, so that a difference is never NaN.
constexpr float kNoScore = -1.7e38f;

// The softmax of a row: `sum` of weights relative to a logit of `reference` (log2). kNoScore and 0: no key.
struct RowSoftmax {
  float reference;
  float sum;

  // Attention sink: one more key, with the head's own logit and a value of zero. It joins where the output row is
  // written, never a partial state. Returns the factor for everything that was summed before.
  __device__ __forceinline__ float add_sink(const AttentionParams& params, int head) {
    if (!kGeneral || params.sinks == nullptr) return 1;
    const float sink = __ldg(static_cast<const float*>(params.sinks) + head) * kLog2e;
    const float largest = fmaxf(sink, reference);
    const float factor = exp2_approx(reference - largest);
    sum = sum * factor + exp2_approx(sink - largest);
    reference = largest;
    return factor;
  }
  // 1 / sum, or 0 where there is nothing. NaN stays NaN.
  __device__ float inverse() const { return empty() ? 0 : reciprocal(sum); }
  // Natural logarithm.
  __device__ float lse() const {
    return empty() ? -__int_as_float(0x7f800000) : (reference + log2_approx(sum)) * kLn2;
  }

 private:
  __device__ bool empty() const { return !(sum > 0) && !(sum != sum); }
};

// Four elements of an output row from head dim `dim` on.
__device__ __forceinline__ void write_output4(const AttentionParams& params, const RowRef& row, int dim, float4 x) {
  char* target = static_cast<char*>(params.o) +
                 2 * (row.token * params.o_stride_token + row.head * params.o_stride_head + dim);
  *reinterpret_cast<uint2*>(target) = make_uint2(pack_output(x.x, x.y), pack_output(x.z, x.w));
}

__device__ __forceinline__ void write_lse(const AttentionParams& params, const RowRef& row, float lse) {
  if (params.lse == nullptr) return;
  static_cast<float*>(params.lse)[static_cast<int64>(row.token) * params.num_qo_heads + row.head] = lse;
}

// A word of a partial state that nobody has written yet: a NaN that no arithmetic gives. All words are this between
// launches; who merges a state leaves it behind.
__device__ __forceinline__ float unwritten() { return __uint_as_float(0xffffffffu); }
__device__ __forceinline__ bool is_unwritten(float x) { return __float_as_uint(x) == 0xffffffffu; }

__device__ __forceinline__ float* partial_output(const AttentionParams& params, int64 row) {
  return static_cast<float*>(params.partial_o) + row * kHeadDim;
}
__device__ __forceinline__ float* partial_lse(const AttentionParams& params, int64 row) {
  return static_cast<float*>(params.partial_lse) + row;
}

__device__ __forceinline__ void write_trace(const AttentionParams& params, int record, int item, int phase, int64 start) {
  int* words = static_cast<int*>(params.trace) + static_cast<int64>(record) * WB_TRACE_RECORD_WORDS;
  *reinterpret_cast<int4*>(words + TRACE_CTA) = make_int4(blockIdx.x, sm_id(), item, phase);
  *reinterpret_cast<longlong2*>(words + TRACE_START_NS) = make_longlong2(start, global_time_ns());
}

static_assert(TRACE_CTA == 0 && TRACE_SM == 1 && TRACE_ITEM == 2 && TRACE_PHASE == 3, "write_trace");
static_assert(TRACE_START_NS == 4 && TRACE_END_NS == 6 && WB_TRACE_RECORD_WORDS == 8, "write_trace");

}  // namespace warpbook
