// The arithmetic of prefill for one warp: S = Q K^T and O = P V with the query rows in the matrix instruction's 16 rows, and
// the running softmax between them. Knows a step of keys and values in shared memory, neither tiles nor pages.
//
// Lane 4 g + t holds, in each group of 16 rows, rows g and g + 8; of each 8 columns (tokens of the scores, head dims of
// the output), columns 2 t and 2 t + 1.
#pragma once

#include "attention/output.cuh"
#include "attention/prefill_loader.cuh"

namespace warpbook {

// The running maximum moves only when a score exceeds it by this much (log2): weights stay below 2^8.
constexpr float kLazyRescale = 8.0f;

// From dot products to log2 of the weights; `to_cap` and `from_cap` do it in two steps around the soft cap.
struct ScoreScale {
  float log2;
  float to_cap;
  float from_cap;

  __device__ explicit ScoreScale(const AttentionParams& params) {
    const float scale = params.sm_scale * params.k_scale;
    const float cap = params.logits_soft_cap;
    log2 = scale * kLog2e;
    to_cap = cap > 0 ? 2 * kLog2e * scale / cap : 0;
    from_cap = cap * kLog2e;
  }
  // cap * tanh(x / cap): tanh(y) = 1 - 2 / (e^2y + 1). Not tanh.approx: its error, times the cap, is 2 %.
  __device__ float cap(float dot) const { return from_cap - from_cap * __fdividef(2.0f, exp2_approx(dot * to_cap) + 1); }
};

// A query row of the tile, for whoever needs more of it than its elements.
struct __align__(16) RowInfo {
  // -1: there is no such row.
  int token;
  int head;
  // In the coordinates of the KV sequence.
  int position;
  // ALiBi slope, times log2 e.
  float slope;
};

// Keys at positions [first, last] that the rows of a warp see: all of them [max_first, min_last], any [min_first, max_last].
struct __align__(16) RowsRange {
  int max_first;
  int min_last;
  int min_first;
  int max_last;
};

__device__ __forceinline__ float minus_infinity() { return -__int_as_float(0x7f800000); }

class PrefillRows {
 public:
  // Before division by `sum`.
  float output[kRowGroups][2 * kOutputPairs][4];
  // Running reference (log2), and this lane's share of the sum of weights, of rows g and g + 8.
  float max[kRowGroups][2];
  float sum[kRowGroups][2];

  // `queries`: the warp's rows, and what is known about them, in shared memory.
  __device__ __forceinline__ PrefillRows(
      const AttentionParams& params, uint32 queries, const RowInfo* rows, const ScoreScale& scale, int lane)
      : params_(params), queries_(queries + row_operand_offset(lane)), rows_(rows), scale_(scale), lane_(lane) {}

  __device__ __forceinline__ void reset() {
#pragma unroll
    for (int i = 0; i < kRowGroups; ++i) {
#pragma unroll
      for (int n = 0; n < 2 * kOutputPairs; ++n) output[i][n][0] = output[i][n][1] = output[i][n][2] = output[i][n][3] = 0;
      max[i][0] = max[i][1] = kNoScore;
      sum[i][0] = sum[i][1] = 0;
    }
  }

  // The first kGroups groups of rows take a step. `tiles`: its keys and then its values. `loader`: its copies come between the
  // products.
  template <int kGroups>
  __device__ __forceinline__ void attend(
      uint32 tiles, const StepInfo& info, const RowsRange& range, const PrefillLoader& loader) {
    Scores scores;
    multiply_keys<kGroups>(tiles + column_operand_offset(lane_), scores);
    const float multiplier = prepare<kGroups>(scores, info, range);
    raise_references<kGroups>(scores, multiplier);
    multiply_values<kGroups>(tiles + kKvTileBytes + row_operand_offset(lane_), scores, multiplier, loader);
  }

  // Adds up the sums of the lanes; after this every lane has its rows' whole sums.
  __device__ __forceinline__ void reduce_sums() {
#pragma unroll
    for (int i = 0; i < kRowGroups; ++i) {
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        sum[i][c] += __shfl_xor_sync(kAllLanes, sum[i][c], 1);
        sum[i][c] += __shfl_xor_sync(kAllLanes, sum[i][c], 2);
      }
    }
  }

 private:
  // Of the rows of each group, for the tokens of a step.
  using Scores = float[kRowGroups][kStepTokens / 8][4];

