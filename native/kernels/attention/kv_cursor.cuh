// The load side of decode: each team walks its own blocks of keys (block i, i + kTeams, ... of each tile) across all tiles of
// its CTA, ahead of the arithmetic, and copies them into its private ring; every warp of it does the same walk. The next tile's record and first page ids are
// requested one step at a time, so that nothing waits for them. Hides pages, segments and bad page ids.
#pragma once

#include "attention/kv_stage.cuh"
#include "attention/schedule_view.cuh"

namespace warpbook {

// How rows are brought to the L2. With 64 head dims they are too short for a bulk request each (docs/kernels.md).
constexpr bool kBulkRows = kHeadDim > 64;
// Whether blocks of many pages are brought there too. The builds left out have no registers for it.
#if __CUDA_ARCH__ >= 900
constexpr bool kWarmScattered = kGeneral && kTeamWarps == 1;
#else
constexpr bool kWarmScattered = kGeneral && kTeamWarps == 1 && !kTraced;
#endif

// The block that a team loads next.
struct NextBlock {
  int position;
  int masked;
  // Bit i: token i is there and wanted. 0: nothing to copy.
  uint32 valid;
  // See copy_block() and copy_rows().
  int64 at;
  int first_lane;
};

class KvCursor {
 public:
  __device__ KvCursor(const AttentionParams& params, const ScheduleView& view, const Team& team, int lane)
      : params_(params), view_(view), team_(team), lane_(lane), aligned_(!kGeneral || params.page_size % kBlockTokens == 0),
        page_shift_((params.page_size & (params.page_size - 1)) == 0 ? __ffs(params.page_size) - 1 : -1) {}

  // Tiles first_tile (`record`), first_tile + 1, ...; of a queue only the first one is known here, see add_queued.
  __device__ void start(int first_tile, int num_tiles, const TileRecord& record) {
    first_tile_ = first_tile;
    known_ = num_tiles;
    ordinal_ = -1;
    step_ = num_steps_ = 0;
    pass_ = num_passes_ = 0;
    record_ahead_ = record;
    ahead_ = kRecord;
    look_ahead();
  }
  // One more tile, of any index.
  __device__ void add_queued(int tile) {
    first_tile_ = tile - known_;
    ++known_;
  }

  // Moves to the next blocks of this team and finds out where they are. False where no known tile has one. The blocks of a
  // step are of one pass over one tile; those beyond its last are empty. Reads plan data alone.
  __device__ __forceinline__ bool prepare(NextBlock (&next)[kStepBlocks]) {
    if (!seek()) return false;
    locate(next[0]);
#pragma unroll
    for (int i = 1; i < kStepBlocks; ++i) {
      next[i] = {};
      if (step_ < num_steps_) locate(next[i]);
    }
    return true;
  }

  // After the first prepare(): brings this team's first blocks to the L2. Before the kernel before has ended keys and
  // values may not be read, for it may be writing some of them, but nothing forbids to fetch them from memory.
  __device__ __forceinline__ void warm_l2() const {
    if (!aligned_) {
      if constexpr (kWarmScattered) warm_scattered();
      return;
    }
#pragma unroll 1
    for (int step = team_.member; step < min(num_steps_, kWarmBlocks); step += kTeamWarps) {
      const KeyBlock block = block_of(view_, keys_, team_.index + step * kTeams);
      const int page = __shfl_sync(kAllLanes, ids_, step);
      if (!in_pool(page)) continue;
      const int slot = block.position - page_of(block.position) * params_.page_size + (lane_ & 15);
      const int64 offset = page * params_.kv_stride_page + slot * params_.kv_stride_token + head_offset_;
      prefetch_l2<kRowBytes, kBulkRows>(static_cast<const char*>(lane_ < 16 ? params_.k : params_.v) + offset * kKvBytes);
    }
  }

