// Merge groups: a tile announces its partial state to the groups that wait for it, and the CTA whose arrival completes a
// group merges it, in the order of the group's slots. Announcements are collected and made at the CTA's end (or when
// kPending are waiting): one barrier for all, and the atomics in parallel.
//
// A group's record and slot list are plan data: they are requested when its tile starts, so that they are here when the
// last arrival is known.
#pragma once

#include "attention/output.cuh"

namespace warpbook {

constexpr int kPending = 4;
// Slots of a group that are kept in shared memory, a lane each; further ones are read from the schedule.
constexpr int kKeptSlots = 32;
// Partial states that a merging warp has in flight, where there are more than kFewStates.
constexpr int kManyStates = kHeadDim <= 128 && kRowTiles == 1 ? 16 : 8;
constexpr int kFewStates = 8;
constexpr int kDimsPerLane = kHeadDim / 32;

struct PendingGroup {
  int words[WB_MERGE_GROUP_STRIDE];
  int slots[kKeptSlots];
  int group;
  int complete;
};

class MergeGroups {
 public:
  __device__ MergeGroups(const AttentionParams& params, const ScheduleView& view, PendingGroup* pending, int warp, int lane)
      : params_(params), view_(view), pending_(pending), warp_(warp), lane_(lane) {}

  // Requests what will be needed about the tile's first group.
  __device__ __forceinline__ void prefetch(const TileRecord& record) {
    group_ahead_ = record.get(TILE_PARTIAL_SLOT) < 0 ? -1 : record.get(TILE_MERGE_GROUP);
    slots_known_ = false;
    if (group_ahead_ >= 0 && warp_ == 0) words_ahead_ = load_words(group_ahead_);
  }
  // To be called once the words may have arrived; cheap.
  __device__ __forceinline__ void prefetch_slots() {
    if (group_ahead_ < 0 || slots_known_ || warp_ != 0) return;
    slots_ahead_ = load_slots(words_ahead_);
    slots_known_ = true;
  }

  // The tile's partial state is written: one arrival for its group number `index`. To be called by all threads, and
  // followed by flush() where is_full().
  __device__ __forceinline__ void announce(const TileRecord& record, int index) {
    prefetch_slots();
    const int group = record.get(TILE_MERGE_GROUP) + index;
    if (warp_ == 0) {
      int words = words_ahead_;
      int slot = slots_ahead_;
      if (unlikely(index > 0)) {
        words = load_words(group);
        slot = load_slots(words);
      }
      PendingGroup& entry = pending_[num_pending_];
      if (lane_ < WB_MERGE_GROUP_STRIDE) entry.words[lane_] = words;
      entry.slots[lane_] = slot;
      if (lane_ == 0) entry.group = group;
    }
    ++num_pending_;
  }
  __device__ bool is_full() const { return num_pending_ == kPending; }

  // Makes the announcements, and merges the groups that they complete. `more`: there will be others.
  __device__ __forceinline__ void flush(bool more) {
    if (num_pending_ == 0) return;
    __syncthreads();
    if (threadIdx.x < num_pending_) {
      PendingGroup& entry = pending_[threadIdx.x];
      uint32* counter = static_cast<uint32*>(params_.counters) + entry.group;
      const bool last = arrive_at(counter) + 1 == static_cast<uint32>(entry.words[MERGE_GROUP_SLOT_COUNT]);
      if (last) *counter = 0;
      entry.complete = last;
    }
    __syncthreads();
    // A warp takes a row of each group.
    for (int i = 0; i < num_pending_; ++i) {
      const PendingGroup& entry = pending_[i];
      if (!entry.complete) continue;
      for (int row = warp_; row < entry.words[MERGE_GROUP_ROW_COUNT]; row += kWarps) {
        if (entry.words[MERGE_GROUP_SLOT_COUNT] <= kFewStates) {
          merge_row<true>(entry, row);
        } else {
          merge_row<false>(entry, row);
        }
      }
    }
    num_pending_ = 0;
    if (more) __syncthreads();  // the entries are about to be written again
  }

  // Groups without slots: no tile arrives at them, yet their rows are named. They are dealt out over all threads; the
  // first one's slot count is asked for at the start and looked at in the end.
  __device__ int request_slot_count(int num_groups) const {
    const int group = first_group();
    return group < num_groups ? view_.merge_group(group)[MERGE_GROUP_SLOT_COUNT] : 1;
  }
  __device__ void write_empty_groups(int first_slot_count, int num_groups) const {
    const int stride = gridDim.x * kThreads;
    if (first_slot_count != 0 && num_groups <= stride) return;
    for (int group = first_group(); group < num_groups; group += stride) {
      const int* words = view_.merge_group(group);
      if (words[MERGE_GROUP_SLOT_COUNT] != 0) continue;
      for (int i = 0; i < words[MERGE_GROUP_ROW_COUNT]; ++i) {
        const RowRef row = row_of(words, i);
#pragma unroll 1
        for (int dim = 0; dim < kHeadDim; dim += 4) write_output4(params_, row, dim, make_float4(0, 0, 0, 0));
        RowSoftmax softmax{kNoScore, 0};
        softmax.add_sink(params_, row.head);
        write_lse(params_, row, softmax.lse());
      }
    }
  }

