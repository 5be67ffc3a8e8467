// Merge groups: a tile announces its partial state to the groups that wait for it, and the CTA whose arrival completes a
// group merges it, in the order of the group's slots. Announcements are collected and made at the CTA's end (or when
// kPending are waiting): one barrier for all, and the atomics in parallel.
//
// A group's record and slot list are plan data: they are requested when its tile starts, so that they are here when the
// last arrival is known.
#pragma once

#include "attention/output.cuh"
#include "attention/row_state.cuh"

namespace warpbook {

constexpr int kPending = 4;
// Slots of a group that are kept in shared memory; further ones are read from the schedule.
constexpr int kKeptSlots = 32;
// Partial states that a merging warp has in flight.
constexpr int kStatesInFlight = kHeadDim <= 128 ? 16 : 8;
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

  // The tile's partial state is written. To be called by all threads.
  __device__ __forceinline__ void announce(const TileRecord& record) {
    prefetch_slots();
    const int first = record.get(TILE_MERGE_GROUP);
    const int count = record.get(TILE_MERGE_GROUP_COUNT);
    for (int i = 0; i < count; ++i) {
      if (warp_ == 0) {
        const int words = i == 0 ? words_ahead_ : load_words(first + i);
        const int slot = i == 0 ? slots_ahead_ : load_slots(words);
        PendingGroup& entry = pending_[num_pending_];
        if (lane_ < WB_MERGE_GROUP_STRIDE) entry.words[lane_] = words;
        entry.slots[lane_] = slot;
        if (lane_ == 0) entry.group = first + i;
      }
      if (++num_pending_ == kPending) flush();
    }
  }

  // Makes the announcements, and merges the groups that they complete.
  __device__ void flush() {
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
    int max_rows = 0;
    for (int i = 0; i < num_pending_; ++i) max_rows = max(max_rows, pending_[i].words[MERGE_GROUP_ROW_COUNT]);
    for (int i = warp_; i < num_pending_ * max_rows; i += kWarps) {
      const PendingGroup& entry = pending_[i / max_rows];
      const int row = i % max_rows;
      if (entry.complete && row < entry.words[MERGE_GROUP_ROW_COUNT]) merge_row(entry, row);
    }
    num_pending_ = 0;
    __syncthreads();
  }

  // Groups without slots: no tile arrives at them, yet their rows are named. They are dealt out over all threads.
  __device__ int find_empty_group(int num_groups) const {
    const int group = blockIdx.x + gridDim.x * threadIdx.x;
    return group < num_groups && view_.merge_group(group)[MERGE_GROUP_SLOT_COUNT] == 0 ? group : -1;
  }
  __device__ void write_empty_groups(int first, int num_groups) const {
    for (int group = first; group >= 0 && group < num_groups; group += gridDim.x * kThreads) {
      const int* words = view_.merge_group(group);
      if (words[MERGE_GROUP_SLOT_COUNT] != 0) continue;
      for (int i = 0; i < words[MERGE_GROUP_ROW_COUNT]; ++i) {
        const RowRef row = row_of(words, i);
        for (int dim = 0; dim < kHeadDim; dim += 4) write_output4(params_, row, dim, make_float4(0, 0, 0, 0));
        write_lse(params_, row, -__int_as_float(0x7f800000));
      }
    }
  }

 private:
  __device__ int load_words(int group) const {
    return lane_ < WB_MERGE_GROUP_STRIDE ? view_.merge_group(group)[lane_] : 0;
  }
  __device__ int load_slots(int words) const {
    const int start = __shfl_sync(kAllLanes, words, MERGE_GROUP_SLOT_START);
    const int count = __shfl_sync(kAllLanes, words, MERGE_GROUP_SLOT_COUNT);
    return lane_ < count ? view_.merge_slots()[start + lane_] : 0;
  }
  __device__ RowRef row_of(const int* words, int index) const {
    return resolve_row(params_, view_, words[MERGE_GROUP_ROW_START] + index, words[MERGE_GROUP_FLAGS],
                       words[MERGE_GROUP_KV_HEAD], 0);
  }

  // One warp, kDimsPerLane head dims a lane.
  __device__ __forceinline__ void merge_row(const PendingGroup& entry, int index) const {
    const int64 start = params_.trace != nullptr ? global_time_ns() : 0;
    const int count = entry.words[MERGE_GROUP_SLOT_COUNT];
    const float* partial_o = static_cast<const float*>(params_.partial_o) + lane_ * kDimsPerLane;
    const float* partial_lse = static_cast<const float*>(params_.partial_lse);
    float reference = kNoScore;
    float sum = 0;
    float total[kDimsPerLane] = {};
#pragma unroll 1
    for (int first = 0; first < count; first += kStatesInFlight) {
      float lse[kStatesInFlight];
      float states[kStatesInFlight][kDimsPerLane];
#pragma unroll
      for (int i = 0; i < kStatesInFlight; ++i) {
        lse[i] = -__int_as_float(0x7f800000);
#pragma unroll
        for (int d = 0; d < kDimsPerLane; ++d) states[i][d] = 0;
        const int s = first + i;
        if (s < count) {
          const int slot = s < kKeptSlots ? entry.slots[s] : view_.merge_slots()[entry.words[MERGE_GROUP_SLOT_START] + s];
          const int64 row = static_cast<int64>(slot) + index;
          lse[i] = __ldcg(partial_lse + row) * kLog2e;
          load_state(partial_o + row * kHeadDim, states[i]);
        }
      }
      float largest = reference;
#pragma unroll
      for (int i = 0; i < kStatesInFlight; ++i) largest = fmaxf(largest, lse[i]);
      const float factor = exp2_approx(reference - largest);
      reference = largest;
      sum *= factor;
#pragma unroll
      for (int d = 0; d < kDimsPerLane; ++d) total[d] *= factor;
#pragma unroll
      for (int i = 0; i < kStatesInFlight; ++i) {
        const float weight = exp2_approx(lse[i] - reference);
        sum += weight;
#pragma unroll
        for (int d = 0; d < kDimsPerLane; ++d) total[d] += weight * states[i][d];
      }
    }

    const float scale = sum > 0 ? reciprocal(sum) : 0;
    const RowRef row = row_of(entry.words, index);
    char* target = static_cast<char*>(params_.o) +
                   2 * (row.token * params_.o_stride_token + row.head * params_.o_stride_head + lane_ * kDimsPerLane);
#pragma unroll
    for (int d = 0; d < kDimsPerLane; d += 2) {
      reinterpret_cast<uint32*>(target)[d / 2] = pack_output(total[d] * scale, total[d + 1] * scale);
    }
    if (lane_ == 0) {
      write_lse(params_, row, sum > 0 ? (reference + log2_approx(sum)) * kLn2 : -__int_as_float(0x7f800000));
      if (params_.trace != nullptr && index == 0) {
        write_trace(params_, params_.max_tiles + entry.group, entry.group, TRACE_PHASE_MERGE, start);
      }
    }
  }

  __device__ __forceinline__ static void load_state(const float* source, float (&state)[kDimsPerLane]) {
    if constexpr (kDimsPerLane == 2) {
      const float2 x = __ldcg(reinterpret_cast<const float2*>(source));
      state[0] = x.x, state[1] = x.y;
    } else {
#pragma unroll
      for (int d = 0; d < kDimsPerLane; d += 4) {
        const float4 x = __ldcg(reinterpret_cast<const float4*>(source + d));
        state[d] = x.x, state[d + 1] = x.y, state[d + 2] = x.z, state[d + 3] = x.w;
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
