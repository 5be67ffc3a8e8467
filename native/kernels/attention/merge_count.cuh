// The word in which the tiles of a merge group are counted, and what its values mean for who merges what.
//
// It holds how many tiles have arrived. In builds that share merges it holds further how many have started, and, once the last
// of them has arrived, how many had arrived before the last one started: all later arrivers know that all have started. So the
// arrivers that take a part are the last ones in a row, each knows its own part from how many come after it, and the last
// arriver of all knows how many parts are left to it. Plain C++: test/unit/cuda/merge-count.cc tries it in any order of events.
#pragma once

#include "attention/config.cuh"

namespace warpbook {

using uint32 = unsigned int;

// How many CTAs merge a group at most.
constexpr int kMostSharers = kRows > 8 ? 8 : 1;
constexpr bool kShared = kMostSharers > 1;

constexpr int kCountBits = 10;
constexpr uint32 kCountMask = (1u << kCountBits) - 1;
// Starts are counted in groups of as many tiles at most.
constexpr int kMostCounted = 1000;
constexpr uint32 kOneStart = 1u << kCountBits;
// Stands for the answer to a start that wasn't counted; no word of a group is this, as a group has fewer tiles.
constexpr uint32 kNotStarted = 0xffffffffu;

__device__ __forceinline__ bool counts_starts(int num_tiles) { return num_tiles >= 2 && num_tiles <= kMostCounted; }

// What an arrival adds. `started`: what the word was when this tile's start was counted.
__device__ __forceinline__ uint32 arrival_of(uint32 started, int num_tiles) {
  if (started == kNotStarted || (started >> kCountBits & kCountMask) + 1 != static_cast<uint32>(num_tiles)) return 1;
  return 1 + ((started & kCountMask) << 2 * kCountBits);
}

// The rows of a group that a CTA merges: those of its own part, and of the parts from `taken` on if it is the last.
struct MergeShare {
  // -1: none. The last arriver has part 0.
  int part;
  int taken;
  // A power of two.
  int num_parts;

  // `word`: what it was before this tile's arrival, but with what that has added beyond 1.
  __device__ __forceinline__ MergeShare(uint32 word, int num_tiles) {
    const bool counted = counts_starts(num_tiles);
    const int arrived = counted ? word & kCountMask : word;
    const bool all_started = counted && (word >> kCountBits & kCountMask) == static_cast<uint32>(num_tiles);
    num_parts = num_tiles >= 8 ? 8 : num_tiles >= 4 ? 4 : 2;
    static_assert(kMostSharers == 1 || kMostSharers == 8, "num_parts");
    part = num_tiles - 1 - arrived;
    taken = 1;
    if (all_started) {
      const int arrived_since = num_tiles - static_cast<int>(word >> 2 * kCountBits);
      taken = arrived_since < num_parts ? arrived_since : num_parts;
    }
    if (part > 0 && (!all_started || part >= num_parts)) part = -1;
  }
  // Packed, so that it is kept as one word; 0: none.
  __device__ __forceinline__ int pack() const { return part < 0 ? 0 : 1 | part << 8 | taken << 16 | num_parts << 24; }
  __device__ __forceinline__ explicit MergeShare(int packed)
      : part(packed >> 8 & 0xff), taken(packed >> 16 & 0xff), num_parts(packed >> 24) {}

  // Rows are dealt out to the parts by their number in the batch, as a group may have fewer rows than there are parts.
  __device__ __forceinline__ bool has(int row) const {
    const int of = row & (num_parts - 1);
    return of == part || (part == 0 && of >= taken);
  }
};

}  // namespace warpbook
