// The planner on the device: reads KV lengths and writes the same work list into the workspace image as the policy of
// that name on the host, word for word. Every CTA computes the whole plan (places are prefix sums over query tiles) and
// writes the tiles of its share of the KV heads, so nothing is exchanged between CTAs. Few threads on purpose: what a plan
// costs is instructions that all warps issue, and fetching them: loops stay loops.
//
// Never calls griddepcontrol.launch_dependents: attention reads its list before griddepcontrol.wait, so a launch behind
// this one must not start before the list is written.
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

class Planner {
 public:
  __device__ Planner(const PlanTilesParams& params, PlanShared& shared)
      : params_(params), shared_(shared), tid_(threadIdx.x), heads_(params.num_kv_heads),
        masked_(params.causal || params.window_left >= 0), image_(static_cast<int*>(params.workspace)) {}

  __device__ __forceinline__ void run() {
    wait_for_predecessor();
    load_lengths();
    bool planned = false;
    if (params_.policy == PLAN_POLICY_HEAD_GROUPS && heads_ <= params_.num_ctas) {
      planned = cut_in_shares();
    } else if (params_.policy == PLAN_POLICY_BINARY_SEARCH && num_tiles_ * heads_ < params_.num_ctas) {
      planned = cut_at_chunks();
    }
    if (!planned) keep_whole();
    if (blockIdx.x == gridDim.x - 1) write_sequences();
    if (blockIdx.x == 0 && tid_ == 0) write_header();
  }

 private:
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

  // --- headGroups: equal shares for groups of CTAs --------------------------------------------------------------------

  // False where the workspace can't hold it.
  __device__ __forceinline__ bool cut_in_shares() {
    const auto step = static_cast<uint32>(params_.kv_step);
    const auto units = [&](int q) {
      const int2 range = keys(q);
      const uint32 end = range.y + step - 1;
      const uint32 units = params_.kv_step_shift >= 0 ? end >> params_.kv_step_shift : end / step;
      shared_.number[q] = static_cast<int>(max(1u, units - (masked_ ? range.x / step : 0)));
      return shared_.number[q] + PLAN_TILE_UNITS;
    };
    total_units_ = block_sums(shared_.block, 0, num_tiles_, units,
                              [&](int q, int before) { shared_.unit_start[q] = before; });
    if (tid_ == 0) shared_.unit_start[num_tiles_] = total_units_;
    // Shares of less than a unit are empty, and skipped: as many groups as units do as well.
    num_shares_ = min(params_.num_shares, total_units_);
    fits_32_bits_ = (static_cast<uint64>(total_units_) + 1) * (num_shares_ + 1) < 0xffffffffu;

    // The share boundaries within the keys, share_start(first) and on, are cuts.
    const bool fits = place_pieces([&](int q) {
      const int start = shared_.unit_start[q];
      const int first = share_above(start);
      shared_.group[q] = first - 1;
      return max(share_above(start + shared_.number[q] - 1) - first, 0) + 1;
    });
    if (!fits) return false;
    __syncthreads();

    bool some_empty = false;
#pragma unroll 1
    for (int share = tid_; share < num_shares_; share += kPlanThreads) {
      const int unit = share_start(share);
      const int q = last_at_most(shared_.unit_start, num_tiles_, unit);
      const bool inside = unit < shared_.unit_start[q + 1] - PLAN_TILE_UNITS;
      shared_.group_start[share] =
          inside ? shared_.before[q].pieces() + share - shared_.group[q] : shared_.before[q + 1].pieces();
      some_empty |= !inside && share_start(share + 1) == unit + 1;
    }
    if (tid_ == 0) shared_.group_start[num_shares_] = sums_.pieces();
    some_empty = __syncthreads_or(some_empty);
    if (blockIdx.x == gridDim.x - 1) write_share_indptr(some_empty);
    emit_pieces<false>(0);
    return true;
  }

  // First unit of a share; share s has the units [share_start(s), share_start(s + 1)).
  __device__ __forceinline__ int share_start(int share) const {
    if (fits_32_bits_) {
      const uint32 product = static_cast<uint32>(share) * static_cast<uint32>(total_units_);
      const auto shares = static_cast<uint32>(num_shares_);
      return (shares & (shares - 1)) == 0 ? product >> (31 - __clz(shares)) : product / shares;
    }
    return divide_rarely(static_cast<uint64>(share) * total_units_, num_shares_);
  }
  // The first share that starts above a unit: ceil((unit + 1) * shares / units).
  __device__ __forceinline__ int share_above(int unit) const {
    const auto above = static_cast<uint32>(unit) + 1;
    const auto units = static_cast<uint32>(total_units_);
    const auto shares = static_cast<uint32>(num_shares_);
    if (fits_32_bits_) return (above * shares + units - 1) / units;
    return divide_rarely(static_cast<uint64>(above) * shares + units - 1, units);
  }
  __device__ __noinline__ static int divide_rarely(uint64 a, uint64 b) { return static_cast<int>(a / b); }

