// Which warps work together: a team on one stream of keys, a crew on one tile.
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

// The warps that work on a tile together: all of the CTA, or a team where the CTA's tiles are drained side by side.
struct Crew {
  Team team;
  bool is_team;

  // This warp's number among the crew's, and how many these are.
  __device__ __forceinline__ int rank() const { return is_team ? team.member : team.index * kTeamWarps + team.member; }
  __device__ __forceinline__ int size() const { return is_team ? kTeamWarps : kWarps; }
  __device__ __forceinline__ void sync() const {
    if (is_team) {
      team.sync();
    } else {
      __syncthreads();
    }
  }

  // The team takes blocks share(), share() + stride(), ... of a tile: how many of `blocks`.
  __device__ __forceinline__ int share() const { return is_team ? 0 : team.index; }
  __device__ __forceinline__ int stride() const { return is_team ? 1 : kTeams; }
  __device__ __forceinline__ int count_steps(int blocks) const {
    if (is_team) return blocks;
    return blocks > team.index ? (blocks - team.index + kTeams - 1) / kTeams : 0;
  }
};

}  // namespace warpbook
