// A stage: blocks of keys and of values in shared memory, private to a team. Rows are swizzled in 16-byte chunks
// so that the fragments of the matrix instruction are read without bank conflicts.
#pragma once

#include "attention/elements.cuh"
#include "attention/team.cuh"
#include "attention_params.h"

namespace warpbook {

constexpr int kRowBytes = kHeadDim * kKvBytes;
constexpr int kRowChunks = kRowBytes / 16;
constexpr int kSlabBytes = kBlockTokens * kRowBytes;
constexpr int kStageBytes = kStepBlocks * 2 * kSlabBytes;

// What a block holds, written by the load side for the arithmetic.
struct __align__(16) StageInfo {
  // Position of the first token, counted from the first of the KV sequence.
  int position;
  // Bit i: token i is there and wanted.
  int valid;
  // The mask applies.
  int masked;
  int reserved;
};

// A block of a stage.
struct KvStage {
  // Addresses in the shared window.
  uint32 keys;
  uint32 values;
  StageInfo* info;

  // The block `index` places on in the same stage.
  __device__ __forceinline__ KvStage block(int index) const {
    return {keys + index * 2 * kSlabBytes, values + index * 2 * kSlabBytes, info + index};
  }
};

// A warp reads chunks t, t + 4, ... (t = 0..3) of rows g and g + 8 (g = 0..7): eight lanes cover two rows.
__device__ __forceinline__ uint32 key_offset(int row, int chunk) {
  if constexpr (kRowBytes < 128) return row * kRowBytes + chunk * 16;
  return row * kRowBytes + ((chunk ^ ((row & 1) << 2)) << 4);
}
// A warp reads chunk g (+ 8, ...) of rows 2 t, 2 t + 1, 2 t + 8, 2 t + 9: eight lanes cover four rows.
__device__ __forceinline__ uint32 value_offset(int row, int chunk) {
  if constexpr (kRowBytes < 128) {
    return (row >> 1) * 128 + (((((row & 1) << 2) + chunk) ^ (((row >> 1) & 3) << 1)) << 4);
  }
  return row * kRowBytes + ((chunk ^ (row & 7)) << 4);
}

constexpr int kRowsPerCopy = 32 / kRowChunks;
// Copies of a warp: the members of a team take consecutive rows of a block.
constexpr int kCopies = kBlockTokens / kRowsPerCopy / kTeamWarps;
static_assert(kCopies > 0, "fewer copies than members of a team");

// The scores of long stages are computed while the values still arrive; for short ones another wait costs more.
constexpr bool kValuesLater = kStageBytes >= 8192;
constexpr int kCopyGroups = kValuesLater ? 2 : 1;

// The copies of a stage are one group, or two with the values in the second, committed in order and also where there is
// nothing to copy: so the number of groups in flight says what is here. All end with the whole team's copies seen.
__device__ __forceinline__ void wait_for_keys(const Team& team) {
  wait_for_copies<kCopyGroups * kStages - 1>();
  team.sync();
}
__device__ __forceinline__ void wait_for_values(const Team& team) {
  if constexpr (kValuesLater) {
    wait_for_copies<kCopyGroups * kStages - 2>();
    team.sync();
  }
}

// The first row of a block that a lane copies.
__device__ __forceinline__ int first_row_of(const Team& team, int lane) {
  return (kTeamWarps == 1 ? 0 : team.member * kCopies * kRowsPerCopy) + lane / kRowChunks;
}

// A lane's part of a block of consecutive tokens of one page: bytes from the start of the pool. `offset`: elements, of the
// first token and head.
__device__ __forceinline__ int64 lane_start(const AttentionParams& params, int64 offset, const Team& team, int lane) {
  return (offset + first_row_of(team, lane) * params.kv_stride_token) * kKvBytes + lane % kRowChunks * 16;
}

// Copies 16 consecutive tokens of one page, found by lane_start(). kKeys: keys or values.
template <bool kKeys>
__device__ __forceinline__ void copy_block(
    const AttentionParams& params, const KvStage& stage, int64 start, const Team& team, int lane, uint64 policy) {
  if constexpr (kTight) lane = forget(lane);
  const int row = first_row_of(team, lane);
  const int chunk = lane % kRowChunks;
  const int64 step = params.kv_stride_token * (kRowsPerCopy * kKvBytes);
  const char* source = static_cast<const char*>(kKeys ? params.k : params.v) + start;
#pragma unroll
  for (int i = 0; i < kCopies; ++i) {
    const uint32 at = kKeys ? key_offset(i * kRowsPerCopy + row, chunk) : value_offset(i * kRowsPerCopy + row, chunk);
    copy16<kRowBytes>((kKeys ? stage.keys : stage.values) + at, source + i * step, policy);
  }
}

// Copies 16 tokens from anywhere: lane first_lane + i has the offset of token i, in elements. Where bit i of `valid` is 0
// the row is filled with zeros and nothing is read.
template <bool kKeys>
__device__ __forceinline__ void copy_rows(
    const AttentionParams& params, const KvStage& stage, int64 offset, int first_lane, uint32 valid, const Team& team,
    int lane, uint64 policy) {
  if constexpr (kTight) lane = forget(lane);
  const int chunk = lane % kRowChunks;
  const char* source = static_cast<const char*>(kKeys ? params.k : params.v);
#pragma unroll
  for (int i = 0; i < kCopies; ++i) {
    const int row = i * kRowsPerCopy + first_row_of(team, lane);
    const int64 at = __shfl_sync(kAllLanes, offset, first_lane + row) * kKvBytes + chunk * 16;
    const uint32 target = kKeys ? stage.keys + key_offset(row, chunk) : stage.values + value_offset(row, chunk);
    copy16_or_zero(target, source + at, valid >> row & 1 ? 16 : 0, policy);
  }
}

}  // namespace warpbook
