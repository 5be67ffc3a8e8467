// Prefix sums and reductions of a planner's CTA. Knows no plans beyond the four numbers that are summed for them.
#pragma once

#include "attention/ptx.cuh"
#include "plan_params.h"

namespace warpbook {

constexpr int kPlanThreads = PLAN_PLANNER_THREADS;
constexpr int kPlanWarps = kPlanThreads / 32;
constexpr int kSumBuffers = 5;

// Pieces, cut query tiles, partial states and their rows, summed as one: two words instead of four to be shuffled. At
// most PLAN_MAX_ITEMS tiles and PLAN_MAX_CTAS cuts: 11 bits of splits, 12 of pieces and slots; 20 of rows.
struct PieceSums {
  uint32 pieces_splits;
  uint32 slots_rows;

  __device__ static PieceSums of(uint32 pieces, uint32 splits, uint32 slots, uint32 rows) {
    return {pieces << 16 | splits, slots << 20 | rows};
  }
  __device__ int pieces() const { return pieces_splits >> 16; }
  __device__ int splits() const { return pieces_splits & 0xffff; }
  __device__ int slots() const { return slots_rows >> 20; }
  __device__ int rows() const { return slots_rows & 0xfffff; }
};
static_assert(PLAN_MAX_ITEMS + PLAN_MAX_CTAS < 1 << 12, "12 bits of slots");
static_assert((PLAN_MAX_ITEMS + PLAN_MAX_CTAS) * PLAN_MAX_ROWS_PER_TILE <= 1 << 20, "20 bits of rows");

__device__ __forceinline__ PieceSums operator+(PieceSums a, PieceSums b) {
  return {a.pieces_splits + b.pieces_splits, a.slots_rows + b.slots_rows};
}
__device__ __forceinline__ PieceSums operator-(PieceSums a, PieceSums b) {
  return {a.pieces_splits - b.pieces_splits, a.slots_rows - b.slots_rows};
}
__device__ __forceinline__ int shuffle_up(int value, int distance) { return __shfl_up_sync(kAllLanes, value, distance); }
__device__ __forceinline__ PieceSums shuffle_up(PieceSums value, int distance) {
  return {__shfl_up_sync(kAllLanes, value.pieces_splits, distance), __shfl_up_sync(kAllLanes, value.slots_rows, distance)};
}

struct BlockShared {
  PieceSums sums[kSumBuffers][kPlanWarps];
  int words[kPlanWarps];
};

__device__ __forceinline__ int& sum_slot(BlockShared& shared, int buffer, int warp, int) {
  return reinterpret_cast<int&>(shared.sums[buffer][warp]);
}
__device__ __forceinline__ PieceSums& sum_slot(BlockShared& shared, int buffer, int warp, PieceSums) {
  return shared.sums[buffer][warp];
}

// Calls store(i, sum of value(0 .. i - 1)) for every i below `count` and returns the sum of all. To be called by all
// threads; a barrier for each kPlanThreads values. A call that follows another one at once wants another buffer.
template <typename Value, typename Store>
__device__ __forceinline__ auto block_sums(BlockShared& shared, int buffer, int count, const Value& value, const Store& store) {
  using Sum = decltype(value(0));
  const int lane = threadIdx.x & 31;
  const int warp = threadIdx.x >> 5;
  Sum carry{};
#pragma unroll 1
  for (int begin = 0; begin < count; begin += kPlanThreads) {
    const int i = begin + static_cast<int>(threadIdx.x);
    const Sum mine = i < count ? value(i) : Sum{};
    Sum sum = mine;
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      const Sum other = shuffle_up(sum, distance);
      if (lane >= distance) sum = sum + other;
    }
    if (begin > 0) __syncthreads();
    if (lane == 31) sum_slot(shared, buffer, warp, Sum{}) = sum;
    __syncthreads();
    Sum before = carry;
#pragma unroll
    for (int w = 0; w < kPlanWarps; ++w) {
      const Sum other = sum_slot(shared, buffer, w, Sum{});
      if (w < warp) before = before + other;
      carry = carry + other;
    }
    if (i < count) store(i, before + (sum - mine));
  }
  return carry;
}

__device__ __forceinline__ uint32 warp_min(uint32 value) {
  uint32 least;
  asm volatile("redux.sync.min.u32 %0, %1, 0xffffffff;" : "=r"(least) : "r"(value));
  return least;
}
__device__ __forceinline__ int warp_sum(int value) {
  int sum;
  asm volatile("redux.sync.add.s32 %0, %1, 0xffffffff;" : "=r"(sum) : "r"(value));
  return sum;
}
__device__ __forceinline__ int warp_max(int value) {
  int most;
  asm volatile("redux.sync.max.s32 %0, %1, 0xffffffff;" : "=r"(most) : "r"(value));
  return most;
}
__device__ __forceinline__ int block_sum(BlockShared& shared, int value) {
  value = warp_sum(value);
  if ((threadIdx.x & 31) == 0) shared.words[threadIdx.x >> 5] = value;
  __syncthreads();
  int sum = 0;
#pragma unroll
  for (int w = 0; w < kPlanWarps; ++w) sum += shared.words[w];
  __syncthreads();
  return sum;
}
__device__ __forceinline__ int block_max(BlockShared& shared, int value) {
  value = warp_max(value);
  if ((threadIdx.x & 31) == 0) shared.words[threadIdx.x >> 5] = value;
  __syncthreads();
#pragma unroll
  for (int w = 0; w < kPlanWarps; ++w) value = max(value, shared.words[w]);
  __syncthreads();
  return value;
}

}  // namespace warpbook
