// The arithmetic of decode for a warp with 16 query rows: S = Q K^T and O = P V, as query rows fill the matrix instruction's 16
// rows. Keys and weights are operands as they are read and computed, and values are transposed on their way from shared memory;
// the other way round (row_state.cuh) both must be put together out of two registers each, and weights transposed.
//
// Lane 4 g + t holds, of the scores, tokens 2 t, 2 t + 1, 2 t + 8 and 2 t + 9 for the query rows g and g + 8; of the output, the
// same query rows for head dims 8 n + 2 t and 8 n + 2 t + 1.
#pragma once

#include "attention/row_state.cuh"

namespace warpbook {

class WideRowState {
 public:
  // Output before division by `sum`: tile n of 8 head dims, columns 2 t and 2 t + 1 of row g, then of row g + 8.
  float output[kHeadDim / 8][4];
  // Running reference (log2) and this lane's share of the sum of weights, of row g and of row g + 8.
  float max[2];
  float sum[2];

  __device__ __forceinline__ void reset() {
#pragma unroll
    for (int n = 0; n < kHeadDim / 8; ++n) output[n][0] = output[n][1] = output[n][2] = output[n][3] = 0;
    max[0] = max[1] = kNoScore;
    sum[0] = sum[1] = 0;
  }

  // As RowState::attend(), of queries that are arranged.
  __device__ __forceinline__ void attend(
      const KvStage& stage, const Queries& queries, const LogitRule& rule, const RowContext* rows, const Team& team,
      int lane) {
    const StageInfo info = *stage.info;
#if __CUDA_ARCH__ < 900
    lane = forget(lane);  // else a few bytes spill
#endif
    const int g = lane >> 2;
    const int t = lane & 3;
    float scores[2][4];
    multiply_keys(stage.keys, queries, g, t, scores);
    wait_for_values(team);
    uint32 values[kBatch][4];
    load_values(stage.values, 0, lane, info.valid, values);
    to_logits(scores, info, rule, rows, g, t);
    uint32 weights[4];
    update(scores, weights);
    multiply_values(0, values, weights);
    load_values(stage.values, 1, lane, info.valid, values);
    multiply_values(1, values, weights);
  }

  __device__ __forceinline__ void reduce_sums() {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      sum[r] += __shfl_xor_sync(kAllLanes, sum[r], 1);
      sum[r] += __shfl_xor_sync(kAllLanes, sum[r], 2);
    }
  }

  // As RowState::share().
  __device__ __forceinline__ void share(
      float (*shared)[kOutputPitch], RowSoftmax* softmax, int first_row, int num_rows, int lane) const {
    const int g = lane >> 2;
    const int t = lane & 3;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = first_row + r * 8 + g;
      if (row >= num_rows) continue;
      if (t == 0) softmax[row] = {max[r], sum[r]};
#pragma unroll
      for (int n = 0; n < kHeadDim / 8; ++n) {
        *reinterpret_cast<float2*>(&shared[row][n * 8 + 2 * t]) = make_float2(output[n][2 * r], output[n][2 * r + 1]);
      }
    }
  }

 private:
  // Pairs of chunks of values that are read at once; the first of them before the softmax, to hide the latency.
  static constexpr int kBatch = kRowChunks / 4;

  __device__ __forceinline__ static void multiply_keys(
      uint32 keys, const Queries& queries, int g, int t, float (&scores)[2][4]) {
    constexpr int kLoads = kRowChunks / 4;
    // Two chains of sums for each 8 tokens: half the latency.
    float sums[2][2][4] = {};
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const uint4 low = load_shared16(keys + key_offset(g, t + 4 * i));
      const uint4 high = load_shared16(keys + key_offset(g + 8, t + 4 * i));
      const uint4& first = queries.get(0, i);
      const uint4& second = queries.get(1, i);
      mma(sums[0][0], first.x, first.y, first.z, first.w, low.x, low.y);
      mma(sums[0][1], first.x, first.y, first.z, first.w, high.x, high.y);
      mma(sums[1][0], second.x, second.y, second.z, second.w, low.z, low.w);
      mma(sums[1][1], second.x, second.y, second.z, second.w, high.z, high.w);
    }
