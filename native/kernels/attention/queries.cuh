// The query rows of a pass as operands of the score product. Few rows live in registers, a lane's own share of them; where
// that would take half the register file the CTA keeps one copy in shared memory, read again in every step. Hides which of
// the two it is.
#pragma once

#include "attention/kv_stage.cuh"
#include "attention/schedule_view.cuh"

namespace warpbook {

// Matrix instructions over the head dim.
constexpr int kDepth = kHeadDim / 16;
// 16-byte chunks of a query row.
constexpr int kQueryChunks = kHeadDim / 8;
constexpr bool kSharedQueries = kRowTiles * kHeadDim >= 512;
constexpr int kQueryBytes = kSharedQueries ? kRows * kHeadDim * 2 : 0;
// Chunks that a lane, or with shared queries a thread, fetches.
constexpr int kChunksPerLane = kSharedQueries ? kRows * kQueryChunks / kThreads : kRowTiles * (kQueryChunks / 4);

class Queries {
 public:
  // `shared`: kQueryBytes in the shared window, not used where rows live in registers.
  __device__ Queries(const AttentionParams& params, const ScheduleView& view, uint32 shared, int lane)
      : params_(params), view_(view), shared_(shared), lane_(lane) {}

  // Finds the rows of a pass. Reads plan data alone.
  __device__ __forceinline__ void resolve(const TileRecord& record, int pass) {
    const int row_start = record.get(TILE_ROW_START) + pass * kRows;
    const int left = record.get(TILE_ROW_COUNT) - pass * kRows;
    const int flags = record.get(TILE_FLAGS);
    const int kv_head = record.get(TILE_KV_HEAD);
#pragma unroll
    for (int i = 0; i < kSources; ++i) {
      const int row = kSharedQueries ? (threadIdx.x + i * kThreads) / kQueryChunks : i * 8 + (lane_ >> 2);
      source_[i] = nullptr;
      if (row >= left) continue;
      const RowRef ref = resolve_row(view_, row_start + row, flags, kv_head, 0);
      source_[i] = static_cast<const char*>(params_.q) +
                   2 * (ref.token * params_.q_stride_token + ref.head * params_.q_stride_head);
    }
  }

  // Asks for the rows that were found. With shared queries they take effect in publish().
  __device__ __forceinline__ void request() {
#pragma unroll
    for (int i = 0; i < kChunksPerLane; ++i) {
      const char* source = source_[kSharedQueries ? i : i / (kQueryChunks / 4)];
      uint4 x = make_uint4(0, 0, 0, 0);
      if (source != nullptr) x = __ldg(reinterpret_cast<const uint4*>(source) + chunk_of(i));
      words_[i] = kSharedQueries ? x : operands(x);
    }
    requested_ = true;
  }

  // Puts what was asked for where all warps read it: between two barriers, no warp needs the rows before any more.
  __device__ __forceinline__ void publish() {
    if constexpr (kSharedQueries) {
      if (!requested_) return;
#pragma unroll
      for (int i = 0; i < kChunksPerLane; ++i) {
        const int index = threadIdx.x + i * kThreads;
        store_shared16(shared_ + offset(index / kQueryChunks, index % kQueryChunks), operands(words_[i]));
      }
      requested_ = false;
    }
  }

  // Operands of the matrix instructions 2 i and 2 i + 1 over the head dim, for row tile n; to lane
  // 4 g + t.
  __device__ __forceinline__ uint4 get(int n, int i, int g, int t) const {
    if constexpr (!kSharedQueries) return words_[n * (kQueryChunks / 4) + i];
    return load_shared16(shared_ + offset(n * 8 + g, lane_chunk(i, t)));
  }

 private:
  static constexpr int kSources = kSharedQueries ? kChunksPerLane : kRowTiles;

  // Which elements go together must match the chunks of keys that a lane reads: 8 elements, or 16 of float8.
  __device__ static int lane_chunk(int i, int t) {
    return kFloat8 ? (i >> 1) * 8 + t * 2 + (i & 1) : i * 4 + t;
  }
  __device__ int chunk_of(int i) const {
    return kSharedQueries ? (threadIdx.x + i * kThreads) % kQueryChunks : lane_chunk(i % (kQueryChunks / 4), lane_ & 3);
  }
  // Eight lanes read four chunks of each of two rows: no bank twice.
  __device__ static uint32 offset(int row, int chunk) {
    return row * kHeadDim * 2 + ((chunk ^ (kFloat8 ? row & 1 : (row & 1) << 2)) << 4);
  }
  __device__ static uint4 operands(const uint4& x) {
    return make_uint4(query_operand(x.x), query_operand(x.y), query_operand(x.z), query_operand(x.w));
  }

  const AttentionParams& params_;
  const ScheduleView view_;
  const uint32 shared_;
  const int lane_;
  const char* source_[kSources];
  uint4 words_[kChunksPerLane];
  bool requested_ = false;
};

static_assert(!kSharedQueries || kRows * kQueryChunks % kThreads == 0, "every thread fetches the same number of chunks");

}  // namespace warpbook
