// One job: rows of one KV head against a range of keys, from loading the queries to writing output or partial state.
//
// The running sums are kept in three steps: a block of kBlockKeys keys in registers, kBlocksPerFlush blocks in
// float32, everything before that in float64. So the error does not grow with the number of keys.
#pragma once

#include "cpu/attention/key_blocks.h"
#include "cpu/attention/micro_kernels.h"
#include "cpu/attention/output.h"
#include "cpu/attention/scratch.h"
#include "cpu/attention/sink.h"
#include "cpu/attention/softmax.h"

#include <type_traits>

namespace warpbook::cpu::WB_ISA {

// Converts a row to float32.
template <class T>
WB_INLINE void convert_row(const T* source, HeadDim dim, float* target) {
  for (int c = 0; c < dim.chunks; ++c) store(target + c * kWidth, load(source + c * kWidth));
  if (dim.half) store(target + dim.chunks * kWidth, load_chunk(source + dim.chunks * kWidth, true));
}

template <class T>
class Attention {
 public:
  Attention(const AttendJob& job, const Scratch& scratch)
      : job_(job), scratch_(scratch), head_dim_(job.params->head_dim), stride_(padded_head_dim(head_dim_)),
        dim_(head_dim_in_vectors(head_dim_)), mask_(*job.params, job.rows, job.num_rows),
        pair_dots_(kPairDots && std::is_same<T, BFloat16>::value && job.params->q_dtype == DTYPE_BFLOAT16) {}

  void run() {
    if (pair_dots_) {
      copy_queries(job_, reinterpret_cast<BFloat16*>(scratch_.q), stride_);
    } else {
      load_queries(job_, scratch_.q, stride_);
    }
    memset(scratch_.sums, 0, sizeof(float) * job_.num_rows * stride_);
    memset(scratch_.totals, 0, sizeof(double) * job_.num_rows * stride_);

    KeyBlocks<T> source(job_, mask_);
    KeyBlock<T> blocks[2];
    int current = 0;
    int unflushed = 0;
    bool more = source.next(blocks[current]);
    while (more) {
      KeyBlock<T>& next = blocks[1 - current];
      more = source.next(next);
      const bool known = more || (job_.upcoming != nullptr && first_block(*job_.params, *job_.upcoming, next));
      attend_block(blocks[current], known ? &next : nullptr);
      current = 1 - current;
      if (++unflushed == kBlocksPerFlush) {
        flush();
        unflushed = 0;
      }
    }
    flush();
    write_result();
  }

 private:
  // Up to here the products convert keys and values on their way into registers, once for each group of rows; more
  // rows are served from a block that was converted once.
  static constexpr int kRowsConvertedInPlace = sizeof(T) == 1 ? kScoreRows : 2 * kScoreRows;
  // Rows of the next block that are asked for with each four keys' logits; the weights' part takes the rest.
  static constexpr int kAskedPerScores = 3;

  // Memory is the bottleneck of decode, so there is always a load on its way: while a block's logits and weights are
  // computed the next block's keys are asked for, and while its values are summed the next block's values.
  void attend_block(const KeyBlock<T>& block, const KeyBlock<T>* next) {
    const T* const* next_keys = next != nullptr ? next->keys : nullptr;
    const T* const* next_values = next != nullptr ? next->values : nullptr;
    int asked = 0;
    const bool convert = job_.num_rows > kRowsConvertedInPlace && sizeof(T) < sizeof(float);
    const bool convert_keys = convert && !pair_dots_;
    if (convert_keys) {
      convert_block(block.keys, next_keys, block.num_keys, scratch_.keys);
      asked = kBlockKeys;
      const float* const* keys = rows_of(scratch_.keys, block.num_keys);
      for (int j = 0; j < block.num_keys; j += 4) {
        score_rows(job_.num_rows, scratch_.q, stride_, keys + j, converted_dim(), scratch_.scores + j);
      }
    } else {
      for (int j = 0; j < block.num_keys; j += 4) {
        asked = ask_for(next_keys, asked, kAskedPerScores);
        score_keys(block.keys + j, scratch_.scores + j);
      }
    }

    const int per_row = (kBlockKeys - asked + job_.num_rows - 1) / job_.num_rows;
    for (int r = 0; r < job_.num_rows; ++r) {
      asked = ask_for(next_keys, asked, per_row);
      const VisibleKeys visible = visible_keys(block, r);
      factors_[r] =
          update_softmax(scratch_.scores + r * kBlockKeys, visible.begin, visible.end, logit_map(block, r), states_[r]);
    }

    if (convert || block.masked) {
      convert_block(block.values, next_values, block.num_keys, scratch_.values);
      const float* const* values = rows_of(scratch_.values, block.num_keys);
      if (block.masked && !values_are_finite(block.num_keys)) {
        add_visible_values(block, values);
      } else {
        value_rows<float>(job_.num_rows, scratch_.scores, values, nullptr, block.num_keys, converted_dim(), factors_,
                          scratch_.sums, stride_);
      }
    } else {
      value_rows<T>(job_.num_rows, scratch_.scores, block.values, next_values, block.num_keys, dim_, factors_,
                    scratch_.sums, stride_);
    }
  }

  // Prefetches `count` rows from number `asked` on, and returns the number of the next one.
  int ask_for(const T* const* rows, int asked, int count) const {
    const int end = asked + count < kBlockKeys ? asked + count : kBlockKeys;
    for (int i = asked; rows != nullptr && i < end; ++i) prefetch(rows[i], head_dim_);
    return end;
  }