  // Empty groups own no CTAs: those with pieces are on the first ones.
  __device__ __forceinline__ void write_share_indptr(bool some_empty) {
    int* indptr = image_ + params_.cta_indptr_offset;
    const auto write = [&](int share, int used) {
      const int first = shared_.group_start[share];
      const int count = shared_.group_start[share + 1] - first;
      if (count == 0) return;
#pragma unroll 1
      for (int head = 0; head < heads_; ++head) indptr[used * heads_ + head] = first * heads_ + head * count;
    };
    int num_used = num_shares_;
    if (some_empty) {
      const auto count = [&](int share) { return shared_.group_start[share + 1] > shared_.group_start[share] ? 1 : 0; };
      num_used = block_sums(shared_.block, 2, num_shares_, count, write);
    } else {
#pragma unroll 1
      for (int share = tid_; share < num_shares_; share += kPlanThreads) write(share, share);
    }
    const int total = sums_.pieces() * heads_;
#pragma unroll 1
    for (int cta = num_used * heads_ + tid_; cta <= params_.num_ctas; cta += kPlanThreads) indptr[cta] = total;
  }

  // --- binarySearch: the smallest chunk for which every piece has a CTA -------------------------------------------------

  __device__ __forceinline__ bool cut_at_chunks() {
    const int chunk = smallest_chunk_pages() * params_.page_size;
    const bool fits = place_pieces([&](int q) {
      const int2 range = keys(q);
      return plan_count_pieces(range.x, range.y, chunk);
    });
    if (!fits) return false;
    __syncthreads();
    write_plain_indptr(sums_.pieces() * heads_);
    emit_pieces<true>(chunk);
    return true;
  }

  // The host's bisection, three steps at a time: a warp evaluates each middle that these may come to.
  __device__ __forceinline__ int smallest_chunk_pages() {
    const int warp = tid_ >> 5;
    const int lane = tid_ & 31;
    int longest = 1;
#pragma unroll 1
    for (int q = tid_; q < num_tiles_; q += kPlanThreads) {
      const int2 range = keys(q);
      shared_.sorted_load[q] = range.x;
      shared_.group[q] = range.y;
      longest = max(longest, range.y);
    }
    longest = block_max(shared_.block, longest);
    const int page = params_.page_size;
    int low = max(PLAN_MIN_CHUNK_TOKENS / page, 1);
    int high = max(low, (longest + page - 1) / page);
#pragma unroll 1
    while (low < high) {
      int my_low = low;
      int my_high = high;
#pragma unroll 1
      for (int bit = 30 - __clz(max(warp, 1)); bit >= 0; --bit) bisect(my_low, my_high, (warp >> bit & 1) == 0);
      if (warp > 0 && my_low < my_high) {
        const int chunk = ((my_low + my_high) >> 1) * page;
        int sum = 0;
#pragma unroll 1
        for (int q = lane; q < num_tiles_; q += 32) {
          sum += plan_count_pieces(shared_.sorted_load[q], shared_.group[q], chunk);
        }
        sum = warp_sum(sum);
        if (lane == 0) shared_.block.words[warp] = static_cast<int64>(sum) * heads_ <= params_.num_ctas;
      }
      __syncthreads();
#pragma unroll 1
      for (int node = 1; node < kPlanWarps && low < high;) {
        const bool fits = shared_.block.words[node] != 0;
        bisect(low, high, fits);
        node = 2 * node + (fits ? 0 : 1);
      }
      __syncthreads();
    }
    return low;
  }
  __device__ static void bisect(int& low, int& high, bool fits) {
    if (low >= high) return;
    const int middle = (low + high) >> 1;
    if (fits) high = middle;
    else low = middle + 1;
  }

  // --- whole query tiles, longest first ---------------------------------------------------------------------------------

