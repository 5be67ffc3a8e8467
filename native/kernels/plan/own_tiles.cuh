// One CTA's tiles of `headGroups`, computed by one of its warps alone: the same words as the planner of plan_tiles writes, without a
// barrier and without anything exchanged between CTAs. A lane holds query tiles; places are prefix sums over lanes, and the tiles
// of the CTA are those whose range of groups of CTAs holds the CTA's own. So attention can plan for itself, and no kernel stands
// between the lengths and it.
//
// Wants what the host has checked: at least as many CTA slots as KV heads, as many CTAs as slots, and room for any cut.
#pragma once

#include "plan/block.cuh"
#include "plan/query_tile.h"

namespace warpbook {

// Query tiles that a lane looks at at once.
constexpr int kOwnChunks = 4;
constexpr int kOwnBatch = 32 * kOwnChunks;
// Records that are kept for the CTA itself; further ones are read from the image.
constexpr int kOwnRecords = 12;

struct OwnTiles {
  // Where the CTA's tiles begin in the image, and how many there are.
  int first;
  int count;
  alignas(16) int records[kOwnRecords][WB_TILE_STRIDE];
};

// A tile of the CTA's as its lane leaves it for whoever writes the record.
struct OwnPiece {
  int q;
  int kv_len;
  int page_start;
  int ordinal;
  int count;
  // Pieces, cut tiles and partial rows of one head before the query tile.
  int piece;
  int splits;
  int rows;
  int cut_start;
  int cut_end;
};

class OwnPlan {
 public:
  // `pieces`: kOwnBatch entries in shared memory.
  __device__ OwnPlan(const PlanTilesParams& params, OwnTiles& own, OwnPiece* pieces, int lane)
      : params_(params), own_(own), pieces_(pieces), lane_(lane), heads_(params.num_kv_heads),
        masked_(params.causal || params.window_left >= 0), image_(static_cast<int*>(params.workspace)) {}

  // To be called before run(), before lengths may be read: page ranges are plan data.
  __device__ __forceinline__ void request_ranges() {
#pragma unroll
    for (int j = 0; j < kOwnChunks; ++j) {
      const int q = 32 * j + lane_;
      ranges_[j] = q < params_.max_requests * params_.tiles_per_request ? range_of(q) : make_int2(0, 0);
    }
  }

  // By all lanes of one warp.
  __device__ __forceinline__ void run() {
    const auto* wanted = static_cast<const int*>(params_.num_requests);
    const int asked = wanted != nullptr ? *wanted : params_.max_requests;
    num_requests_ = min(max(asked, 0), params_.max_requests);
    num_tiles_ = num_requests_ * params_.tiles_per_request;
    bad_ = lane_ == 0 && asked != num_requests_;

    uint32 units = 0;
#pragma unroll 1
    for (int base = 0; base < num_tiles_; base += kOwnBatch) {
      bad_ += load(base);
#pragma unroll
      for (int j = 0; j < kOwnChunks; ++j) units += units_[j];
    }
    total_units_ = __reduce_add_sync(kAllLanes, units);
    num_shares_ = min(params_.num_shares, static_cast<int>(total_units_));
    fits_32_bits_ = (static_cast<uint64>(total_units_) + 1) * (num_shares_ + 1) < 0xffffffffu;
    reciprocal_ = 1.0f / static_cast<float>(max(total_units_, 1u));

    // A batch of tiles is looked at once; of several the first round only finds where the CTA's tiles lie.
    const bool single = num_tiles_ <= kOwnBatch;
    int group_first = 0x7fffffff;
    int group_count = 0;
#pragma unroll 1
    for (int round = single ? 1 : 0; round < 2; ++round) {
      carry_units_ = 0;
      carry_ = PieceSums{};
      carry_share_ = -1;
#pragma unroll 1
      for (int base = 0; base < num_tiles_; base += kOwnBatch) {
        if (!single) load(base);
        const int found = cut(base, round == 0 || single, group_first, group_count);
        if (round == 1) emit(found, group_first, group_count);
      }
    }
    if (lane_ == 0) {
      own_.first = group_count > 0 ? place(group_first, group_first, group_count) : 0;
      own_.count = group_count;
    }
    write_tables(group_first, group_count);
  }