  // Copies the keys of blocks into a stage and describes them there; then their values.
  __device__ __forceinline__ void copy_keys(const NextBlock (&next)[kStepBlocks], const KvStage& stage) const {
#pragma unroll
    for (int i = 0; i < kStepBlocks; ++i) {
      copy<true>(next[i], stage.block(i));
      if (lane_ == 0 && team_.member == 0) {
        *stage.block(i).info = {next[i].position, static_cast<int>(next[i].valid), next[i].masked, 0};
      }
    }
  }
  __device__ __forceinline__ void copy_values(const NextBlock (&next)[kStepBlocks], const KvStage& stage) const {
#pragma unroll
    for (int i = 0; i < kStepBlocks; ++i) copy<false>(next[i], stage.block(i));
  }

  // To be called once a step: asks for one more thing about the tile after this one.
  __device__ __forceinline__ void look_further() {
    if (ahead_ != kIds && ordinal_ + 1 < known_) look_ahead();
  }

 private:
  enum Ahead { kNothing, kRecord, kIds };

  // Page ids are fetched for 32 steps at once, one a block and lane; or, where a block has many pages, for 2 steps, one a
  // token.
  __device__ int batch_shift() const { return aligned_ ? 5 : 1; }
  __device__ int page_of(int token) const { return page_shift_ >= 0 ? token >> page_shift_ : token / params_.page_size; }

  __device__ int load_ids(const TileKeys& keys, int page_start, int num_steps, int batch) const {
    const int step = (batch << batch_shift()) + (aligned_ ? lane_ : lane_ >> 4);
    if (step >= num_steps) return 0;
    const KeyBlock block = block_of(view_, keys, team_.index + step * kTeams);
    int token = block.position;
    if (!aligned_) {
      token += lane_ & 15;
      if (token < block.begin || token >= block.end) return 0;
    }
    const int entry = page_start + page_of(token);
    const int* indices = static_cast<const int*>(params_.kv_indices);
    if (indices == nullptr) return entry;
    // Beyond the list: no page of the pool.
    return entry < params_.num_kv_indices ? indices[entry] : -1;
  }

  // Finds the block number `step_` of this team in the tile, and moves on.
  __device__ __forceinline__ void locate(NextBlock& next) {
    const int batch = step_ >> batch_shift();
    if (step_ == batch << batch_shift()) {
      if (step_ > 0 || pass_ > 0) ids_ = ids_next_;
      const bool last = batch + 1 << batch_shift() >= num_steps_;
      // After the last batch comes the first one of the next pass.
      if (!last || pass_ + 1 < num_passes_) ids_next_ = load_ids(keys_, page_start_, num_steps_, last ? 0 : batch + 1);
    }
    const KeyBlock block = block_of(view_, keys_, team_.index + step_ * kTeams);
    next.position = block.position;
    next.masked = block.masked;
    if (aligned_) {
      locate_aligned(block, next);
    } else {
      locate_scattered(block, next);
    }
    ++step_;
  }

  // Requests the next tile's record, then its first page ids.
  __device__ __forceinline__ void look_ahead() {
    if (ahead_ == kNothing) {
      record_ahead_ = load_record(view_, first_tile_ + ordinal_ + 1, lane_);
      ahead_ = kRecord;
    } else {
      const TileKeys keys(record_ahead_);
      num_steps_ahead_ = steps_of_team(count_blocks(view_, keys), team_.index);
      ids_ahead_ = load_ids(keys, record_ahead_.get(TILE_PAGE_START), num_steps_ahead_, 0);
      ahead_ = kIds;
    }
  }

  // Moves on to the next pass or tile that has a block for this team. False if there is none.
  __device__ __forceinline__ bool seek() {
    while (step_ >= num_steps_) {
      if (pass_ + 1 < num_passes_ && num_steps_ > 0) {
        ++pass_;
        step_ = 0;
      } else if (ordinal_ + 1 >= known_) {
        return false;
      } else if (ahead_ != kIds) {
        look_ahead();
      } else {
        open_next();
      }
    }
    return true;
  }

  __device__ __forceinline__ void open_next() {
    ++ordinal_;
    keys_ = TileKeys(record_ahead_);
    page_start_ = record_ahead_.get(TILE_PAGE_START);
    head_offset_ = record_ahead_.get(TILE_KV_HEAD) * params_.kv_stride_head;
    num_passes_ = (record_ahead_.get(TILE_ROW_COUNT) + kRows - 1) / kRows;
    num_steps_ = num_steps_ahead_;
    ids_ = ids_ahead_;
    step_ = pass_ = 0;
    ahead_ = kNothing;
  }

