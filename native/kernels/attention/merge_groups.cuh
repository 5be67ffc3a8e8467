// Merge groups: a tile announces its partial state to the groups that wait for it, and the CTA whose arrival completes a
// group merges it, in the order of the group's slots. Announcements are collected and counted at the CTA's end (or when
// kPending are waiting), the counts in parallel.
//
// Counting only settles who merges; it may run ahead of the states. That a state is there is seen by itself: a word that is
// not written yet is a NaN of its own (`unwritten`), which the merge finds in its result, and then reads again. So neither a
// fence nor a round trip to memory stands between writing a state and counting it.
//
// A group's record and slot list are plan data: they are requested when its tile starts, so that they are here when the
// last arrival is known.
//
// Builds for many rows share merges (kShared): the last kMostSharers arrivers of a group take a part of its rows each, so that
// no CTA reads and empties all states alone. They wait for states that are not written yet, which is safe where all tiles of
// the group have started: a started tile's state is written without waiting for anybody. So these builds count starts too, in
// the same word (merge_count.cuh).
#pragma once

#include "attention/merge_count.cuh"
#include "attention/output.cuh"
#include "attention/team.cuh"

namespace warpbook {

// Where merges are shared the groups of a tile are announced at once, by a warp each.
constexpr int kPending = kShared ? 16 : 4;
// Slots of a group that are kept in shared memory, a lane each; further ones are read from the schedule.
constexpr int kKeptSlots = 32;
// Partial states that a merging warp has in flight, where there are more than kFewStates.
constexpr int kManyStates = kHeadDim <= 128 ? 16 : 8;
constexpr int kFewStates = 8;
// Rows of a group that a warp merges at once, where there are few states.
constexpr int kRowsAtOnce = !kShared && kHeadDim <= 128 && kRows >= 2 * kWarps ? 2 : 1;
// How often a merge is tried before it asks which states are missing.
constexpr int kTries = 4;
constexpr int kDimsPerLane = kHeadDim / 32;

struct PendingGroup {
  int words[WB_MERGE_GROUP_STRIDE];
  int slots[kKeptSlots];
  int group;
  // Whether this CTA is to merge it; where merges are shared, which part of it: MergeShare::pack().
  int share;
};

class MergeGroups {
 public:
  // `pending`: kPending entries in shared memory.
  __device__ MergeGroups(const AttentionParams& params, const ScheduleView& view, PendingGroup* pending, int warp, int lane)
      : params_(params), view_(view), pending_(pending), warp_(warp), lane_(lane) {}

  // Requests what will be needed about the tile's first group, or, where merges are shared, about as many as there are warps.
  // `num_later`: tiles that this CTA will announce together with this one.
  __device__ __forceinline__ void prefetch(const TileRecord& record, int num_later) {
    group_ahead_ = record.get(TILE_PARTIAL_SLOT) < 0 ? -1 : record.get(TILE_MERGE_GROUP);
    slots_known_ = false;
    if constexpr (kShared) {
      const int num_groups = record.get(TILE_MERGE_GROUP_COUNT);
      const int index = lane_ - num_pending_;
      if (index >= 0) started_ = kNotStarted;
      arrivals_ = 0;  // no register keeps it meanwhile
      if (group_ahead_ < 0) return;
      // A CTA that has other tiles to do should not wait for anybody's state meanwhile: then its starts aren't counted.
      if (warp_ == 0 && index >= 0 && index < num_groups && num_pending_ + num_groups + num_later <= kPending) {
        started_ = view_.merge_group(group_ahead_ + index)[MERGE_GROUP_SLOT_COUNT];
      }
      group_ahead_ = warp_ < num_groups ? group_ahead_ + warp_ : -1;
      if (group_ahead_ >= 0) words_ahead_ = load_words(group_ahead_);
    } else if (group_ahead_ >= 0 && warp_ == 0) {
      words_ahead_ = load_words(group_ahead_);
    }
  }
  // To be called once the words may have arrived and counters may be written; cheap.
  __device__ __forceinline__ void prefetch_slots() {
    if constexpr (kShared) {
      if (group_ahead_ < 0) return;
      slots_ahead_ = load_slots(words_ahead_);
      if (num_pending_ + warp_ < kPending && lane_ < WB_MERGE_GROUP_STRIDE) {
        pending_[num_pending_ + warp_].words[lane_] = words_ahead_;
      }
      if (lane_ >= num_pending_) {
        uint32* counter = static_cast<uint32*>(params_.counters) + group_ahead_ + lane_ - num_pending_;
        started_ = counts_starts(started_) ? count(counter, kOneStart) : kNotStarted;
      }
      group_ahead_ = -1;
      return;
    }
    if (group_ahead_ < 0 || slots_known_ || warp_ != 0) return;
    slots_ahead_ = load_slots(words_ahead_);
    slots_known_ = true;
  }

