// Typed access to the workspace image in device memory (schedule_layout.h), and the blocks of 16 keys of a work tile.
// The image is trusted as far as the planner validated it; only page ids are checked while they are read.
#pragma once

#include "attention/config.cuh"
#include "attention/ptx.cuh"
#include "attention_params.h"

namespace warpbook {

class ScheduleView {
 public:
  __device__ explicit ScheduleView(const AttentionParams& params)
      : params_(params), words_(static_cast<const int*>(params.workspace)),
        group_size_(params.num_qo_heads / params.num_kv_heads) {}

  // Query heads that share a KV head.
  __device__ int group_size() const { return group_size_; }
  __device__ int header(int field) const { return words_[field]; }
  __device__ int* status() const { return static_cast<int*>(params_.workspace) + HEADER_STATUS; }
  __device__ const int* cta_indptr() const { return words_ + params_.cta_indptr_offset; }
  __device__ const int* tile(int index) const { return record(params_.tiles_offset, WB_TILE_STRIDE, index); }
  __device__ const int* kv_sequence(int index) const {
    return record(params_.kv_sequences_offset, WB_KV_SEQUENCE_STRIDE, index);
  }
  __device__ const int* row(int index) const { return record(params_.rows_offset, WB_ROW_STRIDE, index); }
  __device__ const int* segment(int index) const { return record(params_.segments_offset, WB_SEGMENT_STRIDE, index); }
  __device__ const int* merge_group(int index) const {
    return record(params_.merge_groups_offset, WB_MERGE_GROUP_STRIDE, index);
  }
  __device__ const int* merge_slots() const { return words_ + params_.merge_slots_offset; }

 private:
  __device__ const int* record(int section, int stride, int index) const {
    return words_ + section + static_cast<int64>(index) * stride;
  }

  const AttentionParams& params_;
  const int* words_;
  const int group_size_;
};

// A work tile's record, a word in each lane.
struct TileRecord {
  int word;

  __device__ int get(int field) const { return __shfl_sync(kAllLanes, word, field); }
};

__device__ __forceinline__ TileRecord load_record(const ScheduleView& view, int tile, int lane) {
  return {lane < WB_TILE_STRIDE ? view.tile(tile)[lane] : 0};
}

// The keys of a tile. Blocks start at multiples of 16 tokens, so that pages of 16 k tokens are never straddled.
struct TileKeys {
  int start = 0;
  int end = 0;
  int seg_start = 0;
  int seg_count = 0;
  int masked = 0;

  TileKeys() = default;
  __device__ explicit TileKeys(const TileRecord& record)
      : start(record.get(TILE_KV_START)), end(record.get(TILE_KV_END)), seg_start(record.get(TILE_SEG_START)),
        seg_count(record.get(TILE_SEG_COUNT)), masked(record.get(TILE_FLAGS) & TILE_FLAG_NEEDS_MASK) {}
};

__device__ __forceinline__ bool has_segments(const TileKeys& keys) { return kGeneral && unlikely(keys.seg_count > 0); }

// 16 tokens from `position` on, of which [begin, end) are wanted.
struct KeyBlock {
  int position;
  int begin;
  int end;
  int masked;
};

__device__ __forceinline__ int count_blocks(int begin, int end) {
  return end > begin ? (end - (begin & -kBlockTokens) + kBlockTokens - 1) / kBlockTokens : 0;
}

// Segment `index` of a tile as the range of its keys.
__device__ __forceinline__ KeyBlock segment_range(const ScheduleView& view, const TileKeys& keys, int index) {
  const int* words = view.segment(keys.seg_start + index);
  return {0, max(words[SEGMENT_KV_START], keys.start), min(words[SEGMENT_KV_END], keys.end), words[SEGMENT_MASKED] != 0};
}

__device__ __forceinline__ int count_blocks(const ScheduleView& view, const TileKeys& keys) {
  if (!has_segments(keys)) return count_blocks(keys.start, keys.end);
  int blocks = 0;
#pragma unroll 1
  for (int i = 0; i < keys.seg_count; ++i) {
    const KeyBlock range = segment_range(view, keys, i);
    blocks += count_blocks(range.begin, range.end);
  }
  return blocks;
}

// Team i takes blocks i, i + kTeams, ...: how many of `blocks`.
__device__ __forceinline__ int steps_of_team(int blocks, int team) {
  return blocks > team ? (blocks - team + kTeams - 1) / kTeams : 0;
}

// Block number `index` of a tile, which must have as many.
__device__ __forceinline__ KeyBlock block_of(const ScheduleView& view, const TileKeys& keys, int index) {
  KeyBlock block{0, keys.start, keys.end, keys.masked};
#pragma unroll 1
  for (int i = 0; has_segments(keys) && i < keys.seg_count; ++i) {
    block = segment_range(view, keys, i);
    const int blocks = count_blocks(block.begin, block.end);
    if (index < blocks) break;
    index -= blocks;
  }
  block.position = (block.begin & -kBlockTokens) + index * kBlockTokens;
  return block;
}

// Where a query row lives, and its position among the keys.
struct RowRef {
  int token;
  int head;
  int position;
};

__device__ __forceinline__ RowRef resolve_row(const ScheduleView& view, int row, int flags, int kv_head, int position_base) {
  const int group_size = view.group_size();
  if (kGeneral && unlikely(flags & TILE_FLAG_GATHER_ROWS)) {
    const int* words = view.row(row);
    return {words[ROW_QO_TOKEN], kv_head * group_size + words[ROW_QO_HEAD] % group_size, words[ROW_QO_POSITION]};
  }
  const int token = row / group_size;
  return {token, kv_head * group_size + row - token * group_size, token + position_base};
}

}  // namespace warpbook