 private:
  __device__ __forceinline__ int2 range_of(int q) const {
    const int request = params_.tiles_per_request == 1 ? q : q / params_.tiles_per_request;
    return static_cast<const int2*>(params_.page_ranges)[request];
  }
  __device__ __forceinline__ PlanQueryTile query_tile(int q, int kv_len) const {
    const int request = params_.tiles_per_request == 1 ? q : q / params_.tiles_per_request;
    return plan_query_tile(params_, request, q - request * params_.tiles_per_request, kv_len);
  }
  __device__ __forceinline__ int row_count(int q) const {
    const int rows = params_.qo_len * params_.group_size;
    const int index = params_.tiles_per_request == 1 ? 0 : q % params_.tiles_per_request;
    return min(params_.rows_per_tile, rows - index * params_.rows_per_tile);
  }

  // Lengths, page ranges and units of kOwnBatch query tiles. Answers with how many of the lane's lengths are beyond
  // their pages.
  __device__ __forceinline__ int load(int base) {
    int bad = 0;
    int given[kOwnChunks];
#pragma unroll
    for (int j = 0; j < kOwnChunks; ++j) {
      const int q = base + 32 * j + lane_;
      const int request = params_.tiles_per_request == 1 ? q : q / params_.tiles_per_request;
      given[j] = q < num_tiles_ ? static_cast<const int*>(params_.kv_lens)[request] : 0;
      if (base > 0 || num_tiles_ > kOwnBatch) ranges_[j] = q < num_tiles_ ? range_of(q) : make_int2(0, 0);
    }
    const auto step = static_cast<uint32>(params_.kv_step);
#pragma unroll
    for (int j = 0; j < kOwnChunks; ++j) {
      const int q = base + 32 * j + lane_;
      const int64 room = static_cast<int64>(ranges_[j].y) * params_.page_size;
      kv_len_[j] = static_cast<int>(min(static_cast<int64>(max(given[j], 0)), room));
      int2 keys = make_int2(0, kv_len_[j]);
      if (masked_ && q < num_tiles_) {
        const PlanQueryTile tile = query_tile(q, kv_len_[j]);
        keys = make_int2(tile.kv_start, tile.kv_end);
      }
      const uint32 end = keys.y + step - 1;
      const uint32 last = params_.kv_step_shift >= 0 ? end >> params_.kv_step_shift : end / step;
      first_unit_[j] = masked_ ? keys.x / step : 0;
      units_[j] = q < num_tiles_ ? max(1u, last - first_unit_[j]) + PLAN_TILE_UNITS : 0;
      const bool first = params_.tiles_per_request == 1 || q % params_.tiles_per_request == 0;
      bad += q < num_tiles_ && first && kv_len_[j] != given[j];
    }
    return bad;
  }

  // Cuts a batch of tiles and leaves the CTA's own pieces in shared memory. `search`: adds to where the CTA's pieces begin
  // and how many there are.
  __device__ __forceinline__ int cut(int base, bool search, int& group_first, int& group_count) {
    const int group = static_cast<int>(blockIdx.x) / heads_;
    uint32 starts[kOwnChunks];
#pragma unroll
    for (int j = 0; j < kOwnChunks; ++j) starts[j] = units_[j];
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
#pragma unroll
      for (int j = 0; j < kOwnChunks; ++j) {
        const uint32 other = __shfl_up_sync(kAllLanes, starts[j], distance);
        if (lane_ >= distance) starts[j] += other;
      }
    }
    uint32 before = carry_units_;
#pragma unroll
    for (int j = 0; j < kOwnChunks; ++j) {
      const uint32 sum = __shfl_sync(kAllLanes, starts[j], 31);
      starts[j] = before + starts[j] - units_[j];
      before += sum;
    }
    carry_units_ = before;

