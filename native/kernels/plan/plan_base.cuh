// What every plan on the device starts and ends with: the lengths, query tiles out of them, and the tables of the workspace
// image that all plans write alike. Knows no policy.
#pragma once

#include "attention/ptx.cuh"
#include "plan/block.cuh"
#include "plan/query_tile.h"

namespace warpbook {

struct PlanShared {
  int kv_len[PLAN_MAX_ITEMS];
  int page_start[PLAN_MAX_ITEMS];
  // Exclusive prefix sums over query tiles, and the totals.
  int unit_start[PLAN_MAX_ITEMS + 1];
  PieceSums before[PLAN_MAX_ITEMS + 1];
  // headGroups: the share that a query tile starts in. Whole tiles: the group of each item.
  int group[PLAN_MAX_ITEMS];
  // First piece (or item) of each group.
  int group_start[PLAN_MAX_CTAS + 1];
  // headGroups: units of each query tile. Whole tiles: number of each item within its group.
  int number[PLAN_MAX_ITEMS];
  // Whole tiles: loads and items, longest first.
  int sorted_load[PLAN_MAX_ITEMS];
  int sorted_item[PLAN_MAX_ITEMS];
  BlockShared block;
};

class PlanBase {
 protected:
  __device__ PlanBase(const PlanTilesParams& params, PlanShared& shared)
      : params_(params), shared_(shared), tid_(threadIdx.x), heads_(params.num_kv_heads),
        masked_(params.causal || params.window_left >= 0), image_(static_cast<int*>(params.workspace)) {}

  // --- lengths ----------------------------------------------------------------------------------------------------

  __device__ __forceinline__ void load_lengths() {
    const auto* lengths = static_cast<const int*>(params_.kv_lens);
    const auto* ranges = static_cast<const int2*>(params_.page_ranges);
    const auto* wanted = static_cast<const int*>(params_.num_requests);
    const int asked = wanted != nullptr ? *wanted : params_.max_requests;
    num_requests_ = min(max(asked, 0), params_.max_requests);
    int bad = tid_ == 0 && asked != num_requests_;
#pragma unroll 1
    for (int r = tid_; r < params_.max_requests; r += kPlanThreads) {
      const int given = lengths[r];
      const int2 range = ranges[r];
      const int64 room = static_cast<int64>(range.y) * params_.page_size;
      const int kv_len = static_cast<int>(min(static_cast<int64>(max(given, 0)), room));
      bad += r < num_requests_ && kv_len != given;
      shared_.kv_len[r] = kv_len;
      shared_.page_start[r] = range.x;
    }
    if (unlikely(bad > 0) && blockIdx.x == 0) atomicAdd(image_ + HEADER_BAD_LENGTHS, bad);
    num_tiles_ = num_requests_ * params_.tiles_per_request;
    // A thread looks at its own request until the first prefix sum, unless tiles are shared out otherwise.
    if (params_.tiles_per_request > 1) __syncthreads();
  }

  __device__ __forceinline__ PlanQueryTile query_tile(int q) const {
    const int request = params_.tiles_per_request == 1 ? q : q / params_.tiles_per_request;
    return plan_query_tile(params_, request, q - request * params_.tiles_per_request, shared_.kv_len[request]);
  }
  // First and last key of a query tile, without what costs divisions where nothing is masked.
  __device__ __forceinline__ int2 keys(int q) const {
    if (!masked_) return make_int2(0, shared_.kv_len[params_.tiles_per_request == 1 ? q : q / params_.tiles_per_request]);
    const PlanQueryTile tile = query_tile(q);
    return make_int2(tile.kv_start, tile.kv_end);
  }
  __device__ __forceinline__ int row_count(int q) const {
    const int rows = params_.qo_len * params_.group_size;
    const int index = params_.tiles_per_request == 1 ? 0 : q % params_.tiles_per_request;
    return min(params_.rows_per_tile, rows - index * params_.rows_per_tile);
  }

  // --- writing ------------------------------------------------------------------------------------------------------------

