// Typed access to the workspace image (schedule_layout.h). Knows where things lie, not what they are for.
#pragma once

#include <cstdint>

#include "attention_params.h"
#include "schedule_layout.h"

namespace warpbook::cpu {

// Read-only but for the status word. The image is trusted as far as the planner validated it; only page indices,
// which come from the user's page table, are checked while they are read.
class ScheduleView {
 public:
  explicit ScheduleView(const AttentionParams& params)
      : params_(params), words_(static_cast<int32_t*>(params.workspace)) {}

  int32_t header(int field) const { return words_[field]; }
  int32_t* status() const { return words_ + HEADER_STATUS; }

  const int32_t* tile(int index) const { return record(params_.tiles_offset, WB_TILE_STRIDE, index); }
  const int32_t* cta_indptr() const { return words_ + params_.cta_indptr_offset; }
  const int32_t* kv_sequence(int index) const {
    return record(params_.kv_sequences_offset, WB_KV_SEQUENCE_STRIDE, index);
  }
  const int32_t* row(int index) const { return record(params_.rows_offset, WB_ROW_STRIDE, index); }
  const int32_t* segment(int index) const { return record(params_.segments_offset, WB_SEGMENT_STRIDE, index); }
  const int32_t* merge_group(int index) const {
    return record(params_.merge_groups_offset, WB_MERGE_GROUP_STRIDE, index);
  }
  const int32_t* merge_slots() const { return words_ + params_.merge_slots_offset; }

 private:
  const int32_t* record(int section, int stride, int index) const {
    return words_ + section + static_cast<int64_t>(index) * stride;
  }

  const AttentionParams& params_;
  int32_t* words_;
};

}  // namespace warpbook::cpu
