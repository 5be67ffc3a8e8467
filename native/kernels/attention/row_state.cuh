// The arithmetic of decode for one warp: S^T = K Q^T and O^T = V^T P^T, so that tokens and head dims fill the matrix
// instruction's 16 rows and up to 8 query rows its 8 columns; half the work of queries in the 16 rows. Knows a stage of
// keys, neither tiles nor pages.
//
// Lane 4 g + t holds, of the scores, tokens g and g + 8 for the query rows 2 t and 2 t + 1; of the output, the same query
// rows for runs of consecutive head dims (kRun of them from g * kRun on, repeated every 8 kRun).
#pragma once

#include "attention/output.cuh"
#include "attention/queries.cuh"

namespace warpbook {

// The running maximum moves only when a score exceeds it by this much (log2): weights stay below 2^8.
constexpr float kLazyRescale = 8.0f;

// Head dims that a lane reads at once from a row of values.
constexpr int kRun = kFloat8 && kHeadDim >= 128 ? 16 : 8;
constexpr int kRuns = kHeadDim / (8 * kRun);
constexpr int kTilesPerRun = kRun / 2;

// A query row, as far as its logits depend on more than the dot product.
struct RowContext {
  // In positions counted from the first key of the sequence.
  int position;
  // ALiBi, times log2(e).
  float slope;
};

// From dot products to logits in log2, and which keys a row sees: what all rows of a launch share.
struct LogitRule {
  float scale;
  // The scale in two steps around the soft cap; from_cap 0: no cap.
  float to_cap;
  float from_cap;
  // Key minus query position of the keys that are seen is in [-behind, ahead].
  int behind;
  int ahead;
  bool alibi;

  __device__ explicit LogitRule(const AttentionParams& params) {
    constexpr int kUnlimited = 0x7fffffff;
    const float natural = params.sm_scale * params.k_scale;
    scale = natural * kLog2e;
    const float cap = params.logits_soft_cap;
    to_cap = cap > 0 ? 2 * kLog2e * natural / cap : 0;
    from_cap = cap * kLog2e;
    behind = params.window_left >= 0 ? params.window_left : kUnlimited;
    ahead = params.causal ? 0 : kUnlimited;
    alibi = kGeneral && params.alibi_slopes != nullptr;
  }
  __device__ bool capped() const { return from_cap > 0; }
  // cap * tanh(x / cap), in log2: tanh(y) = 1 - 2 / (e^2y + 1). Not tanh.approx: its error, times the cap, is 2 %.
  __device__ float cap(float dot) const { return from_cap - from_cap * __fdividef(2.0f, exp2_approx(dot * to_cap) + 1); }
  __device__ bool shows(int distance) const { return distance <= ahead && distance >= -behind; }
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

  // `rows`: one a query row; not looked at where neither `masked` nor ALiBi is on.
  __device__ __forceinline__ void attend(
      const KvStage& stage, const Queries& queries, const LogitRule& rule, const RowContext* rows, const Team& team,
      int lane) {
    StageInfo info[kStepBlocks];
#pragma unroll
    for (int b = 0; b < kStepBlocks; ++b) info[b] = *stage.block(b).info;
    if constexpr (kTight) lane = forget(lane);
    const int g = lane >> 2;
    const int t = lane & 3;
    float scores[kStepBlocks][kRowTiles][4];
#pragma unroll
    for (int b = 0; b < kStepBlocks; ++b) multiply_keys(stage.block(b).keys, queries, g, t, scores[b]);

    wait_for_values(team);
    uint4 values[kStepBlocks][kEarlyRuns > 0 ? kEarlyRuns : 1][4];
#pragma unroll
    for (int b = 0; b < kStepBlocks; ++b) {
#pragma unroll
      for (int h = 0; h < kEarlyRuns; ++h) load_values(stage.block(b).values, h, g, t, info[b].valid, values[b][h]);
    }

#pragma unroll
    for (int b = 0; b < kStepBlocks; ++b) to_logits(scores[b], info[b], rule, rows, g, t);
    uint32 weights[kStepBlocks][kRowTiles][2];
    update(scores, weights);

#pragma unroll
    for (int b = 0; b < kStepBlocks; ++b) {
#pragma unroll
      for (int h = 0; h < kEarlyRuns; ++h) multiply_values(h, values[b][h], weights[b]);
#pragma unroll
      for (int h = kEarlyRuns; h < kRuns; ++h) {
        load_values(stage.block(b).values, h, g, t, info[b].valid, values[b][0]);
        multiply_values(h, values[b][0], weights[b]);
      }
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

  // Puts the first `num_rows` rows, of which this warp has those from `first_row` on, where the other warps see them.
  __device__ __forceinline__ void share(
      float (*shared)[kOutputPitch], RowSoftmax* softmax, int first_row, int num_rows, int lane) const {
    const int g = lane >> 2;
    const int t = lane & 3;
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        const int row = first_row + n * 8 + 2 * t + c;
        if (row >= num_rows) continue;
        if (g == 0) softmax[row] = {max[n][c], sum[n][c]};
#pragma unroll
        for (int h = 0; h < kRuns; ++h) {
#pragma unroll
          for (int j = 0; j < kRun / 4; ++j) {
            const float(&low)[4] = output[n][h * kTilesPerRun + 2 * j];
            const float(&high)[4] = output[n][h * kTilesPerRun + 2 * j + 1];
            *reinterpret_cast<float4*>(&shared[row][h * 8 * kRun + g * kRun + 4 * j]) =
                make_float4(low[c], low[2 + c], high[c], high[2 + c]);
          }
        }
      }
    }
  }

