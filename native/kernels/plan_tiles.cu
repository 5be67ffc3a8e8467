// The planner on the device: reads KV lengths and writes the same work list into the workspace image as the policy of
// that name on the host, word for word. Every CTA computes the whole plan (a query tile is a thread's, positions are
// prefix sums) and writes its share of the list, so nothing is exchanged between CTAs.
//
// Never calls griddepcontrol.launch_dependents: attention reads its list before griddepcontrol.wait, so a launch behind
// this one must not start before the list is written.
#include "attention/ptx.cuh"
#include "plan/query_tile.h"

namespace warpbook {

constexpr int kThreads = PLAN_MAX_ITEMS;
constexpr int kWarps = kThreads / 32;

struct Sums {
  int pieces;
  int splits;
  int slots;
  int rows;
};

struct PlanShared {
  int kv_len[PLAN_MAX_ITEMS];
  int page_start[PLAN_MAX_ITEMS];
  // Exclusive prefix sums over query tiles, and the totals.
  int unit_start[PLAN_MAX_ITEMS + 1];
  int piece_indptr[PLAN_MAX_ITEMS + 1];
  int split_start[PLAN_MAX_ITEMS];
  int slot_start[PLAN_MAX_ITEMS];
  int row_start[PLAN_MAX_ITEMS];
  // headGroups: the share that a query tile starts in. Whole tiles: keys, then the group of each item.
  int group[PLAN_MAX_ITEMS];
  // First piece (or item) of each group.
  int group_start[PLAN_MAX_CTAS + 1];
  // Whole tiles: loads and items, longest first.
  int sorted_load[PLAN_MAX_ITEMS];
  short sorted_item[PLAN_MAX_ITEMS];
  Sums warp_sums[4][kWarps];
  int fits[kWarps];
};

class Planner {
 public:
  __device__ Planner(const PlanTilesParams& params, PlanShared& shared)
      : params_(params), shared_(shared), tid_(threadIdx.x), lane_(threadIdx.x & 31), warp_(threadIdx.x >> 5),
        heads_(params.num_kv_heads), image_(static_cast<int*>(params.workspace)) {}

  __device__ __forceinline__ void run() {
    wait_for_predecessor();
    load_lengths();
    if (params_.policy == PLAN_POLICY_HEAD_GROUPS && heads_ <= params_.num_ctas) {
      cut_in_shares();
    } else if (params_.policy == PLAN_POLICY_BINARY_SEARCH && num_tiles_ * heads_ < params_.num_ctas) {
      cut_at_chunks();
    } else {
      keep_whole();
    }
    write_sequences();
    if (blockIdx.x == 0 && tid_ == 0) write_header();
  }

 private:
  __device__ bool active() const { return tid_ < num_tiles_; }

  // --- lengths ----------------------------------------------------------------------------------------------------

  __device__ __forceinline__ void load_lengths() {
    const auto* lengths = static_cast<const int*>(params_.kv_lens);
    const auto* ranges = static_cast<const int2*>(params_.page_ranges);
    const auto* wanted = static_cast<const int*>(params_.num_requests);
    // All loads before the first use.
    const bool mine = tid_ < params_.max_requests;
    const int asked = wanted != nullptr ? *wanted : params_.max_requests;
    const int2 range = mine ? ranges[tid_] : make_int2(0, 0);
    const int given = mine ? lengths[tid_] : 0;
    num_requests_ = min(max(asked, 0), params_.max_requests);
    const int64 room = static_cast<int64>(range.y) * params_.page_size;
    const int kv_len = static_cast<int>(min(static_cast<int64>(max(given, 0)), room));
    const bool bad = mine && tid_ < num_requests_ && kv_len != given;
    if (unlikely((bad || (tid_ == 0 && asked != num_requests_)) && blockIdx.x == 0)) atomicAdd(image_ + HEADER_BAD_LENGTHS, 1);
    shared_.kv_len[tid_] = kv_len;
    shared_.page_start[tid_] = range.x;
    tiles_per_request_ = plan_tiles_per_request(params_);
    num_tiles_ = num_requests_ * tiles_per_request_;
    if (tiles_per_request_ > 1) __syncthreads();
    tile_ = active() ? query_tile(tid_) : PlanQueryTile{};
  }

  __device__ __forceinline__ PlanQueryTile query_tile(int q) const {
    const int request = tiles_per_request_ == 1 ? q : q / tiles_per_request_;
    return plan_query_tile(params_, request, q - request * tiles_per_request_, shared_.kv_len[request]);
  }

