// Tiles of 16-bit elements in shared memory, a row for each query row or KV token: where a 16-byte chunk lies, how the
// matrix instruction's operands are read, and how tokens get there. Rows are 16 bytes apart from a multiple of 128, so that
// one chunk of eight rows lies in different banks, and every operand of a step at a constant distance from the first.
//
// float8 tokens arrive in a room of their own, without gaps, and are widened to float16 from there.
#pragma once

#include "attention/elements.cuh"
#include "attention/prefill_config.cuh"
#include "attention_params.h"

namespace warpbook {

constexpr int kTileRowChunks = kHeadDim / 8;
constexpr int kTileRowBytes = kTileRowChunks * 16 + 16;
constexpr int kKvTileBytes = kStepTokens * kTileRowBytes;
// A token in global memory.
constexpr int kTokenBytes = kHeadDim * kKvBytes;
constexpr int kTokenChunks = kTokenBytes / 16;
constexpr int kTokensPerCopy = 32 / kTokenChunks;
constexpr int kTokenCopies = kWarpTokens / kTokensPerCopy;
// Tokens of a warp that always lie in one page, where pages have 16 k tokens; and how many such runs it has.
constexpr int kRunTokens = kWarpTokens < 16 ? kWarpTokens : 16;
constexpr int kRuns = kWarpTokens / kRunTokens;
constexpr int kRunCopies = kTokenCopies / kRuns;
// A token as it is copied, and keys and values of a step.
constexpr int kCopyRowBytes = kFloat8 ? kTokenBytes : kTileRowBytes;
constexpr int kStepBytes = 2 * kStepTokens * kCopyRowBytes;

// Room for two steps; of float8, for one as it is copied and one as it is computed with.
constexpr int kStagesBytes = 2 * kKvTileBytes + (kFloat8 ? kStepBytes : 2 * kKvTileBytes);

static_assert(kTokensPerCopy >= 1 && kRunCopies >= 1, "a copy takes whole tokens of one run");

// What a stage holds, written by the load side for the arithmetic.
struct __align__(16) StepInfo {
  // Of the first token, counted from the first of the KV sequence.
  int position;
  // The mask applies.
  int masked;
  // Bit i: token i is there and wanted.
  uint32 valid[kStepTokens / 32];
};

__device__ __forceinline__ uint32 chunk_offset(int row, int chunk) { return row * kTileRowBytes + chunk * 16; }

// Where a lane reads from, relative to a tile of 16 rows and 16 columns. Of the first operand (queries), and of values, which
// are transposed on the way:
__device__ __forceinline__ uint32 row_operand_offset(int lane) { return chunk_offset(lane & 15, lane >> 4); }
// Of keys, whose rows are the columns of the second operand:
__device__ __forceinline__ uint32 column_operand_offset(int lane) {
  return chunk_offset((lane & 7) + (lane >> 4 << 3), lane >> 3 & 1);
}

__device__ __forceinline__ void load_matrices(uint32 (&r)[4], uint32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address));
}
__device__ __forceinline__ void load_matrices_transposed(uint32 (&r)[4], uint32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address));
}

// 16 bytes from global to shared memory.
__device__ __forceinline__ void copy_chunk(uint32 shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared), "l"(global) : "memory");
}
// Of a token, where `wanted`. The L2 fetches 128 bytes where a token has as many.
__device__ __forceinline__ void copy_chunk_if(bool wanted, uint32 shared, const void* global) {
  if constexpr (kTokenBytes >= 128) {
    asm volatile("{ .reg .pred p; setp.ne.u32 p, %2, 0; @p cp.async.cg.shared.global.L2::128B [%0], [%1], 16; }"
                 ::"r"(shared), "l"(global), "r"(static_cast<uint32>(wanted)) : "memory");
  } else {
    asm volatile("{ .reg .pred p; setp.ne.u32 p, %2, 0; @p cp.async.cg.shared.global [%0], [%1], 16; }"
                 ::"r"(shared), "l"(global), "r"(static_cast<uint32>(wanted)) : "memory");
  }
}
// 16 bytes where `bytes` is 16; zeros and no access where it is 0.
__device__ __forceinline__ void copy_chunk_or_zero(uint32 shared, const void* global, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global), "r"(bytes) : "memory");
}

// Where chunk `chunk` of a token lies in its part (keys or values) of a stage.
__device__ __forceinline__ uint32 token_offset(int token, int chunk) {
  return token * kCopyRowBytes + chunk * 16;
}

// Two float8 as two float16, which hold them exactly: the low two bytes of x, or the high ones. One build serves both
// formats; e5m2 is the high byte of a float16.
__device__ __forceinline__ uint32 widen(uint32 x, bool high, bool e5m2) {
  if (e5m2) return __byte_perm(x, 0, high ? 0x3424 : 0x1404);
  return high ? widen_high(x) : widen_low(x);
}
__device__ __forceinline__ uint4 widen(uint32 x, uint32 y, bool e5m2) {
  return make_uint4(widen(x, false, e5m2), widen(x, true, e5m2), widen(y, false, e5m2), widen(y, true, e5m2));
}

// Widens the tokens [first, first + kWarpTokens) of `stage`'s keys and values, which this warp has copied, into `tiles`.
__device__ __forceinline__ void widen_tokens(uint32 tiles, uint32 stage, int first, int lane, bool e5m2) {
  constexpr int kChunks = kWarpTokens * kTokenChunks;
#pragma unroll
  for (int part = 0; part < 2; ++part) {
#pragma unroll
    for (int i = lane; i < kChunks; i += 32) {
      const int token = first + i / kTokenChunks;
      const int chunk = i % kTokenChunks;
      const uint4 x = load_shared16(stage + part * kStepBytes / 2 + token_offset(token, chunk));
      store_shared16(tiles + part * kKvTileBytes + chunk_offset(token, 2 * chunk), widen(x.x, x.y, e5m2));
      store_shared16(tiles + part * kKvTileBytes + chunk_offset(token, 2 * chunk + 1), widen(x.z, x.w, e5m2));
    }
  }
}

}  // namespace warpbook