 private:
  // Runs of values that are read before the softmax, to hide the latency; the rest must share registers.
  static constexpr int kEarlyRuns = kRuns <= 2 ? kRuns : (kRowTiles == 1 ? 2 : 0);

  __device__ __forceinline__ void multiply_keys(
      uint32 keys, const Queries& queries, int g, int t, float (&scores)[kRowTiles][4]) {
    constexpr int kLoads = kRowChunks / 4;
    constexpr int kPerLoad = kDepth / kLoads;
    // Two chains of sums: half the latency.
    float sums[2][kRowTiles][4] = {};
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const uint4 low = load_shared16(keys + key_offset(g, t + 4 * i));
      const uint4 high = load_shared16(keys + key_offset(g + 8, t + 4 * i));
#pragma unroll
      for (int j = 0; j < kPerLoad; j += 2) {
        uint32 a[2][4];
#pragma unroll
        for (int m = 0; m < 2; ++m) key_operand(low, high, j + m, a[m]);
#pragma unroll
        for (int n = 0; n < kRowTiles; ++n) {
          const uint4 q = queries.get(n, (i * kPerLoad + j) / 2);
          mma(sums[0][n], a[0][0], a[0][1], a[0][2], a[0][3], q.x, q.y);
          mma(sums[1][n], a[1][0], a[1][1], a[1][2], a[1][3], q.z, q.w);
        }
      }
    }
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) scores[n][i] = sums[0][n][i] + sums[1][n][i];
    }
  }

  // The j-th operand in 16 bytes of each of two rows of keys.
  __device__ __forceinline__ static void key_operand(const uint4& low, const uint4& high, int j, uint32 (&a)[4]) {
    if constexpr (kFloat8) {
      const uint32 x = word(low, j), y = word(high, j);
      a[0] = widen_low(x), a[1] = widen_low(y), a[2] = widen_high(x), a[3] = widen_high(y);
    } else {
      a[0] = word(low, 2 * j), a[1] = word(high, 2 * j), a[2] = word(low, 2 * j + 1), a[3] = word(high, 2 * j + 1);
    }
  }

  __device__ __forceinline__ static void to_logits(
      float (&scores)[kRowTiles][4], const StageInfo& info, const LogitRule& rule, const RowContext* rows, int g,
      int t) {
    if (unlikely(rule.capped())) {
#pragma unroll
      for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) scores[n][i] = rule.cap(scores[n][i]);
      }
    } else {
#pragma unroll
      for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) scores[n][i] *= rule.scale;
      }
    }
    if (!unlikely(info.valid != 0xffff || info.masked || rule.alibi)) return;
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const RowContext& row = rows[n * 8 + 2 * t + (i & 1)];
        const int token = g + (i >> 1) * 8;
        const int distance = info.position + token - row.position;
        if (rule.alibi) scores[n][i] += row.slope * static_cast<float>(distance);
        const bool seen = !info.masked || rule.shows(distance);
        if (!(info.valid >> token & 1) || !seen) scores[n][i] = -__int_as_float(0x7f800000);
      }
    }
  }

  // Scores to weights, packed as the second operand of the product with the values.
  __device__ __forceinline__ void update(
      float (&scores)[kStepBlocks][kRowTiles][4], uint32 (&weights)[kStepBlocks][kRowTiles][2]) {
    float top[kRowTiles][2];
    bool exceeds = false;
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        top[n][c] = fmaxf(scores[0][n][c], scores[0][n][2 + c]);
#pragma unroll
        for (int b = 1; b < kStepBlocks; ++b) {
          top[n][c] = fmaxf(top[n][c], fmaxf(scores[b][n][c], scores[b][n][2 + c]));
        }
        exceeds |= top[n][c] > max[n][c] + kLazyRescale;
      }
    }
    if (__any_sync(kAllLanes, exceeds)) rescale(top);
#pragma unroll
    for (int b = 0; b < kStepBlocks; ++b) {
#pragma unroll
      for (int n = 0; n < kRowTiles; ++n) {
        float(&x)[4] = scores[b][n];
#pragma unroll
        for (int i = 0; i < 4; ++i) x[i] = exp2_approx(x[i] - max[n][i & 1]);
        sum[n][0] += x[0] + x[2];
        sum[n][1] += x[1] + x[3];
        weights[b][n][0] = transpose8x8(pack_compute(x[0], x[1]));
        weights[b][n][1] = transpose8x8(pack_compute(x[2], x[3]));
      }
    }
  }

  __device__ __forceinline__ void rescale(float (&top)[kRowTiles][2]) {
    bool started = false;
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n) started |= max[n][0] != kNoScore || max[n][1] != kNoScore;
    started = __any_sync(kAllLanes, started);
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
      if (!started) continue;  // there is nothing to scale before the first keys
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
};

}  // namespace warpbook