  // --- headGroups: equal shares for groups of CTAs --------------------------------------------------------------------

  __device__ __forceinline__ void cut_in_shares() {
    const int step = params_.kv_step;
    const int units = active() ? max(1, (tile_.kv_end + step - 1) / step - tile_.kv_start / step) : 0;
    int total = 0;
    const int start = scan(0, {active() ? units + PLAN_TILE_UNITS : 0, 0, 0, 0}, &total).pieces;
    // Shares of less than a unit are empty, and skipped: as many groups as units do as well.
    num_shares_ = min(params_.num_ctas / heads_, total);
    total_units_ = total;

    int first = 0;
    int pieces = 0;
    if (active()) {
      // The share boundaries within the keys, share_start(first) and on, are cuts.
      first = share_above(start);
      const int last = share_above(start + units - 1) - 1;
      pieces = max(last - first + 1, 0) + 1;
    }
    if (!place_pieces(pieces)) return keep_whole();
    if (active()) {
      shared_.unit_start[tid_] = start;
      shared_.group[tid_] = first - 1;
    }
    if (tid_ == 0) shared_.unit_start[num_tiles_] = total;
    __syncthreads();

    int group_first = sums_.pieces;
    if (tid_ < num_shares_) {
      const int unit = share_start(tid_);
      const int q = last_at_most(shared_.unit_start, num_tiles_, unit);
      const bool inside = unit < shared_.unit_start[q + 1] - PLAN_TILE_UNITS;
      group_first = inside ? shared_.piece_indptr[q] + tid_ - shared_.group[q] : shared_.piece_indptr[q + 1];
      shared_.group_start[tid_] = group_first;
    }
    if (tid_ == 0) shared_.group_start[num_shares_] = sums_.pieces;
    __syncthreads();
    write_share_indptr(group_first);
    emit_pieces<false>(0);
  }

  // First unit of a share; share s has the units [share_start(s), share_start(s + 1)).
  __device__ __forceinline__ int share_start(int share) const {
    if (fits_32_bits()) return static_cast<uint32>(share) * static_cast<uint32>(total_units_) / static_cast<uint32>(num_shares_);
    return static_cast<int>(static_cast<int64>(share) * total_units_ / num_shares_);
  }
  // The first share that starts above a unit: as in ceil((unit + 1) * shares / units).
  __device__ __forceinline__ int share_above(int unit) const {
    const auto above = static_cast<uint32>(unit) + 1;
    const auto units = static_cast<uint32>(total_units_);
    const auto shares = static_cast<uint32>(num_shares_);
    if (fits_32_bits()) return (above * shares + units - 1) / units;
    return static_cast<int>((static_cast<uint64>(above) * shares + units - 1) / units);
  }
  __device__ bool fits_32_bits() const {
    return (static_cast<uint64>(total_units_) + 1) * (num_shares_ + 1) < 0xffffffffu;
  }

  // Empty groups own no CTAs: those with pieces are on the first ones.
  __device__ __forceinline__ void write_share_indptr(int first) {
    const bool is_group = tid_ < num_shares_;
    const int count = is_group ? shared_.group_start[tid_ + 1] - first : 0;
    int used = tid_;
    int num_used = num_shares_;
    if (__syncthreads_or(is_group && count == 0)) used = scan(2, {count > 0 ? 1 : 0, 0, 0, 0}, &num_used).pieces;
    int* indptr = image_ + params_.cta_indptr_offset;
    if (is_group && count > 0 && blockIdx.x == 0) {
      for (int head = 0; head < heads_; ++head) indptr[used * heads_ + head] = first * heads_ + head * count;
    }
    if (blockIdx.x != 0) return;
    for (int cta = num_used * heads_ + tid_; cta <= params_.num_ctas; cta += kThreads) indptr[cta] = sums_.pieces * heads_;
  }

  // --- binarySearch: the smallest chunk for which every piece has a CTA -------------------------------------------------

  __device__ __forceinline__ void cut_at_chunks() {
    chunk_ = smallest_chunk_pages() * params_.page_size;
    const int pieces = active() ? plan_count_pieces(tile_.kv_start, tile_.kv_end, chunk_) : 0;
    if (!place_pieces(pieces)) return keep_whole();
    __syncthreads();
    write_plain_indptr(sums_.pieces * heads_);
    emit_pieces<true>(chunk_);
  }

