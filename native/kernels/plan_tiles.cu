// The planner on the device: reads KV lengths and writes the same work list into the workspace image as the policy of
// that name on the host, word for word. Every CTA computes the whole plan (places are prefix sums over query tiles) and
// writes the tiles of its share of the KV heads, so nothing is exchanged between CTAs. Few threads on purpose: what a plan
// costs is instructions that all warps issue, and fetching them: loops stay loops.
//
// Never calls griddepcontrol.launch_dependents: attention reads its list before griddepcontrol.wait, so a launch behind
// this one must not start before the list is written.
#include "plan/whole_plan.cuh"

namespace warpbook {

class Planner : public WholePlan {
 public:
  __device__ Planner(const PlanTilesParams& params, PlanShared& shared) : WholePlan(params, shared) {}

  __device__ __forceinline__ void run() {
    wait_for_predecessor();
    load_lengths();
    const bool adapts = params_.policy == PLAN_POLICY_ADAPTIVE;
    int chunk = 0;
    if ((adapts || params_.policy == PLAN_POLICY_BINARY_SEARCH) && num_tiles_ * heads_ < params_.num_ctas) {
      chunk = smallest_chunk_pages() * params_.page_size;
      if (adapts && !is_nearly_even(chunk)) chunk = 0;
    }
    bool planned = false;
    if (chunk > 0) planned = cut_at_chunks(chunk);
    else if ((adapts || params_.policy == PLAN_POLICY_HEAD_GROUPS) && heads_ <= params_.num_ctas) planned = cut_in_shares();
    if (!planned) keep_whole();
    if (blockIdx.x == gridDim.x - 1) write_sequences();
    if (blockIdx.x == 0 && tid_ == 0) write_header();
  }

 private:
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

  __device__ __forceinline__ bool cut_at_chunks(int chunk) {
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

  // adaptive: whether a chunk is hardly longer than a CTA's equal share of all keys. Behind smallest_chunk_pages, which leaves the
  // keys of each query tile in shared memory. Two sums, so that no sum of 1,024 lengths overflows.
  __device__ __forceinline__ bool is_nearly_even(int chunk) {
    int low = 0;
    int high = 0;
#pragma unroll 1
    for (int q = tid_; q < num_tiles_; q += kPlanThreads) {
      const int tokens = shared_.group[q] - shared_.sorted_load[q];
      low += tokens & 0xffff;
      high += tokens >> 16;
    }
    low = block_sum(shared_.block, low);
    high = block_sum(shared_.block, high);
    const int64 tokens = (static_cast<int64>(high) << 16) + low;
    return (static_cast<int64>(chunk) - PLAN_SLACK_STEPS * params_.kv_step) * params_.num_ctas <= tokens * heads_;
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
};

}  // namespace warpbook

extern "C" __global__ void __launch_bounds__(warpbook::kPlanThreads, 1)
plan_tiles(const __grid_constant__ warpbook::PlanTilesParams params) {
  __shared__ warpbook::PlanShared shared;
  warpbook::Planner(params, shared).run();
}