  // One arrival of the tile at its group number `index`, to be counted by elect(). To be called by all threads.
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
  // The same for the tile's groups [first, first + count), in builds that share merges. A barrier must follow before elect().
  __device__ __forceinline__ void announce(const TileRecord& record, int first, int count) {
    prefetch_slots();
    const int group = record.get(TILE_MERGE_GROUP) + first;
#pragma unroll 1
    for (int i = warp_; i < count; i += kWarps) {
      PendingGroup& entry = pending_[num_pending_ + i];
      int slot = slots_ahead_;
      if (unlikely(first > 0 || i >= kWarps)) {
        const int words = load_words(group + i);
        if (lane_ < WB_MERGE_GROUP_STRIDE) entry.words[lane_] = words;
        slot = load_slots(words);
      }
      entry.slots[lane_] = slot;
      if (lane_ == 0) entry.group = group + i;
    }
    num_pending_ += count;
  }
  __device__ int room() const { return kPending - num_pending_; }
  __device__ bool is_full() const { return num_pending_ == kPending; }
  __device__ bool any() const { return num_pending_ > 0; }

  // Counts what was announced. The answers are on their way until merge_complete(), which must follow once the states are
  // written.
  __device__ __forceinline__ void elect() {
    if (warp_ != 0) return;
    __syncwarp();
    if (lane_ < num_pending_) {
      const PendingGroup& entry = pending_[lane_];
      const uint32 adds = kShared ? arrival_of(started_, entry.words[MERGE_GROUP_SLOT_COUNT]) : 1;
      arrivals_ = count(counter_of(entry), adds) + (adds - 1);
    }
  }