  __device__ __forceinline__ void keep_whole() {
    sums_ = PieceSums::of(num_tiles_, 0, 0, 0);
    const int total = num_tiles_ * heads_;
    if (total <= params_.num_ctas) {
      __syncthreads();
      write_plain_indptr(total);
      return emit_whole(heads_, 1, true);
    }
    const int width = params_.group_width;
    const int num_groups = params_.num_groups;
    const int num_items = num_tiles_ * (heads_ / width);
    __syncthreads();
    const int2 first_keys = keys(0);
    bool other = false;
#pragma unroll 1
    for (int q = tid_; q < num_tiles_; q += kPlanThreads) {
      const int2 range = keys(q);
      shared_.group[q] = range.y - range.x;
      other |= range.y - range.x != first_keys.y - first_keys.x;
    }
    const bool in_turn = !__syncthreads_or(other) || num_items <= num_groups;
    if (in_turn) {
#pragma unroll 1
      for (int group = tid_; group <= num_groups; group += kPlanThreads) {
        shared_.group_start[group] = group * (num_items / num_groups) + min(group, num_items % num_groups);
      }
    } else {
      deal_longest_first(num_items, num_groups);
    }
    __syncthreads();
    if (blockIdx.x == gridDim.x - 1) {
      int* indptr = image_ + params_.cta_indptr_offset;
#pragma unroll 1
      for (int group = tid_; group < num_groups; group += kPlanThreads) {
        const int first = shared_.group_start[group];
        const int count = shared_.group_start[group + 1] - first;
#pragma unroll 1
        for (int w = 0; w < width; ++w) indptr[group * width + w] = first * width + w * count;
      }
#pragma unroll 1
      for (int cta = num_groups * width + tid_; cta <= params_.num_ctas; cta += kPlanThreads) indptr[cta] = total;
    }
    emit_whole(width, num_groups, in_turn);
  }

  // `group` holds the keys of each query tile. Leaves there the group of each item, in `number` its number among those of
  // its group, and in `group_start` the first item of each group.
  __device__ __forceinline__ void deal_longest_first(int num_items, int num_groups) {
    const int blocks = num_items / num_tiles_;
    // Two sums, so that no sum of 1,024 lengths overflows.
    const auto low = [&](int q) { return (shared_.group[q] + PLAN_FIXED_TOKENS) & 0xffff; };
    const auto high = [&](int q) { return (shared_.group[q] + PLAN_FIXED_TOKENS) >> 16; };
    const auto ignore = [](int, int) {};
    const int total_low = block_sums(shared_.block, 2, num_tiles_, low, ignore);
    const int total_high = block_sums(shared_.block, 3, num_tiles_, high, ignore);
    const int64 total = ((static_cast<int64>(total_high) << 16) + total_low) * blocks;
    const double unit = fmax(1.0, __ddiv_rn(static_cast<double>(total), static_cast<double>(PLAN_MAX_GROUP_LOAD)));
#pragma unroll 1
    for (int q = tid_; q < num_tiles_; q += kPlanThreads) {
      const int tokens = shared_.group[q];
      int place = 0;
#pragma unroll 1
      for (int other = 0; other < num_tiles_; ++other) {
        const int others = shared_.group[other];
        place += others > tokens || (others == tokens && other < q);
      }
      const int load = tokens + PLAN_FIXED_TOKENS;
      shared_.sorted_load[place] = unit > 1.0 ? static_cast<int>(floor(__ddiv_rn(static_cast<double>(load), unit))) : load;
      shared_.sorted_item[place] = q * blocks;
    }
#pragma unroll 1
    for (int group = tid_; group < num_groups; group += kPlanThreads) shared_.group_start[group] = 0;
    __syncthreads();
    if (tid_ < 32) {
      if (num_groups <= 32) deal_in_registers(blocks, num_groups);
      else deal_in_shared_memory(blocks, num_groups);
    }
    __syncthreads();
#pragma unroll 1
    for (int item = tid_; item < num_items; item += kPlanThreads) {
      const int group = shared_.group[item];
      int before = 0;
#pragma unroll 1
      for (int other = 0; other < item; ++other) before += shared_.group[other] == group;
      shared_.number[item] = before;
      atomicAdd(&shared_.group_start[group], 1);
    }
    __syncthreads();
    const auto count = [&](int group) { return shared_.group_start[group]; };
    const auto store = [&](int group, int first) { shared_.group_start[group] = first; };
    block_sums(shared_.block, 4, num_groups, count, store);
    if (tid_ == 0) shared_.group_start[num_groups] = num_items;
  }

