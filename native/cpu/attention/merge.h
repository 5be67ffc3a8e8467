// Merges the partial states of output rows: o = sum of o_s e^(lse_s - lse), in the order of the slots. In float64, so
// that splitting costs no accuracy beyond the rounding of the partial states.
#pragma once

#include <math.h>

#include "cpu/attention/output.h"
#include "cpu/attention/scratch.h"
#include "cpu/attention/sink.h"

namespace warpbook::cpu::WB_ISA {

class Merge {
 public:
  Merge(const MergeJob& job, const Scratch& scratch)
      : job_(job), scratch_(scratch), head_dim_(job.params->head_dim),
        partial_o_(static_cast<const float*>(job.params->partial_o)),
        partial_lse_(static_cast<const float*>(job.params->partial_lse)) {}

  void run() {
    for (int r = 0; r < job_.num_rows; ++r) merge_row(r);
  }

 private:
  int64_t slot(int s, int row) const { return static_cast<int64_t>(job_.slots[s]) + job_.first_row + row; }

  void merge_row(int row) {
    double* totals = scratch_.totals;
    for (int d = 0; d < head_dim_; ++d) totals[d] = 0;
    double largest = -INFINITY;
    for (int s = 0; s < job_.num_slots; ++s) {
      const double lse = partial_lse_[slot(s, row)];
      if (lse > largest) largest = lse;
    }
    // No key anywhere: any finite reference gives all states the weight 0. A NaN gives NaN.
    const double reference = largest == -INFINITY ? 0 : largest;

    double sum = 0;
    for (int s = 0; s < job_.num_slots; s += scratch_.num_weights) {
      const int count = job_.num_slots - s < scratch_.num_weights ? job_.num_slots - s : scratch_.num_weights;
      for (int i = 0; i < count; ++i) {
        scratch_.weights[i] = exp(partial_lse_[slot(s + i, row)] - reference);
        sum += scratch_.weights[i];
      }
      for (int i = 0; i < count; ++i) {
        const double weight = scratch_.weights[i];
        const float* o = partial_o_ + slot(s + i, row) * head_dim_;
        for (int d = 0; d < head_dim_; ++d) totals[d] += weight * o[d];
      }
    }

    RowSoftmax softmax{largest, sum};
    const double factor = add_sink(*job_.params, job_.rows[row].head, softmax);
    const double scale = softmax.sum == 0 ? 0 : factor / softmax.sum;
    float* result = scratch_.sums;
    for (int d = 0; d < head_dim_; ++d) result[d] = static_cast<float>(totals[d] * scale);
    write_output(*job_.params, job_.rows[row], result, lse_of(softmax));
  }

  const MergeJob& job_;
  const Scratch& scratch_;
  const int head_dim_;
  const float* partial_o_;
  const float* partial_lse_;
};

static void merge(const MergeJob& job, const Scratch& scratch) { Merge(job, scratch).run(); }

}  // namespace warpbook::cpu::WB_ISA
