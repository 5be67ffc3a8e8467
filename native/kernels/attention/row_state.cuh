// The arithmetic of decode for one warp: S^T = K Q^T and O^T = V^T P^T, so that tokens and head dims fill the matrix
// instruction's 16 rows and up to 8 query rows its 8 columns; half the work of queries in the 16 rows. Knows a stage of
// keys, neither tiles nor pages.
//
// Lane 4 g + t holds, of the scores, tokens g and g + 8 for the query rows 2 t and 2 t + 1; of the output, the same query
// rows for runs of consecutive head dims (kRun of them from g * kRun on, repeated every 8 kRun).
#pragma once

#include "attention/kv_stage.cuh"

namespace warpbook {

constexpr float kLog2e = 1.4426950408889634f;
constexpr float kLn2 = 0.6931471805599453f;
// Stands for "no key yet": finite, so that a difference is never NaN.
constexpr float kNoScore = -1.7e38f;
// The running maximum moves only when a score exceeds it by this much (log2): weights stay below 2^8.
constexpr float kLazyRescale = 8.0f;

// Matrix instructions over the head dim.
constexpr int kDepth = kHeadDim / 16;
// Head dims that a lane reads at once from a row of values.
constexpr int kRun = kFloat8 && kHeadDim >= 128 ? 16 : 8;
constexpr int kRuns = kHeadDim / (8 * kRun);
constexpr int kTilesPerRun = kRun / 2;

// What the query rows 2 t and 2 t + 1 of each row tile may see: keys at positions [first, last].
struct RowMask {
  int first[kRowTiles][2];
  int last[kRowTiles][2];
};

struct ScoreScale {
  // From dot product to log2 of the weight.
  float log2;
  // The same in two steps around the cap; cap 0: none.
  float to_cap;
  float from_cap;

  __device__ explicit ScoreScale(const AttentionParams& params) {
    const float scale = params.sm_scale * params.k_scale;
    log2 = scale * kLog2e;
    const float cap = params.logits_soft_cap;
    to_cap = cap > 0 ? 2 * kLog2e * scale / cap : 0;
    from_cap = cap * kLog2e;
  }
  __device__ bool capped() const { return from_cap > 0; }
  // cap * tanh(x / cap), in log2: tanh(y) = 1 - 2 / (e^2y + 1). Not tanh.approx: its error, times the cap, is 2 %.
  __device__ float cap(float dot) const { return from_cap - from_cap * __fdividef(2.0f, exp2_approx(dot * to_cap) + 1); }
};

class RowState {
 public:
  // Output before division by `sum`: column c of row tile n, see the file head for the head dims.
  float output[kRowTiles][kDepth][4];
  // Running reference (log2) and this lane's share of the sum of weights.
  float max[kRowTiles][2];
  float sum[kRowTiles][2];

  __device__ __forceinline__ void reset() {
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
      for (int j = 0; j < kDepth; ++j) output[n][j][0] = output[n][j][1] = output[n][j][2] = output[n][j][3] = 0;
      max[n][0] = max[n][1] = kNoScore;
      sum[n][0] = sum[n][1] = 0;
    }
  }

