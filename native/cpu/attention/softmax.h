// The online softmax of one row, block by block. Knows logits and weights, neither keys nor values.
#pragma once

#include <math.h>

#include "cpu/attention/kernels.h"
#include "cpu/attention/vector_math.h"

namespace warpbook::cpu::WB_ISA {

// Blocks whose sums are added up in float32 before they are flushed into the totals in float64: 100,000 keys are 196
// additions in float64, each of 8 blocks of 64.
constexpr int kBlocksPerFlush = 8;

// What makes logits of a row's dot products.
struct LogitMap {
  float scale;
  // 0: none.
  float soft_cap;
  // ALiBi: slope * (position of key - position of query) is added. 0: none.
  float slope;
  // Of the block's first key.
  float distance;
};

// Numbers of a block's keys, as a vector is loaded from anywhere in it.
constexpr float kKeyNumbers[kBlockKeys] = {
    0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
    32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};

struct RowState {
  // Largest logit so far; weights are relative to it.
  float max = -INFINITY;
  // Sum of all weights.
  double sum = 0;
  // What the totals are to be multiplied by at the next flush: the factors of the blocks since the last one.
  double pending = 1;
};

// Turns one row's dot products into weights e^(logit - max), in place. `scores` has kBlockKeys entries, of which the
// row sees [visible_begin, visible_end); the weights of all others are 0, whatever they held. Returns the factor for
// everything that was summed before.
WB_INLINE float update_softmax(float* scores, int visible_begin, int visible_end, const LogitMap& map,
                               RowState& state) {
  constexpr int kVectors = kBlockKeys / kWidth;
  Vec x[kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kVectors; ++i) x[i] = mul(load(scores + i * kWidth), broadcast(map.scale));
  if (map.soft_cap > 0) {
    const Vec cap = broadcast(map.soft_cap);
    for (int i = 0; i < kVectors; ++i) x[i] = mul(tanh(div(x[i], cap)), cap);
  }
  if (map.slope != 0) {
    for (int i = 0; i < kVectors; ++i) {
      const Vec distance = add(load(kKeyNumbers + i * kWidth), broadcast(map.distance));
      x[i] = fma(distance, broadcast(map.slope), x[i]);
    }
  }
  if (visible_begin > 0 || visible_end < kBlockKeys) {
    for (int i = 0; i < kVectors; ++i) store(scores + i * kWidth, x[i]);
    for (int i = 0; i < visible_begin; ++i) scores[i] = -INFINITY;
    for (int i = visible_end; i < kBlockKeys; ++i) scores[i] = -INFINITY;
    for (int i = 0; i < kVectors; ++i) x[i] = load(scores + i * kWidth);
  }

  Vec largest = broadcast(state.max);
#pragma GCC unroll 16
  for (int i = 0; i < kVectors; ++i) largest = max(x[i], largest);
  const float new_max = reduce_max(largest);
  // While no key was visible the maximum is -inf; any finite reference then gives the weight 0.
  const Vec reference = broadcast(new_max == -INFINITY ? 0.0f : new_max);

  Vec sum = zero();
#pragma GCC unroll 16
  for (int i = 0; i < kVectors; ++i) {
    const Vec weight = exp_nonpositive(sub(x[i], reference));
    store(scores + i * kWidth, weight);
    sum = add(sum, weight);
  }
  float factor = 1.0f;
  if (new_max > state.max) {
    float lanes[kWidth];
    store(lanes, exp_nonpositive(sub(broadcast(state.max), reference)));
    factor = lanes[0];
    state.max = new_max;
    state.pending *= factor;
  }
  state.sum = state.sum * factor + static_cast<double>(reduce_add(sum));
  return factor;
}

}  // namespace warpbook::cpu::WB_ISA
