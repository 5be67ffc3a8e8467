// The load side of prefill: brings the tokens of a step of a work tile into a stage. Each warp brings its own kWarpTokens
// tokens, whose page ids are asked for one step before. Hides pages, segments and bad page ids.
//
// Records of work tiles are kept in shared memory, a copy for each warp: in registers they would be in the way of the main
// loop.
#pragma once

#include "attention/prefill_stage.cuh"
#include "attention/schedule_view.cuh"

namespace warpbook {

// A work tile's record, which tile it is, and the first of its rows that is meant: a tile of too many rows is computed in
// passes.
struct __align__(16) TileWords {
  int words[WB_TILE_STRIDE];
  int index;
  int first_row;

  __device__ int get(int field) const { return words[field]; }
};

// Steps start at multiples of 16 tokens of the sequence, so that a warp's tokens never straddle pages of 16 k tokens.
__device__ __forceinline__ int count_steps(int begin, int end) {
  return end > begin ? (end - (begin & -16) + kStepTokens - 1) / kStepTokens : 0;
}

// Steps of a tile; one without keys has one, in which no token is valid.
__device__ __forceinline__ int count_steps(const ScheduleView& view, const TileWords& tile) {
  int steps = count_steps(tile.get(TILE_KV_START), tile.get(TILE_KV_END));
  const int seg_count = tile.get(TILE_SEG_COUNT);
  if (unlikely(seg_count > 0)) {
    steps = 0;
#pragma unroll 1
    for (int i = 0; i < seg_count; ++i) {
      const int* segment = view.segment(tile.get(TILE_SEG_START) + i);
      steps += count_steps(max(segment[SEGMENT_KV_START], tile.get(TILE_KV_START)),
                           min(segment[SEGMENT_KV_END], tile.get(TILE_KV_END)));
    }
  }
  return max(steps, 1);
}

// Tokens from `position` on, of which [begin, end) are wanted.
struct StepTokens {
  int position;
  int begin;
  int end;
  int masked;
};

// Step number `index` of a tile.
__device__ __forceinline__ StepTokens step_of(const ScheduleView& view, const TileWords& tile, int index) {
  StepTokens step{0, tile.get(TILE_KV_START), tile.get(TILE_KV_END), tile.get(TILE_FLAGS) & TILE_FLAG_NEEDS_MASK};
  const int seg_count = tile.get(TILE_SEG_COUNT);
#pragma unroll 1
  for (int i = 0; unlikely(i < seg_count); ++i) {
    const int* segment = view.segment(tile.get(TILE_SEG_START) + i);
    step.begin = max(segment[SEGMENT_KV_START], tile.get(TILE_KV_START));
    step.end = min(segment[SEGMENT_KV_END], tile.get(TILE_KV_END));
    step.masked = segment[SEGMENT_MASKED];
    const int steps = count_steps(step.begin, step.end);
    if (index < steps) break;
    index -= steps;
  }
  step.position = (step.begin & -16) + index * kStepTokens;
  return step;
}

// The thread's number, read anew: what follows from it is computed where it is needed, and takes no registers elsewhere.
__device__ __forceinline__ int thread_again() {
  int thread;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
  return thread;
}

class PrefillLoader {
 public:
  __device__ PrefillLoader(const AttentionParams& params, const ScheduleView& view) : params_(params), view_(view) {}

  // Asks for this lane's page of a step.
  __device__ __forceinline__ int load_page(const TileWords& tile, int index) const {
    const StepTokens step = step_of(view_, tile, index);
    const int token = lane_token(step, thread_again());
    if (token < step.begin || token >= step.end) return 0;
    const int entry = tile.get(TILE_PAGE_START) + page_of(token);
    const int* indices = static_cast<const int*>(params_.kv_indices);
    if (indices == nullptr) return entry;
    return entry < params_.num_kv_indices ? __ldg(indices + entry) : -1;
  }

