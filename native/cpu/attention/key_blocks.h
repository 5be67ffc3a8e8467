// Walks the keys of a job in blocks: up to kBlockKeys keys in consecutive positions, as pointers into the pages.
// Hides pages, segments, bad page indices, and which blocks no row sees; does no arithmetic on elements.
#pragma once

#include "cpu/attention/kernels.h"
#include "cpu/attention/simd.h"
#include "schedule_layout.h"

namespace warpbook::cpu::WB_ISA {

template <class T>
struct KeyBlock {
  // Entries from num_keys on repeat the last key.
  const T* keys[kBlockKeys];
  const T* values[kBlockKeys];
  int num_keys;
  // Position of the first key, in the coordinates of the rows.
  int64_t position;
  // Some row may not see some key.
  bool masked;
};

// Keys [begin, end) of a block that a query at `position` sees.
struct VisibleKeys {
  int begin;
  int end;
};

// The mask of a job: causal and sliding window.
class Mask {
 public:
  Mask(const AttentionParams& params, const RowRef* rows, int num_rows)
      : causal_(params.causal != 0), window_left_(params.window_left) {
    first_ = last_ = num_rows > 0 ? rows[0].position : 0;
    for (int r = 1; r < num_rows; ++r) {
      if (rows[r].position < first_) first_ = rows[r].position;
      if (rows[r].position > last_) last_ = rows[r].position;
    }
  }

  // Whether every row sees every key, and whether no row sees any.
  bool shows_all(int64_t position, int count) const {
    return (!causal_ || position + count - 1 <= first_) && (window_left_ < 0 || position >= last_ - window_left_);
  }
  bool hides_all(int64_t position, int count) const {
    return (causal_ && position > last_) || (window_left_ >= 0 && position + count - 1 < first_ - window_left_);
  }
  VisibleKeys visible(int64_t query, int64_t position, int count) const {
    const int64_t begin = window_left_ < 0 ? 0 : query - window_left_ - position;
    const int64_t end = causal_ ? query - position + 1 : count;
    return {clamp(begin, count), clamp(end, count)};
  }

 private:
  static int clamp(int64_t x, int count) { return x < 0 ? 0 : x > count ? count : static_cast<int>(x); }

  bool causal_;
  int64_t window_left_;
  int64_t first_;
  int64_t last_;
};

template <class T>
class KeyBlocks {
 public:
  KeyBlocks(const AttendJob& job, const Mask& mask) : job_(job), params_(*job.params), mask_(mask) { open_segment(); }

  // The next block that some row sees. False at the end.
  bool next(KeyBlock<T>& block) {
    while (segment_ < job_.num_segments) {
      if (key_ >= segment_end_) {
        ++segment_;
        open_segment();
        continue;
      }
      if (!fill(block)) continue;
      const bool needs_mask = job_.segments[segment_ * WB_SEGMENT_STRIDE + SEGMENT_MASKED] != 0;
      if (!needs_mask) {
        block.masked = false;
        return true;
      }
      if (mask_.hides_all(block.position, block.num_keys)) continue;
      block.masked = !mask_.shows_all(block.position, block.num_keys);
      return true;
    }
    return false;
  }

 private:
  void open_segment() {
    if (segment_ >= job_.num_segments) return;
    const int32_t* words = job_.segments + segment_ * WB_SEGMENT_STRIDE;
    const KeyRange& range = job_.range;
    key_ = words[SEGMENT_KV_START] > range.kv_start ? words[SEGMENT_KV_START] : range.kv_start;
    segment_end_ = words[SEGMENT_KV_END] < range.kv_end ? words[SEGMENT_KV_END] : range.kv_end;
  }

  // Collects keys up to kBlockKeys, the end of the segment or a bad page. False if there is none before that.
  bool fill(KeyBlock<T>& block) {
    const int page_size = params_.page_size;
    int n = 0;
    block.position = static_cast<int64_t>(key_) + job_.position_offset;
    while (n < kBlockKeys && key_ < segment_end_) {
      const int page_of_sequence = key_ / page_size;
      const int slot = key_ - page_of_sequence * page_size;
      const int64_t entry = static_cast<int64_t>(job_.range.page_start) + page_of_sequence;
      const int32_t* indices = static_cast<const int32_t*>(params_.kv_indices);
      const bool listed = indices == nullptr || (entry >= 0 && entry < params_.num_kv_indices);
      const int64_t page = !listed ? -1 : indices != nullptr ? indices[entry] : entry;
      int count = page_size - slot;
      if (count > segment_end_ - key_) count = segment_end_ - key_;
      if (page < 0 || page >= params_.num_pages) {
        // The page is left for the next call if keys were collected, so that a block has consecutive positions.
        if (n > 0) break;
        if (job_.status != nullptr) __atomic_fetch_add(job_.status, 1, __ATOMIC_RELAXED);
        key_ += count;
        return false;
      }
      if (count > kBlockKeys - n) count = kBlockKeys - n;
      const int64_t start = page * params_.kv_stride_page + slot * params_.kv_stride_token +
                            job_.range.kv_head * params_.kv_stride_head;
      const T* key = static_cast<const T*>(params_.k) + start;
      const T* value = static_cast<const T*>(params_.v) + start;
      for (int i = 0; i < count; ++i) {
        block.keys[n + i] = key + i * params_.kv_stride_token;
        block.values[n + i] = value + i * params_.kv_stride_token;
      }
      n += count;
      key_ += count;
    }
    block.num_keys = n;
    for (int i = n; i < kBlockKeys; ++i) {
      block.keys[i] = block.keys[n - 1];
      block.values[i] = block.values[n - 1];
    }
    return true;
  }

  const AttendJob& job_;
  const AttentionParams& params_;
  const Mask& mask_;
  int segment_ = 0;
  int key_ = 0;
  int segment_end_ = 0;
};

// The first keys of a range, only to be fetched ahead: masks don't apply and bad pages aren't counted.
template <class T>
static bool first_block(const AttentionParams& params, const KeyRange& range, KeyBlock<T>& block) {
  const int32_t whole[WB_SEGMENT_STRIDE] = {range.kv_start, range.kv_end, 0, 0};
  AttendJob job{};
  job.params = &params;
  job.range = range;
  job.segments = whole;
  job.num_segments = 1;
  const Mask mask(params, nullptr, 0);
  return KeyBlocks<T>(job, mask).next(block);
}

}  // namespace warpbook::cpu::WB_ISA
