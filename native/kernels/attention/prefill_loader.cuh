// The load side of prefill: brings the tokens of a step of a work tile into a stage. Each warp brings its own kWarpTokens
// tokens, whose page ids are asked for one step before. Hides pages, segments and bad page ids.
//
// Records of work tiles are kept in shared memory, a copy for each warp: in registers they would be in the way of the main
// loop.
#pragma once

#include "attention/prefill_stage.cuh"
#include "attention/schedule_view.cuh"

namespace warpbook {

// A work tile's record, and what is known about it besides.
struct __align__(16) TileWords {
  int words[WB_TILE_STRIDE];
  int index;
  // First of its rows that are meant: a tile of too many rows is computed in passes.
  int first_row;
  int num_steps;
  // Another tile or pass follows.
  int more;
  // What follows must be drawn from the queue.
  int draws;

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

// What the steps of the tile that is being loaded have in common, as far as they need no care: all of their tokens are wanted,
// and those of a warp lie one behind the other. One for each warp.
struct __align__(16) LoadPlan {
  // Of the tile's first step.
  int position;
  int masked;
  // Steps at positions from `whole_begin` to `whole_end` are such.
  int whole_begin;
  int whole_end;
  // Page ids of the sequence; 0: ragged.
  const int* pages;
  // Of the sequence's first page.
  int page_start;
  // log2 of the page size.
  int page_shift;
  // The warp's runs wait to be copied.
  int pending;
};

// The lane's own part of it.
struct __align__(8) LanePlan {
  // Bytes from a run of tokens to this lane's first chunk.
  int64 offset;
  // Where that chunk goes in a stage.
  uint32 target;
  // The runs that wait: where the keys go, and where they are, from the start of the pool.
  uint32 run_target;
  uint64 run[kRuns];
};

class PrefillLoader {
 public:
  // `plan` and `lane`: this warp's and this thread's, in shared memory.
  __device__ PrefillLoader(const AttentionParams& params, const ScheduleView& view, LoadPlan& plan, LanePlan& lane)
      : params_(params), view_(view), plan_(plan), lane_(lane) {}

  // Moves on to a tile. Its first page is asked for.
  __device__ __forceinline__ void open(const TileWords& tile) {
    const int thread = thread_again();
    const int row = (thread & 31) / kTokenChunks;
    const int chunk = thread % kTokenChunks;
    const int size = params_.page_size;
    const bool ragged = params_.kv_indices == nullptr;
    const int shift = __ffs(size) - 1;
    const int begin = tile.get(TILE_KV_START);
    const int end = tile.get(TILE_KV_END);
    const int page_start = tile.get(TILE_PAGE_START);
    const bool runs = ragged || (size % 16 == 0 && (size & (size - 1)) == 0 && begin < end &&
                                 page_start + (end - 1 >> shift) < params_.num_kv_indices);
    const bool plain = runs && tile.get(TILE_SEG_COUNT) == 0;
    __syncwarp();
    if ((thread & 31) == 0) {
      plan_.position = begin & -16;
      plan_.masked = tile.get(TILE_FLAGS) & TILE_FLAG_NEEDS_MASK;
      plan_.whole_begin = plain ? begin : 0x7fffffff;
      plan_.whole_end = plain ? end - kStepTokens : -0x7fffffff;
      plan_.pages = static_cast<const int*>(params_.kv_indices) + (ragged ? 0 : page_start);
      plan_.page_start = page_start;
      plan_.page_shift = shift;
    }
    __syncwarp();
    lane_.offset = (tile.get(TILE_KV_HEAD) * params_.kv_stride_head + row * token_stride()) * kKvBytes + chunk * 16;
    lane_.target = token_offset((thread >> 5) * kWarpTokens + row, chunk);
    page_ = load_page(tile, 0);
  }

  // Copies a step of the tile that it is on, and asks for the page of the one after it.
  __device__ __forceinline__ void copy(const TileWords& tile, int index, uint32 stage, StepInfo* info) {
    const int position = plan_.position + index * kStepTokens;
    const int warp = thread_again() >> 5;
    const int first = position + warp * kWarpTokens;
    const bool ragged = params_.kv_indices == nullptr;
    int pages[kRuns];
    bool good = true;
#pragma unroll
    for (int r = 0; r < kRuns; ++r) {
      pages[r] = kRuns == 1 ? page_ : __shfl_sync(kAllLanes, page_, r * kRunTokens);
      if (ragged) pages[r] = plan_.page_start + first + r * kRunTokens;
      good &= in_pool(pages[r] + (ragged ? kRunTokens - 1 : 0));
    }
    const bool whole = position >= plan_.whole_begin && position <= plan_.whole_end && good;
    if (unlikely(!whole)) {
      set_pending(0);
      copy_step(tile, index, stage, info);
      page_ = load_page(tile, index + 1);
      return;
    }
    if ((thread_again() & 31) == 0) {
      plan_.pending = 1;
      store_valid(info->valid, warp, kAllTokens);
      if (warp == 0) info->position = position, info->masked = plan_.masked;
    }
#pragma unroll
    for (int r = 0; r < kRuns; ++r) {
      lane_.run[r] = place(pages[r], first + r * kRunTokens & (params_.page_size - 1)) + lane_.offset;
    }
    lane_.run_target = stage + lane_.target;
    __syncwarp();
    // The next step need not be whole, but has this lane's token.
    const int token = kRuns == 1 ? first : first + (thread_again() & 31);
    if (!ragged && token < plan_.whole_end) page_ = __ldg(plan_.pages + (token + kStepTokens >> plan_.page_shift));
  }