  // Where the pieces of each query tile and their partial states go. False where that is more than the workspace holds.
  template <typename Count>
  __device__ __forceinline__ bool place_pieces(const Count& count_pieces) {
    const auto sums_of = [&](int q) {
      const int pieces = count_pieces(q);
      return pieces == 1 ? PieceSums::of(1, 0, 0, 0) : PieceSums::of(pieces, 1, pieces, pieces * row_count(q));
    };
    sums_ = block_sums(shared_.block, 1, num_tiles_, sums_of, [&](int q, PieceSums before) { shared_.before[q] = before; });
    if (tid_ == 0) shared_.before[num_tiles_] = sums_;
    const bool fits = static_cast<int64>(sums_.pieces()) * heads_ <= params_.max_tiles &&
                      static_cast<int64>(sums_.splits()) * heads_ <= params_.max_merge_groups &&
                      static_cast<int64>(sums_.slots()) * heads_ <= params_.max_merge_slots &&
                      static_cast<int64>(sums_.rows()) * heads_ <= params_.max_partial_rows;
    if (unlikely(!fits) && blockIdx.x == 0 && tid_ == 0) atomicAdd(image_ + HEADER_UNSPLIT_PLANS, 1);
    return fits;
  }

  // Tile t is CTA t's.
  __device__ __forceinline__ void write_plain_indptr(int total) {
    if (blockIdx.x != gridDim.x - 1) return;
    int* indptr = image_ + params_.cta_indptr_offset;
#pragma unroll 1
    for (int cta = tid_; cta <= params_.num_ctas; cta += kPlanThreads) indptr[cta] = min(cta, total);
  }

  __device__ __forceinline__ void write_tile(int place, const PlanQueryTile& tile, const PlanPiece& piece) {
    int words[WB_TILE_STRIDE];
    plan_tile_record(params_, tile, piece, shared_.kv_len[tile.request], shared_.page_start[tile.request], words);
    auto* out = reinterpret_cast<int4*>(image_ + params_.tiles_offset + static_cast<int64>(place) * WB_TILE_STRIDE);
#pragma unroll
    for (int i = 0; i < WB_TILE_STRIDE; i += 4) out[i / 4] = make_int4(words[i], words[i + 1], words[i + 2], words[i + 3]);
  }

  __device__ __forceinline__ void write_merge_group(int group, const PlanQueryTile& tile, int head, int slot, int count) {
    auto* out = reinterpret_cast<int4*>(image_ + params_.merge_groups_offset + group * WB_MERGE_GROUP_STRIDE);
    out[0] = make_int4(tile.row_start, tile.row_count, head, slot);
    out[1] = make_int4(count, 0, 0, 0);
  }

  __device__ __forceinline__ void write_sequences() {
#pragma unroll 1
    for (int r = tid_; r < num_requests_; r += kPlanThreads) {
      reinterpret_cast<int4*>(image_ + params_.kv_sequences_offset)[r] =
          make_int4(shared_.page_start[r], shared_.kv_len[r], 0, r);
    }
  }

  // The status words are sticky: they count from the last plan of the host's.
  __device__ __forceinline__ void write_header() {
    image_[HEADER_NUM_TILES] = sums_.pieces() * heads_;
    image_[HEADER_NUM_CTAS] = params_.num_ctas;
    image_[HEADER_DISPATCH] = DISPATCH_STATIC;
    image_[HEADER_NUM_KV_SEQUENCES] = num_requests_;
    image_[HEADER_NUM_ROWS] = 0;
    image_[HEADER_NUM_SEGMENTS] = 0;
    image_[HEADER_NUM_MERGE_GROUPS] = sums_.splits() * heads_;
    image_[HEADER_NUM_MERGE_SLOTS] = sums_.slots() * heads_;
    image_[HEADER_NUM_PARTIAL_ROWS] = sums_.rows() * heads_;
    image_[HEADER_BATCH_SIZE] = num_requests_;
    image_[HEADER_PLAN_ID] = params_.plan_id;
  }

  // The query tile that a piece is of.
  __device__ __forceinline__ int last_with_piece(int piece) const {
    int low = 0;
    int high = num_tiles_;
#pragma unroll 1
    while (high - low > 1) {
      const int middle = (low + high) >> 1;
      if (shared_.before[middle].pieces() <= piece) low = middle;
      else high = middle;
    }
    return low;
  }
  // Index of the last of `count` increasing values that is at most `value`; values[0] is.
  __device__ static int last_at_most(const int* values, int count, int value) {
    int low = 0;
    int high = count;
#pragma unroll 1
    while (high - low > 1) {
      const int middle = (low + high) >> 1;
      if (values[middle] <= value) low = middle;
      else high = middle;
    }
    return low;
  }

  const PlanTilesParams& params_;
  PlanShared& shared_;
  const int tid_;
  const int heads_;
  const bool masked_;
  int* const image_;
  int num_requests_ = 0;
  // Query tiles of one KV head.
  int num_tiles_ = 0;
  PieceSums sums_{};
  int num_shares_ = 0;
  int total_units_ = 0;
  bool fits_32_bits_ = true;
};

}  // namespace warpbook