 private:
  __device__ int first_group() const { return blockIdx.x + gridDim.x * threadIdx.x; }
  __device__ int load_words(int group) const {
    return lane_ < WB_MERGE_GROUP_STRIDE ? view_.merge_group(group)[lane_] : 0;
  }
  __device__ int load_slots(int words) const {
    const int start = __shfl_sync(kAllLanes, words, MERGE_GROUP_SLOT_START);
    const int count = __shfl_sync(kAllLanes, words, MERGE_GROUP_SLOT_COUNT);
    return lane_ < count ? view_.merge_slots()[start + lane_] : 0;
  }
  __device__ RowRef row_of(const int* words, int index) const {
    return resolve_row(view_, words[MERGE_GROUP_ROW_START] + index, words[MERGE_GROUP_FLAGS],
                       words[MERGE_GROUP_KV_HEAD], 0);
  }

  // One warp, kDimsPerLane head dims a lane. kFew: there are at most kFewStates states, and no loop.
  template <bool kFew>
  __device__ __forceinline__ void merge_row(const PendingGroup& entry, int index) const {
    constexpr int kInFlight = kFew ? kFewStates : kManyStates;
    const int64 start = kTraced ? global_time_ns() : 0;
    const int count = entry.words[MERGE_GROUP_SLOT_COUNT];
    const RowRef row = row_of(entry.words, index);
    RowSoftmax softmax{kNoScore, 0};
    float total[kDimsPerLane] = {};
#pragma unroll 1
    for (int first = 0; first < (kFew ? 1 : count); first += 32) {
      // Lane i has the LSE and, soon, the weight of slot first + i.
      const int left = count - first;
      // Lanes beyond repeat the last slot, with the weight 0: a load under a condition is a load and a copy, and the
      // copies would make many round trips to memory of one.
      const int at = min(lane_, left - 1);
      const int slot = first == 0 ? entry.slots[at] : view_.merge_slots()[entry.words[MERGE_GROUP_SLOT_START] + first + at];
      float lse = __ldcg(static_cast<const float*>(params_.partial_lse) + slot + index);
      const float* states = static_cast<const float*>(params_.partial_o) + lane_ * kDimsPerLane;
      float state[kInFlight][kDimsPerLane];
      load_states(states, slot, index, 0, state);

      lse = lane_ < left ? lse * kLog2e : -__int_as_float(0x7f800000);
      float largest = lse;
#pragma unroll
      for (int x = 1; x < (kFew ? kFewStates : 32); x <<= 1) {
        largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, x));
      }
      if (kFew) largest = __shfl_sync(kAllLanes, largest, 0);
      largest = fmaxf(largest, softmax.reference);
      const float factor = exp2_approx(softmax.reference - largest);
      const float weight = exp2_approx(lse - largest);
      softmax.reference = largest;
      softmax.sum *= factor;
#pragma unroll
      for (int d = 0; d < kDimsPerLane; ++d) total[d] *= factor;
#pragma unroll 1
      for (int i = 0; i < (kFew ? 1 : min(left, 32)); i += kInFlight) {
        if (!kFew && i > 0) load_states(states, slot, index, i, state);
#pragma unroll
        for (int j = 0; j < kInFlight; ++j) {
          const float w = __shfl_sync(kAllLanes, weight, i + j);
          softmax.sum += w;
#pragma unroll
          for (int d = 0; d < kDimsPerLane; ++d) total[d] += w * state[j][d];
        }
      }
    }

    const float scale = softmax.add_sink(params_, row.head) * softmax.inverse();
    char* target = static_cast<char*>(params_.o) +
                   2 * (row.token * params_.o_stride_token + row.head * params_.o_stride_head + lane_ * kDimsPerLane);
#pragma unroll
    for (int d = 0; d < kDimsPerLane; d += 2) {
      reinterpret_cast<uint32*>(target)[d / 2] = pack_output(total[d] * scale, total[d + 1] * scale);
    }
    if (lane_ == 0) {
      write_lse(params_, row, softmax.lse());
      if (kTraced && index == 0) {
        write_trace(params_, params_.max_tiles + entry.group, entry.group, TRACE_PHASE_MERGE, start);
      }
    }
  }

  // States of slots i, i + 1, ... of the 32 that the lanes have. All loads are on their way before the first result is
  // looked at.
  template <int kInFlight>
  __device__ __forceinline__ static void load_states(
      const float* states, int slot, int index, int i, float (&state)[kInFlight][kDimsPerLane]) {
#pragma unroll
    for (int j = 0; j < kInFlight; ++j) {
      const float* source = states + (static_cast<int64>(__shfl_sync(kAllLanes, slot, i + j)) + index) * kHeadDim;
      if constexpr (kDimsPerLane == 2) {
        const float2 x = __ldcg(reinterpret_cast<const float2*>(source));
        state[j][0] = x.x, state[j][1] = x.y;
      } else {
#pragma unroll
        for (int d = 0; d < kDimsPerLane; d += 4) {
          const float4 x = __ldcg(reinterpret_cast<const float4*>(source + d));
          state[j][d] = x.x, state[j][d + 1] = x.y, state[j][d + 2] = x.z, state[j][d + 3] = x.w;
        }
      }
    }
  }

  const AttentionParams& params_;
  const ScheduleView view_;
  PendingGroup* const pending_;
  const int warp_;
  const int lane_;
  int num_pending_ = 0;
  int group_ahead_ = -1;
  int words_ahead_ = 0;
  int slots_ahead_ = 0;
  bool slots_known_ = false;
};

}  // namespace warpbook