  // `row`: head_dim elements of query row g of row tile n; 0: there is none.
  __device__ __forceinline__ void load_query(int n, const void* row, int t) {
    constexpr int kLoads = kHeadDim / 32;
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      // Which elements go together must match the chunks of keys below: 8 a lane, or 16 of float8.
      const int chunk = kFloat8 ? (i >> 1) * 8 + t * 2 + (i & 1) : i * 4 + t;
      uint4 x = make_uint4(0, 0, 0, 0);
      if (row != nullptr) x = __ldg(static_cast<const uint4*>(row) + chunk);
      query_[n][2 * i][0] = query_operand(x.x);
      query_[n][2 * i][1] = query_operand(x.y);
      query_[n][2 * i + 1][0] = query_operand(x.z);
      query_[n][2 * i + 1][1] = query_operand(x.w);
    }
  }

  __device__ __forceinline__ void attend(
      const KvStage& stage, const StageInfo& info, const ScoreScale& scale, const RowMask& mask, int lane) {
    const int g = lane >> 2;
    const int t = lane & 3;
    float scores[kRowTiles][4];
    multiply_keys(stage.keys, g, t, scores);

    uint4 values[kEarlyRuns > 0 ? kEarlyRuns : 1][4];
#pragma unroll
    for (int h = 0; h < kEarlyRuns; ++h) load_values(stage.values, h, g, t, info.valid, values[h]);

    scale_scores(scores, info, scale, mask, g);
    uint32 weights[kRowTiles][2];
    update(scores, weights);

#pragma unroll
    for (int h = 0; h < kEarlyRuns; ++h) multiply_values(h, values[h], weights);
#pragma unroll
    for (int h = kEarlyRuns; h < kRuns; ++h) {
      load_values(stage.values, h, g, t, info.valid, values[0]);
      multiply_values(h, values[0], weights);
    }
  }

  // Adds up the sums of the lanes; after this every lane has its query rows' whole sum.
  __device__ __forceinline__ void reduce_sums() {
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
      for (int x = 4; x < 32; x <<= 1) {
        sum[n][0] += __shfl_xor_sync(kAllLanes, sum[n][0], x);
        sum[n][1] += __shfl_xor_sync(kAllLanes, sum[n][1], x);
      }
    }
  }

 private:
  // Runs of values that are read before the softmax, to hide the latency; the rest must share registers.
  static constexpr int kEarlyRuns = kRuns <= 2 ? kRuns : (kRowTiles == 1 ? 2 : 0);

  __device__ __forceinline__ void multiply_keys(uint32 keys, int g, int t, float (&scores)[kRowTiles][4]) {
    constexpr int kLoads = kRowChunks / 4;
    constexpr int kPerLoad = kDepth / kLoads;
    // Two chains of sums: half the latency.
    float odd[kRowTiles][4];
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) scores[n][i] = odd[n][i] = 0;
    }
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const uint4 low = load_shared16(keys + key_offset(g, t + 4 * i));
      const uint4 high = load_shared16(keys + key_offset(g + 8, t + 4 * i));
      const uint32 a[4] = {low.x, low.y, low.z, low.w};
      const uint32 b[4] = {high.x, high.y, high.z, high.w};
