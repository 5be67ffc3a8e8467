// Which warps share a stream of keys.
#pragma once

#include "attention/config.cuh"
#include "attention/ptx.cuh"

namespace warpbook {

// A warp's place: the team, and the member of it.
struct Team {
  int index;
  int member;

  // Among the warps of the team.
  __device__ __forceinline__ void sync() const {
    if constexpr (kTeamWarps == 1) {
      __syncwarp();
    } else {
      sync_threads(1 + index, 32 * kTeamWarps);
    }
  }
};

// A barrier of the CTA. Where teams use barriers of their own it is crossed twice: compute-sanitizer's racecheck takes what a
// warp reads right behind a barrier for unordered as long as it has not seen every warp cross it, if there are barriers of
// fewer warps too. Nobody gets past the second one before all have crossed the first.
__device__ __forceinline__ void sync_cta() {
  __syncthreads();
  if constexpr (kTeamWarps > 1) __syncthreads();
}

}  // namespace warpbook
