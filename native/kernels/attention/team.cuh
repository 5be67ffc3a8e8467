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

}  // namespace warpbook