  // Merges the groups that this CTA completed. `more`: other announcements will follow.
  __device__ __forceinline__ void merge_complete(bool more) {
    if (threadIdx.x < num_pending_) {
      PendingGroup& entry = pending_[threadIdx.x];
      if constexpr (kShared) {
        const MergeShare share(arrivals_, entry.words[MERGE_GROUP_SLOT_COUNT]);
        if (share.part == 0) *counter_of(entry) = 0;
        entry.share = share.pack();
      } else {
        const bool last = arrivals_ + 1 == static_cast<uint32>(entry.words[MERGE_GROUP_SLOT_COUNT]);
        if (last) *counter_of(entry) = 0;
        entry.share = last;
      }
    }
    sync_cta();
    // The rows of each group are dealt out to the warps.
    int turn = 0;
    for (int i = 0; i < num_pending_; ++i) {
      const PendingGroup& entry = pending_[i];
      if (!entry.share) continue;
      if (entry.words[MERGE_GROUP_SLOT_COUNT] <= kFewStates) {
        merge_rows<true>(entry, turn);
      } else {
        merge_rows<false>(entry, turn);
      }
    }
    num_pending_ = 0;
    started_ = kNotStarted;
    if (more) sync_cta();  // the entries are about to be written again
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

  __device__ uint32* counter_of(const PendingGroup& entry) const {
    return static_cast<uint32*>(params_.counters) + entry.group;
  }
  // Lane i: slot first + i of a group; lanes beyond `left` repeat the last one.
  __device__ __forceinline__ int slot_of(const PendingGroup& entry, int first, int left) const {
    const int at = min(lane_, left - 1);
    return first == 0 ? entry.slots[at] : view_.merge_slots()[entry.words[MERGE_GROUP_SLOT_START] + first + at];
  }

  // This warp's rows of a group. kFew: there are at most kFewStates states, and no loop. `turn`: rows so far of this CTA.
  template <bool kFew>
  __device__ __forceinline__ void merge_rows(const PendingGroup& entry, int& turn) const {
    constexpr int kAtOnce = kFew ? kRowsAtOnce : 1;
    const int num_rows = entry.words[MERGE_GROUP_ROW_COUNT];
    if constexpr (kShared) {
      // A group may have fewer rows than there are warps: those of all groups are dealt out in turn.
      const MergeShare share(entry.share);
      const int row_start = entry.words[MERGE_GROUP_ROW_START];
#pragma unroll 1
      for (int first = 0; first < num_rows; first += 32) {
        const int row = first + lane_;
        const bool shared = row < num_rows && share.has(row_start + row);
        const uint32 rows = __ballot_sync(kAllLanes, shared);
        const int place = turn + __popc(rows & ((1u << lane_) - 1));
        uint32 mine = __ballot_sync(kAllLanes, shared && place % kWarps == warp_);
        turn += __popc(rows);
#pragma unroll 1
        for (; mine != 0; mine &= mine - 1) {
          const int next = first + __ffs(mine) - 1;
          if (share.part > 0) wait_for_states(entry, next);
          merge_at<kFew, kAtOnce>(entry, next, num_rows);
        }
      }
    } else {
#pragma unroll 1
      for (int first = warp_ * kAtOnce; first < num_rows; first += kWarps * kAtOnce) {
        merge_at<kFew, kAtOnce>(entry, first, num_rows);
      }
    }
  }

  // Until the first states of a row have their LSE; the rest of them can't be far then. This only spares the L2 that whole states
  // are read again and again.
  __device__ __forceinline__ void wait_for_states(const PendingGroup& entry, int row) const {
    const float* lse = partial_lse(params_, slot_of(entry, 0, entry.words[MERGE_GROUP_SLOT_COUNT]) + row);
    while (__any_sync(kAllLanes, is_unwritten(observe(lse)))) {
    }
  }

  // kAtOnce rows from `first` on, kDimsPerLane head dims a lane.
  template <bool kFew, int kAtOnce>
  __device__ __forceinline__ void merge_at(const PendingGroup& entry, int first, int num_rows) const {
    const int64 start = kTraced ? global_time_ns() : 0;
    // Rows beyond repeat the last one. Where they go is found while nothing else can be done.
    int rows[kAtOnce];
    RowRef targets[kAtOnce];
#pragma unroll
    for (int r = 0; r < kAtOnce; ++r) {
      rows[r] = min(first + r, num_rows - 1);
      targets[r] = row_of(entry.words, rows[r]);
    }
    RowSoftmax softmax[kAtOnce];
    float total[kAtOnce][kDimsPerLane];
    bool complete = false;
#pragma unroll 1
    for (int tries = 1;; ++tries) {
      sum_states<kFew>(entry, rows, softmax, total);
      float sum = 0;
#pragma unroll
      for (int r = 0; r < kAtOnce; ++r) {
        sum += softmax[r].sum;
#pragma unroll
        for (int d = 0; d < kDimsPerLane; ++d) sum += total[r][d];
      }
      if (!unlikely(__any_sync(kAllLanes, sum != sum)) || complete) break;
      // A state that isn't there yet makes a NaN; so do a NaN and an infinity among the keys and values.
      if (tries % kTries == 0) complete = is_complete(entry, rows[0]) && is_complete(entry, rows[kAtOnce - 1]);
    }
#pragma unroll
    for (int r = 0; r < kAtOnce; ++r) write_merged(targets[r], softmax[r], total[r]);
#pragma unroll
    for (int r = 0; r < kAtOnce; ++r) clear_states<kFew>(entry, rows[r]);
    if (kTraced && lane_ == 0 && first == 0) {
      write_trace(params_, params_.max_tiles + entry.group, entry.group, TRACE_PHASE_MERGE, start);
    }
  }

  __device__ __forceinline__ void write_merged(
      const RowRef& row, RowSoftmax& softmax, const float (&total)[kDimsPerLane]) const {
    const float scale = softmax.add_sink(params_, row.head) * softmax.inverse();
    char* target = static_cast<char*>(params_.o) +
                   2 * (row.token * params_.o_stride_token + row.head * params_.o_stride_head + lane_ * kDimsPerLane);
#pragma unroll
    for (int d = 0; d < kDimsPerLane; d += 2) {
      reinterpret_cast<uint32*>(target)[d / 2] = pack_output(total[d] * scale, total[d + 1] * scale);
    }
    if (lane_ == 0) write_lse(params_, row, softmax.lse());
  }

  template <bool kFew, int kAtOnce>
  __device__ __forceinline__ void sum_states(
      const PendingGroup& entry, const int (&rows)[kAtOnce], RowSoftmax (&softmax)[kAtOnce],
      float (&total)[kAtOnce][kDimsPerLane]) const {
    constexpr int kInFlight = kFew ? kFewStates : kManyStates;
    const int count = entry.words[MERGE_GROUP_SLOT_COUNT];
#pragma unroll
    for (int r = 0; r < kAtOnce; ++r) {
      softmax[r] = {kNoScore, 0};
#pragma unroll
      for (int d = 0; d < kDimsPerLane; ++d) total[r][d] = 0;
    }
#pragma unroll 1
    for (int first = 0; first < (kFew ? 1 : count); first += 32) {
      // Lane i has the LSE and, soon, the weight of slot first + i. Lanes beyond have the weight 0: a load under a
      // condition is a load and a copy, and the copies would make many round trips to memory of one.
      const int left = count - first;
      const int slot = slot_of(entry, first, left);
      float lse[kAtOnce];
      float state[kAtOnce][kInFlight][kDimsPerLane];
#pragma unroll
      for (int r = 0; r < kAtOnce; ++r) {
        lse[r] = observe(partial_lse(params_, slot + rows[r]));
        load_states(slot + rows[r], 0, state[r]);
      }
#pragma unroll
      for (int r = 0; r < kAtOnce; ++r) {
        const float own = lane_ < left ? lse[r] * kLog2e : -__int_as_float(0x7f800000);
        float largest = own;
#pragma unroll
        for (int x = 1; x < (kFew ? kFewStates : 32); x <<= 1) {
          largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, x));
        }
        if (kFew) largest = __shfl_sync(kAllLanes, largest, 0);
        largest = fmaxf(largest, softmax[r].reference);
        const float factor = exp2_approx(softmax[r].reference - largest);
        const float weight = exp2_approx(own - largest);
        softmax[r].reference = largest;
        softmax[r].sum *= factor;
#pragma unroll
        for (int d = 0; d < kDimsPerLane; ++d) total[r][d] *= factor;
#pragma unroll 1
        for (int i = 0; i < (kFew ? 1 : min(left, 32)); i += kInFlight) {
          if (!kFew && i > 0) load_states(slot + rows[r], i, state[r]);
#pragma unroll
          for (int j = 0; j < kInFlight; ++j) {
            const float w = __shfl_sync(kAllLanes, weight, i + j);
            softmax[r].sum += w;
#pragma unroll
            for (int d = 0; d < kDimsPerLane; ++d) total[r][d] += w * state[r][j][d];
          }
        }
      }
    }
  }