  __device__ void copy_nothing() { set_pending(0); }

  // Part `part` of `kParts` of the runs that wait.
  template <int kParts>
  __device__ __forceinline__ void copy_run(int part) const {
    constexpr int kCopies = kTokenCopies / kParts;
    static_assert(kCopies * kParts == kTokenCopies && kRunCopies % kCopies == 0, "a part is part of a run");
    const int first = part * kCopies;
    const int64 stride = token_stride() * (kTokensPerCopy * kKvBytes);
    const uint64 start = lane_.run[first / kRunCopies] + first % kRunCopies * stride;
    const uint32 target = lane_.run_target + first * kTokensPerCopy * kCopyRowBytes;
    const char* keys = static_cast<const char*>(params_.k) + start;
    const char* values = static_cast<const char*>(params_.v) + start;
    const bool pending = plan_.pending;
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      copy_chunk_if(pending, target + i * kTokensPerCopy * kCopyRowBytes, keys + i * stride);
      copy_chunk_if(pending, target + i * kTokensPerCopy * kCopyRowBytes + kStepBytes / 2, values + i * stride);
    }
  }
  // All of them.
  __device__ __forceinline__ void copy_runs() const {
#pragma unroll
    for (int r = 0; r < kRuns; ++r) copy_run<kRuns>(r);
  }

 private:
  static constexpr uint32 kAllTokens = 0xffffffffu >> (32 - kWarpTokens);

  __device__ void set_pending(int pending) {
    if ((thread_again() & 31) == 0) plan_.pending = pending;
    __syncwarp();
  }

  // This warp's bits of the step's.
  __device__ static void store_valid(uint32* words, int warp, uint32 bits) {
    if constexpr (kWarpTokens == 32) {
      words[warp] = bits;
    } else if constexpr (kWarpTokens == 16) {
      reinterpret_cast<unsigned short*>(words)[warp] = static_cast<unsigned short>(bits);
    } else {
      reinterpret_cast<unsigned char*>(words)[warp] = static_cast<unsigned char>(bits);
    }
  }

  __device__ bool in_pool(int page) const {
    return static_cast<uint64>(static_cast<int64>(page)) < static_cast<uint64>(params_.num_pages);
  }

  // Elements between the tokens of a run.
  __device__ int64 token_stride() const {
    return params_.kv_indices == nullptr ? params_.kv_stride_page : params_.kv_stride_token;
  }

  // Bytes from the start of the pool to a token of a page.
  __device__ __forceinline__ uint64 place(int page, int slot) const {
    return (static_cast<uint32>(page) * static_cast<uint64>(params_.kv_stride_page) +
            static_cast<uint32>(slot) * static_cast<uint64>(params_.kv_stride_token)) * kKvBytes;
  }


  // The page of this lane's token of a step, whatever the page size; 0 where the token isn't wanted.
  __device__ __forceinline__ int load_page(const TileWords& tile, int index) const {
    const StepTokens step = step_of(view_, tile, index);
    const int thread = thread_again();
    const int token = step.position + (thread >> 5) * kWarpTokens + (thread & (kWarpTokens - 1));
    if (token < step.begin || token >= step.end) return 0;
    const int entry = tile.get(TILE_PAGE_START) + token / params_.page_size;
    const int* indices = static_cast<const int*>(params_.kv_indices);
    if (indices == nullptr) return entry;
    return entry < params_.num_kv_indices ? __ldg(indices + entry) : -1;
  }

  // Tokens from anywhere, some of which may not be wanted or not be there: their rows are filled with zeros.
  __device__ __forceinline__ void copy_step(const TileWords& tile, int index, uint32 stage, StepInfo* info) {
    const StepTokens step = step_of(view_, tile, index);
    const int lane = thread_again() & 31;
    const int warp = thread_again() >> 5;
    const int token = step.position + warp * kWarpTokens + (lane & (kWarpTokens - 1));
    const int slot = token % params_.page_size;
    const bool wanted = token >= step.begin && token < step.end;
    const int page = params_.kv_indices == nullptr ? tile.get(TILE_PAGE_START) + token : page_;
    const bool good = wanted && in_pool(page);
    if (wanted && !good && (slot == 0 || token == step.begin) && tile.first_row == 0 && lane < kWarpTokens) {
      atomicAdd(view_.status(), 1);
    }
    const uint64 offset = good ? place(page, slot) + tile.get(TILE_KV_HEAD) * params_.kv_stride_head * kKvBytes : 0;
    const uint32 valid = __ballot_sync(kAllLanes, good) & kAllTokens;
    if (lane == 0) {
      store_valid(info->valid, warp, valid);
      if (warp == 0) info->position = step.position, info->masked = step.masked;
    }
    const int chunk = lane % kTokenChunks;
#pragma unroll 1
    for (int i = 0; i < kTokenCopies; ++i) {
      const int row = i * kTokensPerCopy + lane / kTokenChunks;
      const uint64 at = __shfl_sync(kAllLanes, offset, row) + chunk * 16;
      const int bytes = valid >> row & 1 ? 16 : 0;
      const uint32 target = stage + token_offset(warp * kWarpTokens + row, chunk);
      copy_chunk_or_zero(target, static_cast<const char*>(params_.k) + at, bytes);
      copy_chunk_or_zero(target + kStepBytes / 2, static_cast<const char*>(params_.v) + at, bytes);
    }
  }

  const AttentionParams& params_;
  const ScheduleView view_;
  LoadPlan& plan_;
  LanePlan& lane_;
  // Of this lane's token of the step to be copied next, where it was asked for.
  int page_ = 0;
};

}  // namespace warpbook