  template <int kGroups>
  __device__ __forceinline__ void load_queries(uint32 (&a)[kRowGroups][4], int k) const {
#pragma unroll
    for (int i = 0; i < kGroups; ++i) load_matrices(a[i], queries_ + k * 32 + i * 16 * kTileRowBytes);
  }

  template <int kGroups>
  __device__ __forceinline__ void multiply_keys(uint32 keys, Scores& scores) const {
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
#pragma unroll
      for (int n = 0; n < kStepTokens / 8; ++n) scores[i][n][0] = scores[i][n][1] = scores[i][n][2] = scores[i][n][3] = 0;
    }
    // Operands are read one instruction's worth ahead of their use.
    constexpr int kPairs = kStepTokens / 16;
    uint32 a[2][kRowGroups][4];
    uint32 b[2][4];
    load_queries<kGroups>(a[0], 0);
    load_matrices(b[0], keys);
#pragma unroll
    for (int k = 0; k < kKeySteps; ++k) {
      if (k + 1 < kKeySteps) load_queries<kGroups>(a[(k + 1) & 1], k + 1);
#pragma unroll
      for (int n = 0; n < kPairs; ++n) {
        const int next = k * kPairs + n + 1;
        if (next < kKeySteps * kPairs) {
          load_matrices(b[next & 1], keys + next / kPairs * 32 + next % kPairs * 16 * kTileRowBytes);
        }
        const uint32(&y)[4] = b[(next - 1) & 1];
#pragma unroll
        for (int i = 0; i < kGroups; ++i) {
          const uint32(&x)[4] = a[k & 1][i];
          mma(scores[i][2 * n], x[0], x[1], x[2], x[3], y[0], y[1]);
          mma(scores[i][2 * n + 1], x[0], x[1], x[2], x[3], y[2], y[3]);
        }
      }
    }
  }

  // Soft cap, ALiBi and the mask. Returns what the scores are still to be multiplied with, to be log2 of the weights.
  template <int kGroups>
  __device__ __forceinline__ float prepare(Scores& scores, const StepInfo& info, const RowsRange& range) const {
    float multiplier = scale_.log2;
    const int position = info.position;
    if (unlikely(params_.logits_soft_cap > 0 || params_.alibi_slopes != nullptr)) {
      multiplier = 1;
      if (params_.logits_soft_cap > 0) {
        bend<kGroups, true>(scores, position);
      } else {
        bend<kGroups, false>(scores, position);
      }
    }
    bool whole = true;
#pragma unroll
    for (int w = 0; w < kStepTokens / 32; ++w) whole &= info.valid[w] == 0xffffffffu;
    const bool seen = !info.masked || (range.max_first <= position && position + kStepTokens - 1 <= range.min_last);
    if (unlikely(!whole || !seen)) hide<kGroups>(scores, info.valid, info.masked, position);
    return multiplier;
  }

  template <int kGroups, bool kCapped>
  __device__ __forceinline__ void bend(Scores& scores, int position) const {
    const ScoreScale scale = scale_;
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        const RowInfo& row = rows_[i * 16 + (lane_ >> 2) + 8 * c];
        const int distance = position + 2 * (lane_ & 3) - row.position;
        const float slope = row.slope;
#pragma unroll
        for (int n = 0; n < kStepTokens / 8; ++n) {
#pragma unroll
          for (int j = 0; j < 2; ++j) {
            float& score = scores[i][n][2 * c + j];
            score = kCapped ? scale.cap(score) : score * scale.log2;
            score += slope * static_cast<float>(distance + n * 8 + j);
          }
        }
      }
    }
  }

  template <int kGroups>
  __device__ __forceinline__ void hide(Scores& scores, const uint32* valid, int masked, int position) const {
    const int t = lane_ & 3;
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        // Counted from the first token of the step.
        const int row = rows_[i * 16 + (lane_ >> 2) + 8 * c].position - position;
        const int last = masked && params_.causal ? row : kStepTokens;
        const int first = masked && params_.window_left >= 0 ? row - params_.window_left : 0;
#pragma unroll
        for (int w = 0; w < kStepTokens / 32; ++w) {
          const uint32 seen = valid[w] & bits_up_to(last - 32 * w) & ~bits_up_to(first - 1 - 32 * w);
          const uint32 mine = seen >> (2 * t);
#pragma unroll
          for (int n = 0; n < 4; ++n) {
#pragma unroll
            for (int j = 0; j < 2; ++j) {
              if (!(mine >> (8 * n + j) & 1)) scores[i][4 * w + n][2 * c + j] = minus_infinity();
            }
          }
        }
      }
    }
  }
  // Bits 0 to `last`; none where it is negative.
  __device__ __forceinline__ static uint32 bits_up_to(int last) {
    return last < 0 ? 0 : 0xffffffffu >> (31 - min(last, 31));
  }

  // Sees to it that no weight is above 2^kLazyRescale.
  template <int kGroups>
  __device__ __forceinline__ void raise_references(const Scores& scores, float multiplier) {
    float top[kRowGroups][2];
    bool exceeds = false;
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        top[i][c] = fmaxf(scores[i][0][2 * c], scores[i][0][2 * c + 1]);
#pragma unroll
        for (int n = 1; n < kStepTokens / 8; ++n) {
          top[i][c] = fmaxf(top[i][c], fmaxf(scores[i][n][2 * c], scores[i][n][2 * c + 1]));
        }
        top[i][c] *= multiplier;
        exceeds |= top[i][c] > max[i][c] + kLazyRescale;
      }
    }
    if (__any_sync(kAllLanes, exceeds)) rescale<kGroups>(top);
  }

  // The weights of 16 tokens, packed as the first operand of the product with the values.
  template <int kGroups>
  __device__ __forceinline__ void weigh(const Scores& scores, float multiplier, int k, uint32 (&weights)[kRowGroups][4]) {
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        float x[4];
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          x[j] = exp2_approx(__fmaf_rn(scores[i][2 * k + h][j], multiplier, -max[i][j >> 1]));
          sum[i][j >> 1] += x[j];
        }
        weights[i][2 * h] = pack_compute(x[0], x[1]);
        weights[i][2 * h + 1] = pack_compute(x[2], x[3]);
      }
    }
  }

  // Moves the references of all rows up to the largest scores.
  template <int kGroups>
  __device__ __forceinline__ void rescale(float (&top)[kRowGroups][2]) {
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
      float factor[2];
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        top[i][c] = fmaxf(top[i][c], __shfl_xor_sync(kAllLanes, top[i][c], 1));
        top[i][c] = fmaxf(top[i][c], __shfl_xor_sync(kAllLanes, top[i][c], 2));
        top[i][c] = fmaxf(top[i][c], max[i][c]);
        factor[c] = exp2_approx(max[i][c] - top[i][c]);
        max[i][c] = top[i][c];
        sum[i][c] *= factor[c];
      }
