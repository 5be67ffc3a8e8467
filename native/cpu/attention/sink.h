// Attention sinks: one more key of each query head, with a logit of its own (neither scaled nor capped) and a value of
// zero. It joins a row's softmax once, where the output row is written; partial states never hold it.
#pragma once

#include <math.h>

#include "cpu/attention/kernels.h"
#include "cpu/attention/simd.h"

namespace warpbook::cpu::WB_ISA {

// The softmax of a row so far: its largest logit, and the sum of the weights relative to it. -inf and 0: no key.
struct RowSoftmax {
  double max;
  double sum;
};

// Adds the sink of `head`, if there is one. Returns the factor for everything that was summed before.
WB_INLINE double add_sink(const AttentionParams& params, int head, RowSoftmax& softmax) {
  if (params.sinks == nullptr) return 1;
  const double sink = static_cast<const float*>(params.sinks)[head];
  if (sink == -INFINITY) return 1;
  const double largest = sink > softmax.max ? sink : softmax.max;
  const double factor = exp(softmax.max - largest);
  softmax.sum = softmax.sum * factor + exp(sink - largest);
  softmax.max = largest;
  return factor;
}

// Natural logarithm; -inf where there is neither a key nor a sink.
WB_INLINE float lse_of(const RowSoftmax& softmax) {
  return softmax.sum == 0 ? -INFINITY : static_cast<float>(softmax.max + log(softmax.sum));
}

}  // namespace warpbook::cpu::WB_ISA