  // Dot products of all rows with four keys as they lie in memory.
  void score_keys(const T* const* keys, float* scores) const {
    if constexpr (kPairDots && std::is_same<T, BFloat16>::value) {
      if (pair_dots_) {
        return score_rows(job_.num_rows, reinterpret_cast<const BFloat16*>(scratch_.q), stride_, keys, dim_, scores);
      }
    }
    score_rows(job_.num_rows, scratch_.q, stride_, keys, dim_, scores);
  }

  // A masked value may be anything, and 0 * NaN is NaN: where there is such a value, each row reads only what it sees.
  void add_visible_values(const KeyBlock<T>& block, const float* const* values) {
    for (int r = 0; r < job_.num_rows; ++r) {
      const VisibleKeys visible = visible_keys(block, r);
      const int count = visible.end > visible.begin ? visible.end - visible.begin : 0;
      value_rows<float>(1, scratch_.scores + r * kBlockKeys + visible.begin, values + visible.begin, nullptr, count,
                        converted_dim(), factors_ + r, scratch_.sums + r * stride_, stride_);
    }
  }

  LogitMap logit_map(const KeyBlock<T>& block, int row) const {
    const AttentionParams& params = *job_.params;
    const auto* slopes = static_cast<const float*>(params.alibi_slopes);
    return {params.sm_scale * params.k_scale, params.logits_soft_cap,
            slopes != nullptr ? slopes[job_.rows[row].head] : 0.0f,
            static_cast<float>(block.position - job_.rows[row].position)};
  }

  VisibleKeys visible_keys(const KeyBlock<T>& block, int row) const {
    if (!block.masked) return {0, block.num_keys};
    return mask_.visible(job_.rows[row].position, block.position, block.num_keys);
  }

  void convert_block(const T* const* source, const T* const* ahead, int num_keys, float* target) const {
    for (int j = 0; j < num_keys; ++j) {
      if (ahead != nullptr) prefetch(ahead[j], head_dim_);
      convert_row(source[j], dim_, target + j * stride_);
    }
  }

  // x * 0 is 0 for finite x alone.
  bool values_are_finite(int num_keys) const {
    Vec probe = zero();
    for (int j = 0; j < num_keys; ++j) {
      const float* row = scratch_.values + j * stride_;
      for (int c = 0; c < converted_dim().chunks; ++c) probe = fma(load(row + c * kWidth), zero(), probe);
    }
    return reduce_add(probe) == 0.0f;
  }

  // Converted rows are whole vectors: their padding is written as 0.
  HeadDim converted_dim() const { return {dim_.chunks + dim_.half, false}; }

  const float* const* rows_of(const float* converted, int num_keys) {
    for (int j = 0; j < kBlockKeys; ++j) {
      converted_rows_[j] = converted + (j < num_keys ? j : num_keys - 1) * stride_;
    }
    return converted_rows_;
  }

  void flush() {
    for (int r = 0; r < job_.num_rows; ++r) {
      float* sums = scratch_.sums + r * stride_;
      double* totals = scratch_.totals + r * stride_;
      const double factor = states_[r].pending;
      states_[r].pending = 1;
      for (int d = 0; d < stride_; ++d) {
        totals[d] = totals[d] * factor + sums[d];
        sums[d] = 0;
      }
    }
  }

  // A row that saw no key has the sum 0: its output is 0 and its LSE -inf, or its head's sink.
  void write_result() {
    for (int r = 0; r < job_.num_rows; ++r) {
      RowSoftmax softmax{states_[r].max, states_[r].sum};
      const bool partial = job_.partial_slot >= 0;
      const double factor = partial ? 1 : add_sink(*job_.params, job_.rows[r].head, softmax);
      const double scale = softmax.sum == 0 ? 0 : job_.params->v_scale * factor / softmax.sum;
      const double* totals = scratch_.totals + r * stride_;
      float* row = scratch_.sums + r * stride_;
      for (int d = 0; d < head_dim_; ++d) row[d] = static_cast<float>(totals[d] * scale);
      if (partial) {
        write_partial(*job_.params, job_.partial_slot + r, row, lse_of(softmax));
      } else {
        write_output(*job_.params, job_.rows[r], row, lse_of(softmax));
      }
    }
  }

  const AttendJob& job_;
  const Scratch& scratch_;
  const int head_dim_;
  const int stride_;
  const HeadDim dim_;
  const Mask mask_;
  // Queries are kept as bfloat16, and logits computed by dot_pairs.
  const bool pair_dots_;
  RowState states_[kMaxRows];
  float factors_[kMaxRows];
  const float* converted_rows_[kBlockKeys];
};

static void attend(const AttendJob& job, const Scratch& scratch) {
  switch (job.params->kv_dtype) {
    case DTYPE_FLOAT32: return Attention<float>(job, scratch).run();
    case DTYPE_FLOAT16: return Attention<Float16>(job, scratch).run();
    case DTYPE_BFLOAT16: return Attention<BFloat16>(job, scratch).run();
    case DTYPE_FLOAT8_E4M3FN: return Attention<Float8E4M3>(job, scratch).run();
    case DTYPE_FLOAT8_E5M2: return Attention<Float8E5M2>(job, scratch).run();
  }
}

}  // namespace warpbook::cpu::WB_ISA