  // The host's bisection, five steps at a time: a warp evaluates each middle that these may come to.
  __device__ __forceinline__ int smallest_chunk_pages() {
    if (active()) {
      shared_.sorted_load[tid_] = tile_.kv_start;
      shared_.group[tid_] = tile_.kv_end;
    }
    const int longest = block_max(active() ? tile_.kv_end : 0);
    const int page = params_.page_size;
    int low = max(PLAN_MIN_CHUNK_TOKENS / page, 1);
    int high = max(low, (max(longest, 1) + page - 1) / page);
    while (low < high) {
      int my_low = low;
      int my_high = high;
      bool reached = warp_ > 0;
      for (int bit = 30 - __clz(max(warp_, 1)); reached && bit >= 0; --bit) {
        if (my_low >= my_high) reached = false;
        step(my_low, my_high, (warp_ >> bit & 1) == 0);
      }
      if (reached && my_low < my_high) {
        const int chunk = ((my_low + my_high) >> 1) * page;
        int sum = 0;
        for (int q = lane_; q < num_tiles_; q += 32) {
          sum += plan_count_pieces(shared_.sorted_load[q], shared_.group[q], chunk);
        }
        sum = warp_sum(sum);
        if (lane_ == 0) shared_.fits[warp_] = static_cast<int64>(sum) * heads_ <= params_.num_ctas;
      }
      __syncthreads();
      for (int node = 1; node < kWarps && low < high;) {
        const bool fits = shared_.fits[node] != 0;
        step(low, high, fits);
        node = 2 * node + (fits ? 0 : 1);
      }
      __syncthreads();
    }
    return low;
  }
  __device__ static void step(int& low, int& high, bool fits) {
    const int middle = (low + high) >> 1;
    if (fits) high = middle;
    else low = middle + 1;
  }

  // --- whole query tiles, longest first ---------------------------------------------------------------------------------

  __device__ __forceinline__ void keep_whole() {
    __syncthreads();
    sums_ = {num_tiles_, 0, 0, 0};
    const int total = num_tiles_ * heads_;
    if (total <= params_.num_ctas) {
      write_plain_indptr(total);
      return emit_whole(heads_, 1, 1, true);
    }
    const int width = params_.group_width;
    const int blocks = heads_ / width;
    const int num_groups = params_.num_ctas / width;
    const int num_items = num_tiles_ * blocks;
    const int tokens = tile_.kv_end - tile_.kv_start;
    if (active()) shared_.group[tid_] = tokens;
    __syncthreads();
    const bool alike = __syncthreads_and(!active() || tokens == shared_.group[0]);
    const bool in_turn = alike || num_items <= num_groups;
    if (!in_turn) deal_longest_first(tokens, blocks, num_items, num_groups);

    // First items of the groups, and from them the tiles of each CTA.
    int count = 0;
    if (tid_ < num_groups) {
      count = in_turn ? num_items / num_groups + (tid_ < num_items % num_groups) : shared_.group_start[tid_];
    }
    int unused;
    const int first = scan(3, {count, 0, 0, 0}, &unused).pieces;
    __syncthreads();
    if (tid_ < num_groups) shared_.group_start[tid_] = first;
    if (tid_ == 0) shared_.group_start[num_groups] = num_items;
    int* indptr = image_ + params_.cta_indptr_offset;
    if (blockIdx.x == 0) {
      if (tid_ < num_groups) {
        for (int w = 0; w < width; ++w) indptr[tid_ * width + w] = first * width + w * count;
      }
      for (int cta = num_groups * width + tid_; cta <= params_.num_ctas; cta += kThreads) indptr[cta] = total;
    }
    __syncthreads();
    emit_whole(width, num_groups, blocks, in_turn);
  }

  // Leaves the group of each item in `group`, its number among those of its group in `slot_start`, and the number of
  // items of each group in `group_start`.
  __device__ __forceinline__ void deal_longest_first(int tokens, int blocks, int num_items, int num_groups) {
    int place = 0;
    if (active()) {
      for (int q = 0; q < num_tiles_; ++q) {
        const int other = shared_.group[q];
        place += other > tokens || (other == tokens && q < tid_);
      }
    }
    const int64 total = block_sum64(active() ? tokens + PLAN_FIXED_TOKENS : 0) * blocks;
    const double unit = fmax(1.0, __ddiv_rn(static_cast<double>(total), static_cast<double>(PLAN_MAX_GROUP_LOAD)));
    if (active()) {
      const int load = tokens + PLAN_FIXED_TOKENS;
      shared_.sorted_load[place] = unit > 1.0 ? static_cast<int>(floor(__ddiv_rn(static_cast<double>(load), unit))) : load;
      shared_.sorted_item[place] = static_cast<short>(tid_ * blocks);
    }
    if (tid_ < num_groups) shared_.group_start[tid_] = 0;
    __syncthreads();
    if (warp_ == 0) {
      if (num_groups <= 32) deal_in_registers(blocks, num_groups);
      else deal_in_shared_memory(blocks, num_groups);
    }
    __syncthreads();
    if (tid_ < num_items) {
      const int group = shared_.group[tid_];
      int before = 0;
      for (int item = 0; item < tid_; ++item) before += shared_.group[item] == group;
      shared_.slot_start[tid_] = before;
      atomicAdd(&shared_.group_start[group], 1);
    }
    __syncthreads();
  }

