// Plans that cut nothing: a query tile is a work tile. Where there are more of them than CTAs they are dealt out longest first,
// the KV heads of a tile together, in the order of the host.
#pragma once

#include "plan/plan_base.cuh"

namespace warpbook {

class WholePlan : public PlanBase {
 protected:
  using PlanBase::PlanBase;

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
};

}  // namespace warpbook