  // Of the steps whose page ids are here: a token a lane.
  __device__ __forceinline__ void warm_scattered() const {
    if (lane_ >> 4 >= num_steps_) return;
    const KeyBlock block = block_of(view_, keys_, team_.index + (lane_ >> 4) * kTeams);
    const int token = block.position + (lane_ & 15);
    if (token < block.begin || token >= block.end || !in_pool(ids_)) return;
    const int slot = token - page_of(token) * params_.page_size;
    const int64 offset = (ids_ * params_.kv_stride_page + slot * params_.kv_stride_token + head_offset_) * kKvBytes;
    prefetch_l2<kRowBytes, kBulkRows>(static_cast<const char*>(params_.k) + offset);
    prefetch_l2<kRowBytes, kBulkRows>(static_cast<const char*>(params_.v) + offset);
  }

  __device__ void count_bad_page() const {
    if (pass_ == 0 && team_.member == 0) atomicAdd(view_.status(), 1);
  }
  __device__ bool in_pool(int page) const { return page >= 0 && page < params_.num_pages; }

  // The whole block lies in one page.
  __device__ __forceinline__ void locate_aligned(const KeyBlock& block, NextBlock& next) const {
    const int page = __shfl_sync(kAllLanes, ids_, step_ & 31);
    const int slot = block.position - page_of(block.position) * params_.page_size;
    const bool good = in_pool(page);
    if (unlikely(!good) && lane_ == 0 && (slot == 0 || block.position <= block.begin)) count_bad_page();
    next.at = lane_start(params_, page * params_.kv_stride_page + slot * params_.kv_stride_token + head_offset_, team_, lane_);
    next.valid = (0xffffu >> max(block.position + kBlockTokens - block.end, 0)) &
                 (0xffffu << max(block.begin - block.position, 0));
    if (!good) next.valid = 0;
  }

  // Any page size: each of 16 lanes finds one token.
  __device__ __forceinline__ void locate_scattered(const KeyBlock& block, NextBlock& next) const {
    next.first_lane = (step_ & 1) * 16;
    const int token = block.position + (lane_ & 15);
    const int slot = token - page_of(token) * params_.page_size;
    const bool wanted = (lane_ & 16) == next.first_lane && token >= block.begin && token < block.end;
    const bool good = wanted && in_pool(ids_);
    if (wanted && !good && (slot == 0 || token == block.begin)) count_bad_page();
    next.at = good ? ids_ * params_.kv_stride_page + slot * params_.kv_stride_token + head_offset_ : 0;
    next.valid = __ballot_sync(kAllLanes, good) >> next.first_lane & 0xffffu;
  }

  template <bool kKeys>
  __device__ __forceinline__ void copy(const NextBlock& next, const KvStage& stage) const {
    if (!aligned_) {
      copy_rows<kKeys>(params_, stage, next.at, next.first_lane, next.valid, team_, lane_, policy_);
    } else if (!unlikely(next.valid == 0)) {
      copy_block<kKeys>(params_, stage, next.at, team_, lane_, policy_);
    }
  }

  const AttentionParams& params_;
  const ScheduleView view_;
  const Team team_;
  const int lane_;
  const bool aligned_;
  const int page_shift_;
  const uint64 policy_ = evict_first_policy();

  int first_tile_ = 0;
  int known_ = 0;
  int ordinal_ = -1;
  // The tile that is being loaded.
  TileKeys keys_{};
  int page_start_ = 0;
  int64 head_offset_ = 0;
  int pass_ = 0;
  int num_passes_ = 0;
  int step_ = 0;
  int num_steps_ = 0;
  int ids_ = 0;
  int ids_next_ = 0;
  // The tile after it.
  int ahead_ = kNothing;
  TileRecord record_ahead_{0};
  int num_steps_ahead_ = 0;
  int ids_ahead_ = 0;
};

}  // namespace warpbook