  // The choices follow from each other, one by one: a group's load and its number in one word, so that a choice is one
  // reduction.
  __device__ __forceinline__ void deal_in_registers(int blocks, int num_groups) {
    const int lane = tid_;
    uint32 key = lane < num_groups ? lane : 0xffffffffu;
#pragma unroll 1
    for (int begin = 0; begin < num_tiles_; begin += 32) {
      const bool mine = begin + lane < num_tiles_;
      const int load = mine ? shared_.sorted_load[begin + lane] << 5 : 0;
      const int first_item = mine ? shared_.sorted_item[begin + lane] : 0;
      const int count = min(32, num_tiles_ - begin);
#pragma unroll 1
      for (int i = 0; i < count; ++i) {
        const int added = __shfl_sync(kAllLanes, load, i);
        const int item = __shfl_sync(kAllLanes, first_item, i);
#pragma unroll 1
        for (int block = 0; block < blocks; ++block) {
          const uint32 least = warp_min(key);
          if (lane == 0) shared_.group[item + block] = least & 31;
          if (key == least) key += added;
        }
      }
    }
  }
  // More groups than lanes: `number` holds their loads.
  __device__ __forceinline__ void deal_in_shared_memory(int blocks, int num_groups) {
    const int lane = tid_;
#pragma unroll 1
    for (int group = lane; group < num_groups; group += 32) shared_.number[group] = 0;
    __syncwarp();
#pragma unroll 1
    for (int i = 0; i < num_tiles_; ++i) {
      const int item = shared_.sorted_item[i];
#pragma unroll 1
      for (int block = 0; block < blocks; ++block) {
        uint32 load = 0xffffffffu;
        uint32 group = 0;
#pragma unroll 1
        for (int g = lane; g < num_groups; g += 32) {
          const auto other = static_cast<uint32>(shared_.number[g]);
          if (other < load) {
            load = other;
            group = g;
          }
        }
        const uint32 least = warp_min(load);
        const uint32 chosen = warp_min(load == least ? group : 0xffffffffu);
        __syncwarp();  // everybody has read the loads
        if (lane == 0) {
          shared_.number[chosen] = least + shared_.sorted_load[i];
          shared_.group[item + block] = chosen;
        }
        __syncwarp();
      }
    }
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

  template <bool kChunks>
  __device__ __forceinline__ void emit_pieces(int chunk) {
#pragma unroll 1
    for (int piece = tid_; piece < sums_.pieces(); piece += kPlanThreads) {
      const int q = sums_.splits() == 0 ? piece : last_with_piece(piece);
      const PieceSums before = shared_.before[q];
      const int first = before.pieces();
      const int count = shared_.before[q + 1].pieces() - first;
      const int ordinal = piece - first;
      const PlanQueryTile tile = query_tile(q);
      PlanPiece out{0, tile.kv_start, tile.kv_end, -1, -1};
      // The place of head 0, and from a head to the next.
      int place, stride;
      if constexpr (kChunks) {
        const int first_chunk = masked_ ? tile.kv_start / chunk : 0;
        if (ordinal > 0) out.kv_start = (first_chunk + ordinal) * chunk;
        if (ordinal + 1 < count) out.kv_end = (first_chunk + ordinal + 1) * chunk;
        place = first * heads_ + ordinal;
        stride = count;
      } else {
        const int share = shared_.group[q] + ordinal;
        const int base = (masked_ ? tile.kv_start / params_.kv_step : 0) - shared_.unit_start[q];
        if (ordinal > 0) out.kv_start = (base + share_start(share)) * params_.kv_step;
        if (ordinal + 1 < count) out.kv_end = (base + share_start(share + 1)) * params_.kv_step;
        const int group_first = shared_.group_start[share];
        place = group_first * heads_ + piece - group_first;
        stride = shared_.group_start[share + 1] - group_first;
      }
#pragma unroll 1
      for (int head = blockIdx.x; head < heads_; head += gridDim.x) {
        out.kv_head = head;
        if (count > 1) {
          const int slot = before.slots() * heads_ + head * count;
          const int row = before.rows() * heads_ + head * count * tile.row_count;
          out.partial_slot = row + ordinal * tile.row_count;
          out.merge_group = before.splits() * heads_ + head;
          image_[params_.merge_slots_offset + slot + ordinal] = out.partial_slot;
          if (ordinal == 0) write_merge_group(out.merge_group, tile, head, slot, count);
        }
        write_tile(place + head * stride, tile, out);
      }
    }
  }

  __device__ __forceinline__ void emit_whole(int width, int num_groups, bool in_turn) {
    const bool plain = num_tiles_ * heads_ <= params_.num_ctas;
    const int blocks = heads_ / width;
#pragma unroll 1
    for (int q = tid_; q < num_tiles_; q += kPlanThreads) {
      const PlanQueryTile tile = query_tile(q);
#pragma unroll 1
      for (int head = blockIdx.x; head < heads_; head += gridDim.x) {
        int place = q * heads_ + head;
        if (!plain) {
          const int block = head / width;
          const int item = q * blocks + block;
          const int group = in_turn ? item % num_groups : shared_.group[item];
          const int number = in_turn ? item / num_groups : shared_.number[item];
          const int first = shared_.group_start[group];
          place = first * width + (head - block * width) * (shared_.group_start[group + 1] - first) + number;
        }
        write_tile(place, tile, {head, tile.kv_start, tile.kv_end, -1, -1});
      }
    }
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

extern "C" __global__ void __launch_bounds__(warpbook::kPlanThreads, 1)
plan_tiles(const __grid_constant__ warpbook::PlanTilesParams params) {
  __shared__ warpbook::PlanShared shared;
  warpbook::Planner(params, shared).run();
}