  // The choices follow from each other, one by one: a group's load and its number in one word, so that a choice is one
  // reduction.
  __device__ __forceinline__ void deal_in_registers(int blocks, int num_groups) {
    uint32 key = lane_ < num_groups ? lane_ : 0xffffffffu;
    for (int begin = 0; begin < num_tiles_; begin += 32) {
      const bool mine = begin + lane_ < num_tiles_;
      const int load = mine ? shared_.sorted_load[begin + lane_] << 5 : 0;
      const int first_item = mine ? shared_.sorted_item[begin + lane_] : 0;
      const int count = min(32, num_tiles_ - begin);
      if (blocks == 1) {
        uint32 chosen = 0;
        for (int i = 0; i < count; ++i) {
          const uint32 least = warp_min(key);
          const int added = __shfl_sync(kAllLanes, load, i);
          if (lane_ == i) chosen = least;
          if (key == least) key += added;
        }
        if (mine) shared_.group[first_item] = chosen & 31;
        continue;
      }
      for (int i = 0; i < count; ++i) {
        const int added = __shfl_sync(kAllLanes, load, i);
        const int item = __shfl_sync(kAllLanes, first_item, i);
        for (int block = 0; block < blocks; ++block) {
          const uint32 least = warp_min(key);
          if (lane_ == 0) shared_.group[item + block] = least & 31;
          if (key == least) key += added;
        }
      }
    }
  }
  // More groups than lanes: `row_start` holds their loads.
  __device__ __forceinline__ void deal_in_shared_memory(int blocks, int num_groups) {
    for (int group = lane_; group < num_groups; group += 32) shared_.row_start[group] = 0;
    __syncwarp();
    for (int i = 0; i < num_tiles_; ++i) {
      const int item = shared_.sorted_item[i];
      for (int block = 0; block < blocks; ++block) {
        uint32 load = 0xffffffffu;
        uint32 group = 0;
        for (int g = lane_; g < num_groups; g += 32) {
          const auto other = static_cast<uint32>(shared_.row_start[g]);
          if (other < load) {
            load = other;
            group = g;
          }
        }
        const uint32 least = warp_min(load);
        const uint32 chosen = warp_min(load == least ? group : 0xffffffffu);
        if (lane_ == 0) {
          shared_.row_start[chosen] = least + shared_.sorted_load[i];
          shared_.group[item + block] = chosen;
        }
        __syncwarp();
      }
    }
  }

  // --- writing ------------------------------------------------------------------------------------------------------------

  // Where the pieces of each query tile and their partial states go. False where that is more than the workspace holds.
  __device__ __forceinline__ bool place_pieces(int pieces) {
    const bool split = pieces > 1;
    const Sums before = scan(1, {pieces, split, split ? pieces : 0, split ? pieces * tile_.row_count : 0}, &sums_);
    const bool fits = static_cast<int64>(sums_.pieces) * heads_ <= params_.max_tiles &&
                      static_cast<int64>(sums_.splits) * heads_ <= params_.max_merge_groups &&
                      static_cast<int64>(sums_.slots) * heads_ <= params_.max_merge_slots &&
                      static_cast<int64>(sums_.rows) * heads_ <= params_.max_partial_rows;
    if (unlikely(!fits)) {
      if (blockIdx.x == 0 && tid_ == 0) atomicAdd(image_ + HEADER_UNSPLIT_PLANS, 1);
      return false;
    }
    if (active()) {
      shared_.piece_indptr[tid_] = before.pieces;
      shared_.split_start[tid_] = before.splits;
      shared_.slot_start[tid_] = before.slots;
      shared_.row_start[tid_] = before.rows;
    }
    if (tid_ == 0) shared_.piece_indptr[num_tiles_] = sums_.pieces;
    return true;
  }