#pragma unroll
    for (int n = 0; n < 2; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) scores[n][i] = sums[0][n][i] + sums[1][n][i];
    }
  }

  __device__ __forceinline__ static void to_logits(
      float (&scores)[2][4], const StageInfo& info, const LogitRule& rule, const RowContext* rows, int g, int t) {
    if (unlikely(rule.capped())) {
#pragma unroll
      for (int n = 0; n < 2; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) scores[n][i] = rule.cap(scores[n][i]);
      }
    } else {
#pragma unroll
      for (int n = 0; n < 2; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) scores[n][i] *= rule.scale;
      }
    }
    if (!unlikely(info.valid != 0xffff || info.masked || rule.alibi)) return;
#pragma unroll
    for (int n = 0; n < 2; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const RowContext& row = rows[g + (i >> 1) * 8];
        const int token = n * 8 + 2 * t + (i & 1);
        const int distance = info.position + token - row.position;
        if (rule.alibi) scores[n][i] += row.slope * static_cast<float>(distance);
        const bool seen = !info.masked || rule.shows(distance);
        if (!(info.valid >> token & 1) || !seen) scores[n][i] = -__int_as_float(0x7f800000);
      }
    }
  }

  // Scores to weights, packed as the first operand of the product with the values.
  __device__ __forceinline__ void update(float (&scores)[2][4], uint32 (&weights)[4]) {
    float top[2];
    bool exceeds = false;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      top[r] = fmaxf(fmaxf(scores[0][2 * r], scores[0][2 * r + 1]), fmaxf(scores[1][2 * r], scores[1][2 * r + 1]));
      exceeds |= top[r] > max[r] + kLazyRescale;
    }
    if (__any_sync(kAllLanes, exceeds)) rescale(top);
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      float(&x)[4] = scores[n];
#pragma unroll
      for (int i = 0; i < 4; ++i) x[i] = exp2_approx(x[i] - max[i >> 1]);
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        sum[r] += x[2 * r] + x[2 * r + 1];
        weights[2 * n + r] = pack_compute(x[2 * r], x[2 * r + 1]);
      }
    }
  }

  __device__ __forceinline__ void rescale(float (&top)[2]) {
    const bool started = __any_sync(kAllLanes, max[0] != kNoScore || max[1] != kNoScore);
    float factor[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      top[r] = fmaxf(top[r], __shfl_xor_sync(kAllLanes, top[r], 1));
      top[r] = fmaxf(top[r], __shfl_xor_sync(kAllLanes, top[r], 2));
      top[r] = fmaxf(top[r], max[r]);
      factor[r] = exp2_approx(max[r] - top[r]);
      max[r] = top[r];
      sum[r] *= factor[r];
    }
    if (!started) return;  // there is nothing to scale before the first keys
#pragma unroll
    for (int n = 0; n < kHeadDim / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) output[n][i] *= factor[i >> 1];
    }
  }

  // Batch b of the values: of chunks 2 i and 2 i + 1, tokens 2 t, 2 t + 1 and 2 t + 8, 2 t + 9 of dim g of the one, then of the
  // other. Rows that aren't valid may hold anything, and 0 times NaN is NaN.
  __device__ __forceinline__ static void load_values(uint32 values, int b, int lane, int valid, uint32 (&x)[kBatch][4]) {
    const int token = lane & 15;
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      load_transposed(x[i], values + value_offset(token, 2 * (b * kBatch + i) + (lane >> 4)));
    }
    if (unlikely(valid != 0xffff)) {
      const int t = lane & 3;
      const uint32 low = half_mask(valid >> 2 * t), high = half_mask(valid >> (2 * t + 8));
#pragma unroll
      for (int i = 0; i < kBatch; ++i) x[i][0] &= low, x[i][1] &= high, x[i][2] &= low, x[i][3] &= high;
    }
  }
  __device__ __forceinline__ void multiply_values(int b, const uint32 (&x)[kBatch][4], const uint32 (&weights)[4]) {
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int n = 2 * (b * kBatch + i);
      mma(output[n], weights[0], weights[1], weights[2], weights[3], x[i][0], x[i][1]);
      mma(output[n + 1], weights[0], weights[1], weights[2], weights[3], x[i][2], x[i][3]);
    }
  }
  // All bits of the halves of a word whose bits 0 and 1 are set.
  __device__ __forceinline__ static uint32 half_mask(int bits) {
    return (bits & 1 ? 0xffffu : 0u) | (bits & 2 ? 0xffff0000u : 0u);
  }
};

}  // namespace warpbook