  // Copies a step, of which this lane has the page.
  __device__ __forceinline__ void copy(
      const TileWords& tile, int index, int page, uint32 stage, StepInfo* info) const {
    const StepTokens step = step_of(view_, tile, index);
    const int thread = thread_again();
    const int lane = thread & 31;
    const int warp = thread >> 5;
    const int token = lane_token(step, thread);
    const int slot = token - page_of(token) * params_.page_size;
    const bool wanted = token >= step.begin && token < step.end;
    const bool good = wanted && page >= 0 && page < params_.num_pages;
    if (unlikely(wanted && !good) && tile.first_row == 0 && lane < kWarpTokens && (slot == 0 || token == step.begin)) {
      atomicAdd(view_.status(), 1);
    }
    const int64 offset = good ? page * params_.kv_stride_page + slot * params_.kv_stride_token +
                                    tile.get(TILE_KV_HEAD) * params_.kv_stride_head
                              : 0;
    const uint32 valid = __ballot_sync(kAllLanes, good) & kAllTokens;
    if (lane == 0) {
      store_valid(info->valid, warp, valid);
      if (warp == 0) info->position = step.position, info->masked = step.masked;
    }
    if (valid == kAllTokens && is_contiguous()) {
      copy_run(stage, thread, offset);
    } else {
      copy_tokens(stage, thread, offset, valid);
    }
  }

 private:
  static constexpr uint32 kAllTokens = (1u << kWarpTokens) - 1;

  // This warp's bits of the step's.
  __device__ static void store_valid(uint32* words, int warp, uint32 bits) {
    if constexpr (kWarpTokens == 16) {
      reinterpret_cast<unsigned short*>(words)[warp] = static_cast<unsigned short>(bits);
    } else {
      reinterpret_cast<unsigned char*>(words)[warp] = static_cast<unsigned char>(bits);
    }
  }

  __device__ static int lane_token(const StepTokens& step, int thread) {
    return step.position + (thread >> 5) * kWarpTokens + (thread & (kWarpTokens - 1));
  }

  __device__ int page_of(int token) const {
    const int size = params_.page_size;
    return (size & (size - 1)) == 0 ? token >> (__ffs(size) - 1) : token / size;
  }

  // A warp's tokens lie one behind the other.
  __device__ bool is_contiguous() const { return params_.kv_indices == nullptr || params_.page_size % 16 == 0; }

  __device__ __forceinline__ void copy_run(uint32 stage, int thread, int64 offset) const {
    const int row = (thread & 31) / kTokenChunks;
    const int chunk = thread % kTokenChunks;
    const int64 stride = (params_.kv_indices == nullptr ? params_.kv_stride_page : params_.kv_stride_token) * kKvBytes;
    const int64 start = __shfl_sync(kAllLanes, offset, 0) * kKvBytes + row * stride + chunk * 16;
    const char* keys = static_cast<const char*>(params_.k) + start;
    const char* values = static_cast<const char*>(params_.v) + start;
#pragma unroll
    for (int i = 0; i < kTokenCopies; ++i) {
      const uint32 target = stage + token_offset((thread >> 5) * kWarpTokens + i * kTokensPerCopy + row, chunk);
      copy_chunk(target, keys + i * kTokensPerCopy * stride);
      copy_chunk(target + kStepBytes / 2, values + i * kTokensPerCopy * stride);
    }
  }

  __device__ __forceinline__ void copy_tokens(uint32 stage, int thread, int64 offset, uint32 valid) const {
    const int chunk = thread % kTokenChunks;
#pragma unroll 1
    for (int i = 0; i < kTokenCopies; ++i) {
      const int row = i * kTokensPerCopy + (thread & 31) / kTokenChunks;
      const int64 at = __shfl_sync(kAllLanes, offset, row) * kKvBytes + chunk * 16;
      const int bytes = valid >> row & 1 ? 16 : 0;
      const uint32 target = stage + token_offset((thread >> 5) * kWarpTokens + row, chunk);
      copy_chunk_or_zero(target, static_cast<const char*>(params_.k) + at, bytes);
      copy_chunk_or_zero(target + kStepBytes / 2, static_cast<const char*>(params_.v) + at, bytes);
    }
  }

  const AttentionParams& params_;
  const ScheduleView view_;
};

}  // namespace warpbook