  // Tile t is CTA t's.
  __device__ __forceinline__ void write_plain_indptr(int total) {
    if (blockIdx.x != 0) return;
    int* indptr = image_ + params_.cta_indptr_offset;
    for (int cta = tid_; cta <= params_.num_ctas; cta += kThreads) indptr[cta] = min(cta, total);
  }

  template <bool kChunks>
  __device__ __forceinline__ void emit_pieces(int chunk) {
    const int total = sums_.pieces * heads_;
    for (int index = blockIdx.x * kThreads + tid_; index < total; index += gridDim.x * kThreads) {
      const int piece = index / heads_;
      const int head = index - piece * heads_;
      const int q = sums_.splits == 0 ? piece : last_at_most(shared_.piece_indptr, num_tiles_, piece);
      const int first = shared_.piece_indptr[q];
      const int count = shared_.piece_indptr[q + 1] - first;
      const int ordinal = piece - first;
      const PlanQueryTile tile = query_tile(q);
      PlanPiece out{head, tile.kv_start, tile.kv_end, -1, -1};
      int place;
      if constexpr (kChunks) {
        const int first_chunk = tile.kv_start / chunk;
        if (ordinal > 0) out.kv_start = (first_chunk + ordinal) * chunk;
        if (ordinal + 1 < count) out.kv_end = (first_chunk + ordinal + 1) * chunk;
        place = first * heads_ + head * count + ordinal;
      } else {
        const int share = shared_.group[q] + ordinal;
        const int base = tile.kv_start / params_.kv_step - shared_.unit_start[q];
        if (ordinal > 0) out.kv_start = (base + share_start(share)) * params_.kv_step;
        if (ordinal + 1 < count) out.kv_end = (base + share_start(share + 1)) * params_.kv_step;
        const int group_first = shared_.group_start[share];
        place = group_first * heads_ + head * (shared_.group_start[share + 1] - group_first) + piece - group_first;
      }
      if (count > 1) {
        const int slot = shared_.slot_start[q] * heads_ + head * count;
        const int row = shared_.row_start[q] * heads_ + head * count * tile.row_count;
        out.partial_slot = row + ordinal * tile.row_count;
        out.merge_group = shared_.split_start[q] * heads_ + head;
        image_[params_.merge_slots_offset + slot + ordinal] = out.partial_slot;
        if (ordinal == 0) write_merge_group(out.merge_group, tile, head, slot, count);
      }
      write_tile(place, tile, out);
    }
  }