    int shares[kOwnChunks];
    int counts[kOwnChunks];
    int previous[kOwnChunks];
#pragma unroll
    for (int j = 0; j < kOwnChunks; ++j) {
      const bool valid = base + 32 * j + lane_ < num_tiles_;
      const int first = share_above(starts[j]);
      shares[j] = first - 1;
      counts[j] = valid ? max(share_above(starts[j] + units_[j] - PLAN_TILE_UNITS - 1) - first, 0) + 1 : 0;
    }
#pragma unroll
    for (int j = 0; j < kOwnChunks; ++j) {
      const int last = shares[j] + counts[j] - 1;
      previous[j] = __shfl_up_sync(kAllLanes, last, 1);
      if (lane_ == 0) previous[j] = carry_share_;
      carry_share_ = __shfl_sync(kAllLanes, last, 31);
    }
    // Of one head: pieces and cut tiles, then groups of CTAs in use and partial rows.
    PieceSums mine[kOwnChunks];
    PieceSums sums[kOwnChunks];
#pragma unroll
    for (int j = 0; j < kOwnChunks; ++j) {
      const bool valid = counts[j] > 0;
      const bool split = counts[j] > 1;
      const int fresh = valid && shares[j] != previous[j];
      mine[j].pieces_splits = counts[j] << 16 | split;
      mine[j].slots_rows = (valid ? fresh + counts[j] - 1 : 0) << 20 | (split ? counts[j] * row_count(base + 32 * j + lane_) : 0);
      sums[j] = mine[j];
    }
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
#pragma unroll
      for (int j = 0; j < kOwnChunks; ++j) {
        const PieceSums other = shuffle_up(sums[j], distance);
        if (lane_ >= distance) sums[j] = sums[j] + other;
      }
    }
    int found = 0;
#pragma unroll
    for (int j = 0; j < kOwnChunks; ++j) {
      const PieceSums total{__shfl_sync(kAllLanes, sums[j].pieces_splits, 31), __shfl_sync(kAllLanes, sums[j].slots_rows, 31)};
      const PieceSums at = carry_ + (sums[j] - mine[j]);
      carry_ = carry_ + total;
      const int fresh = shares[j] != previous[j];
      const int ordinal = group - (at.slots() + fresh - 1);
      const bool own = ordinal >= 0 && ordinal < counts[j];
      const uint32 owners = __ballot_sync(kAllLanes, own);
      if (own) {
        OwnPiece& piece = pieces_[found + __popc(owners & ((1u << lane_) - 1))];
        const int share = shares[j] + ordinal;
        const int to_unit = static_cast<int>(first_unit_[j]) - static_cast<int>(starts[j]);
        piece = {base + 32 * j + lane_, kv_len_[j], ranges_[j].x, ordinal, counts[j], at.pieces() + ordinal, at.splits(),
                 at.rows(), ordinal > 0 ? (to_unit + share_start(share)) * params_.kv_step : -1,
                 ordinal + 1 < counts[j] ? (to_unit + share_start(share + 1)) * params_.kv_step : -1};
      }
      found += __popc(owners);
    }
    __syncwarp();
    if (search && found > 0) {
      group_first = min(group_first, pieces_[0].piece);
      group_count += found;
    }
    return found;
  }

  // Place of a piece among the tiles, for the CTA's head.
  __device__ __forceinline__ int place(int piece, int group_first, int group_count) const {
    const int head = static_cast<int>(blockIdx.x) % heads_;
    return group_first * heads_ + head * group_count + piece - group_first;
  }

  __device__ __forceinline__ void emit(int found, int group_first, int group_count) {
    const int head = static_cast<int>(blockIdx.x) % heads_;
#pragma unroll 1
    for (int i = lane_; i < found; i += 32) {
      const OwnPiece piece = pieces_[i];
      const PlanQueryTile tile = query_tile(piece.q, piece.kv_len);
      PlanPiece out{head, tile.kv_start, tile.kv_end, -1, -1};
      if (piece.cut_start >= 0) out.kv_start = piece.cut_start;
      if (piece.cut_end >= 0) out.kv_end = piece.cut_end;
      if (piece.count > 1) {
        const int first = piece.piece - piece.ordinal;
        const int slot = (first - piece.q + piece.splits) * heads_ + head * piece.count;
        const int row = piece.rows * heads_ + head * piece.count * tile.row_count;
        out.partial_slot = row + piece.ordinal * tile.row_count;
        out.merge_group = piece.splits * heads_ + head;
        // Whoever has a piece of the tile writes these: the same words, which the CTA itself may read.
        auto* words = reinterpret_cast<int4*>(image_ + params_.merge_groups_offset + out.merge_group * WB_MERGE_GROUP_STRIDE);
        words[0] = make_int4(tile.row_start, tile.row_count, head, slot);
        words[1] = make_int4(piece.count, 0, 0, 0);
#pragma unroll 1
        for (int s = 0; s < piece.count; ++s) image_[params_.merge_slots_offset + slot + s] = row + s * tile.row_count;
      }
      int words[WB_TILE_STRIDE];
      plan_tile_record(params_, tile, out, piece.kv_len, piece.page_start, words);
      const int at = place(piece.piece, group_first, group_count);
      const int kept = piece.piece - group_first;
      auto* target = reinterpret_cast<int4*>(image_ + params_.tiles_offset + static_cast<int64>(at) * WB_TILE_STRIDE);
      auto* copy = reinterpret_cast<int4*>(own_.records[kept]);
#pragma unroll
      for (int w = 0; w < WB_TILE_STRIDE; w += 4) {
        const int4 quad = make_int4(words[w], words[w + 1], words[w + 2], words[w + 3]);
        target[w / 4] = quad;
        if (kept < kOwnRecords) copy[w / 4] = quad;
      }
    }
    __syncwarp();
  }

  // What no CTA needs of this launch: for launches behind it, and for whoever reads the plan back.
  __device__ __forceinline__ void write_tables(int group_first, int group_count) {
    const int total = carry_.pieces() * heads_;
    const int cta = static_cast<int>(blockIdx.x);
    int* indptr = image_ + params_.cta_indptr_offset;
    if (lane_ == 0) {
      indptr[cta] = group_count > 0 ? place(group_first, group_first, group_count) : total;
      if (cta + 1 == params_.num_ctas) indptr[cta + 1] = total;
    }
    for (int r = cta * 32 + lane_; r < num_requests_; r += gridDim.x * 32) {
      const int2 range = static_cast<const int2*>(params_.page_ranges)[r];
      const int64 room = static_cast<int64>(range.y) * params_.page_size;
      const int kv_len = static_cast<int>(min(static_cast<int64>(max(static_cast<const int*>(params_.kv_lens)[r], 0)), room));
      reinterpret_cast<int4*>(image_ + params_.kv_sequences_offset)[r] = make_int4(range.x, kv_len, 0, r);
    }
    if (cta != 0) return;
    const int bad = warp_sum(bad_);
    if (lane_ != 0) return;
    if (bad > 0) atomicAdd(image_ + HEADER_BAD_LENGTHS, bad);
    image_[HEADER_NUM_TILES] = total;
    image_[HEADER_NUM_CTAS] = params_.num_ctas;
    image_[HEADER_DISPATCH] = DISPATCH_STATIC;
    image_[HEADER_NUM_KV_SEQUENCES] = num_requests_;
    image_[HEADER_NUM_ROWS] = 0;
    image_[HEADER_NUM_SEGMENTS] = 0;
    image_[HEADER_NUM_MERGE_GROUPS] = carry_.splits() * heads_;
    image_[HEADER_NUM_MERGE_SLOTS] = (carry_.pieces() - num_tiles_ + carry_.splits()) * heads_;
    image_[HEADER_NUM_PARTIAL_ROWS] = carry_.rows() * heads_;
    image_[HEADER_BATCH_SIZE] = num_requests_;
    image_[HEADER_PLAN_ID] = params_.plan_id;
  }

  // First unit of a share; share s has the units [share_start(s), share_start(s + 1)).
  __device__ __forceinline__ int share_start(int share) const {
    const auto shares = static_cast<uint32>(num_shares_);
    if (!fits_32_bits_) return divide_rarely(static_cast<uint64>(share) * total_units_, shares);
    const uint32 product = static_cast<uint32>(share) * total_units_;
    return (shares & (shares - 1)) == 0 ? product >> (31 - __clz(shares)) : product / shares;
  }
  // The first share that starts above a unit: ceil((unit + 1) * shares / units). The quotient is at most PLAN_MAX_CTAS, so the
  // float's error moves it by one at most.
  __device__ __forceinline__ int share_above(uint32 unit) const {
    const auto shares = static_cast<uint32>(num_shares_);
    const uint64 product = static_cast<uint64>(unit + 1) * shares + total_units_ - 1;
    if (!fits_32_bits_) return divide_rarely(product, total_units_);
    const auto dividend = static_cast<uint32>(product);
    auto quotient = static_cast<uint32>(static_cast<float>(dividend) * reciprocal_);
    const auto left = static_cast<int>(dividend - quotient * total_units_);
    if (left < 0) --quotient;
    if (left >= static_cast<int>(total_units_)) ++quotient;
    return static_cast<int>(quotient);
  }
  __device__ __noinline__ static int divide_rarely(uint64 a, uint64 b) { return static_cast<int>(a / b); }

  const PlanTilesParams& params_;
  OwnTiles& own_;
  OwnPiece* const pieces_;
  const int lane_;
  const int heads_;
  const bool masked_;
  int* const image_;
  int num_requests_ = 0;
  int num_tiles_ = 0;
  int bad_ = 0;
  uint32 total_units_ = 0;
  int num_shares_ = 0;
  bool fits_32_bits_ = true;
  float reciprocal_ = 0;
  // Of the batch of tiles that is looked at, tile 32 j + lane of it.
  int2 ranges_[kOwnChunks];
  int kv_len_[kOwnChunks];
  uint32 first_unit_[kOwnChunks];
  uint32 units_[kOwnChunks];
  // Before the batch.
  uint32 carry_units_ = 0;
  PieceSums carry_{};
  int carry_share_ = -1;
};

}  // namespace warpbook
