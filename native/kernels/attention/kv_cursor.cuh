// The load side of decode: each warp walks its own blocks of keys (block w, w + W, ... of each tile) across all tiles of
// its CTA, ahead of the arithmetic, and copies them into its private ring. The next tile's record and first page ids are
// requested one step at a time, so that nothing waits for them. Hides pages, segments and bad page ids.
#pragma once

#include "attention/kv_stage.cuh"
#include "attention/schedule_view.cuh"

namespace warpbook {

class KvCursor {
 public:
  __device__ KvCursor(const AttentionParams& params, const ScheduleView& view, int warp, int lane)
      : params_(params), view_(view), warp_(warp), lane_(lane), aligned_(params.page_size % kBlockTokens == 0),
        page_shift_((params.page_size & (params.page_size - 1)) == 0 ? __ffs(params.page_size) - 1 : -1) {}

  // Tiles first_tile, first_tile + 1, ...; of a queue only the first one is known here, see add_queued.
  __device__ void start(int first_tile, int num_tiles) {
    first_tile_ = first_tile;
    known_ = num_tiles;
    ordinal_ = -1;
    step_ = num_steps_ = 0;
    pass_ = num_passes_ = 0;
    ahead_ = kNothing;
    look_ahead();
    seek();
  }
  // One more tile, of any index.
  __device__ void add_queued(int tile) {
    first_tile_ = tile - known_;
    ++known_;
  }

  // Copies the next block into a stage and describes it there. False where no known tile has one.
  __device__ __forceinline__ bool load_next(const KvStage& stage) {
    if (!seek()) return false;
    if (step_ > 0 && (step_ & (batch() - 1)) == 0) {
      ids_ = ids_next_;
      ids_next_ = load_ids(step_ / batch() + 1);
    }
    if (aligned_) {
      load_aligned(stage);
    } else {
      load_scattered(stage);
    }
    ++step_;
    if (ahead_ != kIds) look_ahead();
    return true;
  }

 private:
  enum Ahead { kNothing, kRecord, kIds };

  // Steps whose page ids are fetched at once, an id a lane: one a block, or one a token.
  __device__ int batch() const { return aligned_ ? 32 : 2; }
  __device__ int page_of(int token) const { return page_shift_ >= 0 ? token >> page_shift_ : token / params_.page_size; }

  __device__ static int steps_of(int blocks, int warp) { return blocks > warp ? (blocks - warp + kWarps - 1) / kWarps : 0; }

  __device__ int load_ids(const TileKeys& keys, int page_start, int num_steps, int batch_index) const {
    const int step = aligned_ ? batch_index * 32 + lane_ : batch_index * 2 + (lane_ >> 4);
    if (step >= num_steps) return 0;
    const KeyBlock block = block_of(view_, keys, warp_ + step * kWarps);
    int token = block.position;
    if (!aligned_) {
      token += lane_ & 15;
      if (token < block.begin || token >= block.end) return 0;
    }
    const int entry = page_start + page_of(token);
    const int* indices = static_cast<const int*>(params_.kv_indices);
    return indices != nullptr ? indices[entry] : entry;
  }
  __device__ int load_ids(int batch_index) const { return load_ids(keys_, page_start_, num_steps_, batch_index); }

  __device__ __forceinline__ void look_ahead() {
    if (ahead_ == kNothing) {
      if (ordinal_ + 1 >= known_) return;
      record_ahead_ = load_record(view_, first_tile_ + ordinal_ + 1, lane_);
      ahead_ = kRecord;
    } else {
      const TileKeys keys(record_ahead_);
      const int num_steps = steps_of(count_blocks(view_, keys), warp_);
      ids_ahead_ = load_ids(keys, record_ahead_.get(TILE_PAGE_START), num_steps, 0);
      ahead_ = kIds;
    }
  }

  // Moves on to the next pass or tile that has a block for this warp. False if there is none.
  __device__ __forceinline__ bool seek() {
    while (step_ >= num_steps_) {
      step_ = 0;
      if (num_steps_ > 0 && pass_ + 1 < num_passes_) {
        ++pass_;
        ids_ = load_ids(0);
      } else {
        num_steps_ = 0;
        if (ordinal_ + 1 >= known_) return false;
        while (ahead_ != kIds) look_ahead();
        ++ordinal_;
        ids_ = ids_ahead_;
        open(record_ahead_);
        ahead_ = kNothing;
        look_ahead();
      }
      if (num_steps_ > batch()) ids_next_ = load_ids(1);
    }
    return true;
  }

  __device__ void open(const TileRecord& record) {
    keys_ = TileKeys(record);
    page_start_ = record.get(TILE_PAGE_START);
    num_steps_ = steps_of(count_blocks(view_, keys_), warp_);
    pass_ = 0;
    num_passes_ = (record.get(TILE_ROW_COUNT) + kRows - 1) / kRows;
    head_offset_ = record.get(TILE_KV_HEAD) * params_.kv_stride_head;
  }

  __device__ void count_bad_page() const {
    if (pass_ == 0) atomicAdd(view_.status(), 1);
  }
  __device__ bool in_pool(int page) const { return page >= 0 && page < params_.num_pages; }

  // The whole block lies in one page.
  __device__ __forceinline__ void load_aligned(const KvStage& stage) {
    const KeyBlock block = block_of(view_, keys_, warp_ + step_ * kWarps);
    const int page = __shfl_sync(kAllLanes, ids_, step_ & 31);
    const int slot = block.position - page_of(block.position) * params_.page_size;
    uint32 valid = (0xffffu >> max(block.position + kBlockTokens - block.end, 0)) &
                   (0xffffu << max(block.begin - block.position, 0));
    if (in_pool(page)) {
      const int64 offset = page * params_.kv_stride_page + slot * params_.kv_stride_token + head_offset_;
      copy_block(params_, stage, offset, lane_);
    } else {
      valid = 0;
      if (lane_ == 0 && (slot == 0 || block.position <= block.begin)) count_bad_page();
    }
    if (lane_ == 0) *stage.info = {block.position, static_cast<int>(valid), block.masked, 0};
  }

  // Any page size: each of 16 lanes finds one token.
  __device__ __forceinline__ void load_scattered(const KvStage& stage) {
    const KeyBlock block = block_of(view_, keys_, warp_ + step_ * kWarps);
    const int half = (step_ & 1) * 16;
    const int token = block.position + (lane_ & 15);
    const int slot = token - page_of(token) * params_.page_size;
    const bool wanted = lane_ >> 4 == half >> 4 && token >= block.begin && token < block.end;
    const bool good = wanted && in_pool(ids_);
    if (wanted && !good && (slot == 0 || token == block.begin)) count_bad_page();
    const int64 offset = good ? ids_ * params_.kv_stride_page + slot * params_.kv_stride_token + head_offset_ : 0;
    const uint32 valid = __ballot_sync(kAllLanes, good) >> half & 0xffffu;
    copy_rows(params_, stage, offset, half, valid, lane_);
    if (lane_ == 0) *stage.info = {block.position, static_cast<int>(valid), block.masked, 0};
  }

  const AttentionParams& params_;
  const ScheduleView view_;
  const int warp_;
  const int lane_;
  const bool aligned_;
  const int page_shift_;

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
  int ids_ahead_ = 0;
};

}  // namespace warpbook
