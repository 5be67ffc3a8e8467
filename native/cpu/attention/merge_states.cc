// Row by row, in float64 and in the order of the states: o = sum of o_s e^(lse_s - lse). A state of no keys, whose LSE is
// -inf, is not looked at. The result may lie where state 0 does: a row's LSE is written when all else is done.
#include "cpu/attention/merge_states.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "attention_params.h"
#include "cpu/ops/elements.h"

namespace warpbook::cpu {

namespace {

// One row's states.
class Row {
 public:
  Row(const MergeStatesParams& params, int64_t token, int64_t head)
      : params_(params), element_size_(static_cast<int64_t>(item_size(params.state_dtype))),
        first_(token * params.first_stride_token + head * params.first_stride_head),
        rest_(token * params.rest_stride_token + head * params.rest_stride_head),
        first_lse_(token * params.first_lse_stride_token + head),
        rest_lse_(token * params.rest_lse_stride_token + head) {}

  double lse(int state) const {
    if (state == 0) return static_cast<const float*>(params_.first_lse)[first_lse_];
    return static_cast<const float*>(params_.rest_lse)[rest_lse_ + (state - 1) * params_.rest_lse_stride_state];
  }
  void load(int state, int64_t dim, int64_t count, float* values) const {
    const bool first = state == 0;
    const int64_t at = dim + (first ? first_ : rest_ + (state - 1) * params_.rest_stride_state);
    const char* source = static_cast<const char*>(first ? params_.first_o : params_.rest_o) + at * element_size_;
    load_floats(params_.state_dtype, source, 1, count, values);
  }

 private:
  const MergeStatesParams& params_;
  const int64_t element_size_;
  const int64_t first_;
  const int64_t rest_;
  const int64_t first_lse_;
  const int64_t rest_lse_;
};

void merge_row(const MergeStatesParams& params, int64_t token, int64_t head) {
  const Row row(params, token, head);
  const double sink = params.sinks != nullptr ? static_cast<const float*>(params.sinks)[head] : -INFINITY;
  double largest = sink;
  for (int s = 0; s < params.num_states; ++s) largest = std::max(largest, row.lse(s));
  const auto weight = [&](double lse) { return lse == -INFINITY ? 0 : std::exp(lse - largest); };
  double sum = weight(sink);
  for (int s = 0; s < params.num_states; ++s) sum += weight(row.lse(s));
  const bool empty = sum == 0;

  const int64_t out_at = token * params.o_stride_token + head * params.o_stride_head;
  char* const out = static_cast<char*>(params.o) + out_at * static_cast<int64_t>(item_size(params.o_dtype));
  for (int64_t dim = 0; dim < params.head_dim; dim += kMaxRun) {
    const int64_t count = std::min<int64_t>(kMaxRun, params.head_dim - dim);
    double totals[kMaxRun] = {};
    float values[kMaxRun];
    for (int s = 0; s < params.num_states; ++s) {
      const double w = weight(row.lse(s));
      if (w == 0) continue;
      row.load(s, dim, count, values);
      for (int64_t i = 0; i < count; ++i) totals[i] += w * static_cast<double>(values[i]);
    }
    for (int64_t i = 0; i < count; ++i) values[i] = empty ? 0.0f : static_cast<float>(totals[i] / sum);
    store_floats(params.o_dtype, values, count, out + dim * static_cast<int64_t>(item_size(params.o_dtype)), 1);
  }
  static_cast<float*>(params.lse)[token * params.lse_stride_token + head] =
      empty ? -INFINITY : static_cast<float>(largest + std::log(sum));
}

void run(const Launch& launch, const void* raw) {
  const auto& params = *static_cast<const MergeStatesParams*>(raw);
  const int64_t num_rows = params.num_tokens * params.num_heads;
  launch.parallel.run(launch.grid[0], [&](int64_t cta, int) {
    const int64_t end = std::min<int64_t>((cta + 1) * MERGE_ROWS_PER_CTA, num_rows);
    for (int64_t row = cta * MERGE_ROWS_PER_CTA; row < end; ++row) {
      merge_row(params, row / params.num_heads, row % params.num_heads);
    }
  });
}

}  // namespace

const Program merge_states_program{"merge_states", sizeof(MergeStatesParams), run};

}  // namespace warpbook::cpu