  // States of the partial rows that lanes i, i + 1, ... have. All loads are on their way before the first result is looked
  // at.
  template <int kInFlight>
  __device__ __forceinline__ void load_states(int row, int i, float (&state)[kInFlight][kDimsPerLane]) const {
#pragma unroll
    for (int j = 0; j < kInFlight; ++j) {
      observe(partial_output(params_, __shfl_sync(kAllLanes, row, i + j)) + lane_ * kDimsPerLane, state[j]);
    }
  }

  // Whether all states of a row are there.
  __device__ __forceinline__ bool is_complete(const PendingGroup& entry, int index) const {
    const int count = entry.words[MERGE_GROUP_SLOT_COUNT];
    bool missing = false;
#pragma unroll 1
    for (int first = 0; first < count; first += 32) {
      const int left = min(count - first, 32);
      const int slot = slot_of(entry, first, left) + index;
      missing |= is_unwritten(observe(partial_lse(params_, slot)));
#pragma unroll 1
      for (int i = 0; i < left; ++i) {
        float state[kDimsPerLane];
        observe(partial_output(params_, __shfl_sync(kAllLanes, slot, i)) + lane_ * kDimsPerLane, state);
        for (int d = 0; d < kDimsPerLane; ++d) missing |= is_unwritten(state[d]);
      }
    }
    return !__any_sync(kAllLanes, missing);
  }

  // Leaves the states of a row as the next launch wants to find them.
  template <bool kFew>
  __device__ __forceinline__ void clear_states(const PendingGroup& entry, int index) const {
    const int count = entry.words[MERGE_GROUP_SLOT_COUNT];
#pragma unroll 1
    for (int first = 0; first < (kFew ? 1 : count); first += 32) {
      const int left = min(count - first, 32);
      const int slot = slot_of(entry, first, left) + index;
      if (lane_ < left) *partial_lse(params_, slot) = unwritten();
#pragma unroll(kFew || kShared ? kFewStates : 1)
      for (int i = 0; i < (kFew ? kFewStates : left); ++i) {
        // Of few states those beyond are the last one's, once more.
        clear(partial_output(params_, __shfl_sync(kAllLanes, slot, i)) + lane_ * kDimsPerLane);
      }
    }
  }
  __device__ __forceinline__ static void clear(float* state) {
    const float x = unwritten();
    if constexpr (kDimsPerLane == 2) *reinterpret_cast<float2*>(state) = make_float2(x, x);
#pragma unroll
    for (int d = 0; d + 4 <= kDimsPerLane; d += 4) *reinterpret_cast<float4*>(state + d) = make_float4(x, x, x, x);
  }

  const AttentionParams& params_;
  const ScheduleView view_;
  PendingGroup* const pending_;
  const int warp_;
  const int lane_;
  int num_pending_ = 0;
  // Of warp 0, lane i: how many had arrived at pending group i. Where merges are shared: the group's word, see MergeShare, and what
  // it was when the tile's start was counted; before that, how many tiles the group has.
  uint32 arrivals_ = 0;
  uint32 started_ = kNotStarted;
  int group_ahead_ = -1;
  int words_ahead_ = 0;
  int slots_ahead_ = 0;
  bool slots_known_ = false;
};

}  // namespace warpbook