  __device__ __forceinline__ void emit_whole(int width, int num_groups, int blocks, bool in_turn) {
    const int total = num_tiles_ * heads_;
    const bool plain = total <= params_.num_ctas;
    for (int index = blockIdx.x * kThreads + tid_; index < total; index += gridDim.x * kThreads) {
      const int q = index / heads_;
      const int head = index - q * heads_;
      int place = index;
      if (!plain) {
        const int block = head / width;
        const int item = q * blocks + block;
        const int group = in_turn ? item % num_groups : shared_.group[item];
        const int number = in_turn ? item / num_groups : shared_.slot_start[item];
        const int first = shared_.group_start[group];
        place = first * width + (head - block * width) * (shared_.group_start[group + 1] - first) + number;
      }
      const PlanQueryTile tile = query_tile(q);
      write_tile(place, tile, {head, tile.kv_start, tile.kv_end, -1, -1});
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
    if (blockIdx.x != gridDim.x - 1 || tid_ >= num_requests_) return;
    reinterpret_cast<int4*>(image_ + params_.kv_sequences_offset)[tid_] =
        make_int4(shared_.page_start[tid_], shared_.kv_len[tid_], 0, tid_);
  }

  // The status words are sticky: they count from the last plan of the host's.
  __device__ __forceinline__ void write_header() {
    image_[HEADER_NUM_TILES] = sums_.pieces * heads_;
    image_[HEADER_NUM_CTAS] = params_.num_ctas;
    image_[HEADER_DISPATCH] = DISPATCH_STATIC;
    image_[HEADER_NUM_KV_SEQUENCES] = num_requests_;
    image_[HEADER_NUM_ROWS] = 0;
    image_[HEADER_NUM_SEGMENTS] = 0;
    image_[HEADER_NUM_MERGE_GROUPS] = sums_.splits * heads_;
    image_[HEADER_NUM_MERGE_SLOTS] = sums_.slots * heads_;
    image_[HEADER_NUM_PARTIAL_ROWS] = sums_.rows * heads_;
    image_[HEADER_BATCH_SIZE] = num_requests_;
    image_[HEADER_PLAN_ID] = params_.plan_id;
  }

  // --- across the CTA -------------------------------------------------------------------------------------------------------

  // Index of the last of `count` increasing values that is at most `value`; values[0] is.
  __device__ static int last_at_most(const int* values, int count, int value) {
    int low = 0;
    int high = count;
    while (high - low > 1) {
      const int middle = (low + high) >> 1;
      if (values[middle] <= value) low = middle;
      else high = middle;
    }
    return low;
  }

  // Exclusive prefix sums and totals. One barrier; each call of a run has a `buffer` of its own.
  __device__ __forceinline__ Sums scan(int buffer, Sums mine, Sums* total) {
    Sums sum = warp_prefix(mine);
    if (lane_ == 31) shared_.warp_sums[buffer][warp_] = sum;
    __syncthreads();
    Sums warps = warp_prefix(shared_.warp_sums[buffer][lane_]);
    *total = shuffle(warps, 31);
    const Sums before = shuffle(warps, max(warp_ - 1, 0));
    const int some = warp_ > 0;
    return {sum.pieces - mine.pieces + some * before.pieces, sum.splits - mine.splits + some * before.splits,
            sum.slots - mine.slots + some * before.slots, sum.rows - mine.rows + some * before.rows};
  }
  __device__ __forceinline__ Sums scan(int buffer, Sums mine, int* total) {
    Sums totals;
    const Sums before = scan(buffer, mine, &totals);
    *total = totals.pieces;
    return before;
  }
  __device__ __forceinline__ Sums warp_prefix(Sums sum) const {
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      const Sums other{__shfl_up_sync(kAllLanes, sum.pieces, distance), __shfl_up_sync(kAllLanes, sum.splits, distance),
                       __shfl_up_sync(kAllLanes, sum.slots, distance), __shfl_up_sync(kAllLanes, sum.rows, distance)};
      if (lane_ < distance) continue;
      sum = {sum.pieces + other.pieces, sum.splits + other.splits, sum.slots + other.slots, sum.rows + other.rows};
    }
    return sum;
  }
  __device__ static Sums shuffle(const Sums& sums, int lane) {
    return {__shfl_sync(kAllLanes, sums.pieces, lane), __shfl_sync(kAllLanes, sums.splits, lane),
            __shfl_sync(kAllLanes, sums.slots, lane), __shfl_sync(kAllLanes, sums.rows, lane)};
  }

  __device__ static uint32 warp_min(uint32 value) {
    uint32 least;
    asm volatile("redux.sync.min.u32 %0, %1, 0xffffffff;" : "=r"(least) : "r"(value));
    return least;
  }
  __device__ static int warp_sum(int value) {
    int sum;
    asm volatile("redux.sync.add.s32 %0, %1, 0xffffffff;" : "=r"(sum) : "r"(value));
    return sum;
  }
  __device__ __forceinline__ int block_max(int value) {
    int most;
    asm volatile("redux.sync.max.s32 %0, %1, 0xffffffff;" : "=r"(most) : "r"(value));
    if (lane_ == 0) shared_.fits[warp_] = most;
    __syncthreads();
    const int other = shared_.fits[lane_];
    asm volatile("redux.sync.max.s32 %0, %1, 0xffffffff;" : "=r"(most) : "r"(other));
    __syncthreads();
    return most;
  }
  __device__ __forceinline__ int64 block_sum64(int value) {
    // Two halves, so that no sum of 1,024 lengths overflows.
    Sums total;
    scan(2, {value & 0xffff, value >> 16, 0, 0}, &total);
    return (static_cast<int64>(total.splits) << 16) + total.pieces;
  }

  const PlanTilesParams& params_;
  PlanShared& shared_;
  const int tid_;
  const int lane_;
  const int warp_;
  const int heads_;
  int* const image_;
  int num_requests_ = 0;
  int tiles_per_request_ = 1;
  // Query tiles of one KV head.
  int num_tiles_ = 0;
  // This thread's.
  PlanQueryTile tile_;
  Sums sums_{};
  int num_shares_ = 0;
  int total_units_ = 0;
  int chunk_ = 0;
};

}  // namespace warpbook

extern "C" __global__ void __launch_bounds__(warpbook::kThreads, 1)
plan_tiles(const __grid_constant__ warpbook::PlanTilesParams params) {
  __shared__ warpbook::PlanShared shared;
  warpbook::Planner(params, shared).run();
}