#pragma unroll
      for (int j = 0; j < kPerLoad; ++j) {
        const int m = i * kPerLoad + j;
        uint32 a0, a1, a2, a3;
        if constexpr (kFloat8) {
          a0 = widen_low(a[j]), a1 = widen_low(b[j]), a2 = widen_high(a[j]), a3 = widen_high(b[j]);
        } else {
          a0 = a[2 * j], a1 = b[2 * j], a2 = a[2 * j + 1], a3 = b[2 * j + 1];
        }
#pragma unroll
        for (int n = 0; n < kRowTiles; ++n) {
          mma(m & 1 ? odd[n] : scores[n], a0, a1, a2, a3, query_[n][m][0], query_[n][m][1]);
        }
      }
    }
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) scores[n][i] += odd[n][i];
    }
  }

  __device__ __forceinline__ static void scale_scores(
      float (&scores)[kRowTiles][4], const StageInfo& info, const ScoreScale& scale, const RowMask& mask, int g) {
    if (unlikely(scale.capped())) {
#pragma unroll
      for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) scores[n][i] = scale.cap(scores[n][i]);
      }
    } else {
#pragma unroll
      for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) scores[n][i] *= scale.log2;
      }
    }
    if (!unlikely(info.valid != 0xffff || info.masked)) return;
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int token = g + (i >> 1) * 8;
        const int position = info.position + token;
        const bool seen = !info.masked || (position >= mask.first[n][i & 1] && position <= mask.last[n][i & 1]);
        if (!(info.valid >> token & 1) || !seen) scores[n][i] = -__int_as_float(0x7f800000);
      }
    }
  }

  // Scores to weights, packed as the second operand of the product with the values.
  __device__ __forceinline__ void update(float (&scores)[kRowTiles][4], uint32 (&weights)[kRowTiles][2]) {
    float top[kRowTiles][2];
    bool exceeds = false;
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        top[n][c] = fmaxf(scores[n][c], scores[n][2 + c]);
        exceeds |= top[n][c] > max[n][c] + kLazyRescale;
      }
    }
    if (__any_sync(kAllLanes, exceeds)) rescale(top);
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) scores[n][i] = exp2_approx(scores[n][i] - max[n][i & 1]);
      sum[n][0] += scores[n][0] + scores[n][2];
      sum[n][1] += scores[n][1] + scores[n][3];
      weights[n][0] = transpose8x8(pack_compute(scores[n][0], scores[n][1]));
      weights[n][1] = transpose8x8(pack_compute(scores[n][2], scores[n][3]));
    }
  }

  __device__ __forceinline__ void rescale(float (&top)[kRowTiles][2]) {
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n) {
      float factor[2];
#pragma unroll
      for (int c = 0; c < 2; ++c) {
#pragma unroll
        for (int x = 4; x < 32; x <<= 1) top[n][c] = fmaxf(top[n][c], __shfl_xor_sync(kAllLanes, top[n][c], x));
        top[n][c] = fmaxf(top[n][c], max[n][c]);
        factor[c] = exp2_approx(max[n][c] - top[n][c]);
        max[n][c] = top[n][c];
        sum[n][c] *= factor[c];
      }
#pragma unroll
      for (int j = 0; j < kDepth; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) output[n][j][i] *= factor[i & 1];
      }
    }
  }

  // Run h of the lane's four rows. Rows that aren't valid may hold anything, and 0 times NaN is NaN.
  __device__ __forceinline__ static void load_values(uint32 values, int h, int g, int t, int valid, uint4 (&rows)[4]) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int row = 2 * t + (j & 1) + (j >> 1) * 8;
      if constexpr (kFloat8 && kRun == 8) {
        const uint2 x = load_shared8(values + value_offset(row, g >> 1) + (g & 1) * 8);
        rows[j] = make_uint4(x.x, x.y, 0, 0);
      } else {
        rows[j] = load_shared16(values + value_offset(row, g + 8 * h));
      }
    }
    if (unlikely(valid != 0xffff)) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (!(valid >> (2 * t + (j & 1) + (j >> 1) * 8) & 1)) rows[j] = make_uint4(0, 0, 0, 0);
      }
    }
  }

  __device__ __forceinline__ void multiply_values(int h, const uint4 (&rows)[4], const uint32 (&weights)[kRowTiles][2]) {
#pragma unroll
    for (int w = 0; w < kTilesPerRun; ++w) {
      // Head dims 2 w and 2 w + 1 of the run, in the two halves of the instruction's 16 rows.
      uint32 a0, a1, a2, a3;
      if constexpr (kFloat8) {
        const uint32 select = w & 1 ? 0x7362 : 0x5140;
        const uint32 low = __byte_perm(word(rows[0], w >> 1), word(rows[1], w >> 1), select);
        const uint32 high = __byte_perm(word(rows[2], w >> 1), word(rows[3], w >> 1), select);
        a0 = widen_low(low), a1 = widen_high(low), a2 = widen_low(high), a3 = widen_high(high);
      } else {
        a0 = __byte_perm(word(rows[0], w), word(rows[1], w), 0x5410);
        a1 = __byte_perm(word(rows[0], w), word(rows[1], w), 0x7632);
        a2 = __byte_perm(word(rows[2], w), word(rows[3], w), 0x5410);
        a3 = __byte_perm(word(rows[2], w), word(rows[3], w), 0x7632);
      }
#pragma unroll
      for (int n = 0; n < kRowTiles; ++n) {
        mma(output[n][h * kTilesPerRun + w], a0, a1, a2, a3, weights[n][0], weights[n][1]);
      }
    }
  }

  __device__ __forceinline__ static uint32 word(const uint4& x, int i) {
    return i == 0 ? x.x : i == 1 ? x.y : i == 2 ? x.z : x.w;
  }

  uint32 query_[kRowTiles][kDepth][2];
};

}  // namespace warpbook