#pragma unroll
      for (int n = 0; n < 2 * kOutputPairs; ++n) {
#pragma unroll
        for (int j = 0; j < 4; ++j) output[i][n][j] *= factor[j >> 1];
      }
    }
  }

  // 16 tokens at a time, so that their exponentials overlap with the products of those before.
  template <int kGroups>
  __device__ __forceinline__ void multiply_values(
      uint32 values, const Scores& scores, float multiplier, const PrefillLoader& loader) {
    constexpr int kChunks = kStepTokens / 16;
    uint32 b[2][4];
    load_matrices_transposed(b[0], values);
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
      uint32 weights[kRowGroups][4];
      weigh<kGroups>(scores, multiplier, k, weights);
      constexpr int kParts = kChunks < kTokenCopies ? kChunks : kTokenCopies;
      if (k < kParts) loader.copy_run<kParts>(k);
#pragma unroll
      for (int n = 0; n < kOutputPairs; ++n) {
        const int next = k * kOutputPairs + n + 1;
        if (next < kChunks * kOutputPairs) {
          load_matrices_transposed(b[next & 1], values + next % kOutputPairs * 32 + next / kOutputPairs * 16 * kTileRowBytes);
        }
        const uint32(&y)[4] = b[(next - 1) & 1];
#pragma unroll
        for (int i = 0; i < kGroups; ++i) {
          const uint32(&x)[4] = weights[i];
          mma(output[i][2 * n], x[0], x[1], x[2], x[3], y[0], y[1]);
          mma(output[i][2 * n + 1], x[0], x[1], x[2], x[3], y[2], y[3]);
        }
      }
    }
  }

  const AttentionParams& params_;
  const uint32 queries_;
  const RowInfo* const rows_;
  const ScoreScale& scale_;
  const int lane_;
};

}  // namespace warpbook
