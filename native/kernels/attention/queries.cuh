// The query rows of a warp as operands of the score product: each lane holds its share in registers.
#pragma once

#include "attention/kv_stage.cuh"
#include "attention/schedule_view.cuh"

namespace warpbook {

// Matrix instructions over the head dim.
constexpr int kDepth = kHeadDim / 16;

class Queries {
 public:
  // `first_row`: the warp's first row among those of a pass.
  __device__ Queries(const AttentionParams& params, const ScheduleView& view, int first_row, int lane)
      : params_(params), view_(view), first_row_(first_row), lane_(lane) {}

  // Finds the rows of a pass. Reads plan data alone.
  __device__ __forceinline__ void resolve(const TileRecord& record, int pass) {
    const int first = pass * kRows + first_row_;
    const int row_start = record.get(TILE_ROW_START) + first;
    const int left = record.get(TILE_ROW_COUNT) - first;
    const int flags = record.get(TILE_FLAGS);
    const int kv_head = record.get(TILE_KV_HEAD);
    if constexpr (kRowTiles == 2) {
      // A row each lane, handed out then: one division, and one round trip for rows that are gathered.
      const int row = lane_ & 15;
      int64 found = 0;
      if (row < left) found = reinterpret_cast<int64>(source_of(row_start + row, flags, kv_head));
#pragma unroll
      for (int n = 0; n < kRowTiles; ++n) {
        source_[n] = reinterpret_cast<const char*>(__shfl_sync(kAllLanes, found, n * 8 + (lane_ >> 2)));
      }
      return;
    }
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n) {
      const int row = n * 8 + (lane_ >> 2);
      source_[n] = nullptr;
      if (row >= left) continue;
      source_[n] = source_of(row_start + row, flags, kv_head);
    }
  }

  // Asks for the rows that were found; where there is none they are zeros.
  __device__ __forceinline__ void request() {
    const int t = lane_ & 3;
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
      for (int i = 0; i < kDepth / 2; ++i) {
        // Which elements go together must match the chunks of keys that a lane reads: 8 elements, or 16 of float8.
        const int chunk = kFloat8 ? (i >> 1) * 8 + t * 2 + (i & 1) : i * 4 + t;
        uint4 x = make_uint4(0, 0, 0, 0);
        if (source_[n] != nullptr) x = __ldg(reinterpret_cast<const uint4*>(source_[n]) + chunk);
        words_[n][i] = make_uint4(query_operand(x.x), query_operand(x.y), query_operand(x.z), query_operand(x.w));
      }
    }
  }

  // To be called once the rows are needed, where 16 of them fill the matrix instruction (kWide): from then on get(n, i) is the
  // first operand of instruction 2 i + n over the head dim. Not while they are on their way: it would wait for them.
  __device__ __forceinline__ void arrange() {
    static_assert(!kWide || kRowTiles == 2, "arrange");
#pragma unroll
    for (int i = 0; i < kDepth / 2; ++i) {
      const uint4 x = words_[0][i], y = words_[kRowTiles - 1][i];
      words_[0][i] = make_uint4(x.x, y.x, x.y, y.y);
      words_[kRowTiles - 1][i] = make_uint4(x.z, y.z, x.w, y.w);
      keep(words_[0][i]), keep(words_[kRowTiles - 1][i]);
    }
  }

  // Operands of the matrix instructions 2 i and 2 i + 1 over the head dim, for row tile n.
  __device__ __forceinline__ const uint4& get(int n, int i) const { return words_[n][i]; }

 private:
  __device__ __forceinline__ const char* source_of(int row, int flags, int kv_head) const {
    const RowRef ref = resolve_row(view_, row, flags, kv_head, 0);
    return static_cast<const char*>(params_.q) +
           2 * (ref.token * params_.q_stride_token + ref.head * params_.q_stride_head);
  }
  // Forbids to compute the words where they are used, which would be in every step.
  __device__ __forceinline__ static void keep(uint4& x) { asm volatile("" : "+r"(x.x), "+r"(x.y), "+r"(x.z), "+r"(x.w)); }

  const AttentionParams& params_;
  const ScheduleView view_;
  const int first_row_;
  const int lane_;
  const char* source_[kRowTiles];
  uint4 words_[kRowTiles][kDepth / 2];
};

}  // namespace warpbook
