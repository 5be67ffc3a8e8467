// The two products of attention on register tiles: logits = Q K^T and sums += P V. They know vectors and strides, no
// pages and no masks.
//
// Lanes run along the head dimension in both, so that keys and values are read as they lie in memory, each element
// is converted once for up to kScoreRows (4) rows, and a dot product is the sum of kWidth short ones.
#pragma once

#include "cpu/attention/kernels.h"
#include "cpu/attention/simd.h"

namespace warpbook::cpu::WB_ISA {

// A head dimension in vectors: `chunks` whole ones, then perhaps 8 elements more (16-lane vectors only).
struct HeadDim {
  int chunks;
  bool half;
};
WB_INLINE HeadDim head_dim_in_vectors(int head_dim) { return {head_dim / kWidth, head_dim % kWidth != 0}; }

template <class T>
WB_INLINE Vec load_chunk(const T* p, bool half) {
  if constexpr (kWidth > 8) {
    if (half) return load_half(p);
  }
  return load(p);
}

// scores[r * kBlockKeys + j] = q[r] . keys[j] for R rows and four keys. Rows of q are padded with zeros.
template <int R, class T>
static void score_tile(const float* q, int q_stride, const T* const* keys, HeadDim dim, float* scores) {
  Vec acc[R][4];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) acc[r][j] = zero();
  }
  const auto step = [&](int c, bool half) __attribute__((always_inline)) {
    Vec key[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) key[j] = load_chunk(keys[j] + c * kWidth, half);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const Vec row = load(q + r * q_stride + c * kWidth);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) acc[r][j] = fma(key[j], row, acc[r][j]);
    }
  };
  for (int c = 0; c < dim.chunks; ++c) step(c, false);
  if (dim.half) step(dim.chunks, true);
  store_dots<R>(acc, scores, kBlockKeys);
}

#if defined(__AVX512BF16__)
// The same from bfloat16 queries and keys as they are, two elements at a time. Their products are exact in float32.
template <int R>
static void score_tile(const BFloat16* q, int q_stride, const BFloat16* const* keys, HeadDim dim, float* scores) {
  Vec acc[R][4];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) acc[r][j] = zero();
  }
  const auto step = [&](int d, int count) __attribute__((always_inline)) {
    Pairs key[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const BFloat16* source = keys[j] + d;
      key[j] = count < kPairElements ? load_pairs(source, count) : load_pairs(source);
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const BFloat16* source = q + r * q_stride + d;
      const Pairs row = count < kPairElements ? load_pairs(source, count) : load_pairs(source);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) acc[r][j] = dot_pairs(key[j], row, acc[r][j]);
    }
  };
  const int head_dim = dim.chunks * kWidth + (dim.half ? 8 : 0);
  int d = 0;
  for (; d + kPairElements <= head_dim; d += kPairElements) step(d, kPairElements);
  if (d < head_dim) step(d, head_dim - d);
  store_dots<R>(acc, scores, kBlockKeys);
}
#endif

// Q: float with any T, or BFloat16 with keys of BFloat16 where kPairDots.
template <class Q, class T>
static void score_rows(int rows, const Q* q, int q_stride, const T* const* keys, HeadDim dim, float* scores) {
  for (; rows >= kScoreRows; rows -= kScoreRows) {
    score_tile<kScoreRows>(q, q_stride, keys, dim, scores);
    q += kScoreRows * q_stride;
    scores += kScoreRows * kBlockKeys;
  }
  if constexpr (kScoreRows == 4) {
    if (rows == 3) score_tile<3>(q, q_stride, keys, dim, scores);
    if (rows == 2) score_tile<2>(q, q_stride, keys, dim, scores);
  }
  if (rows == 1) score_tile<1>(q, q_stride, keys, dim, scores);
}

// Asks for the cache lines of `count` elements from `p` on, into L2: a block ahead is more than L1 holds beside the
// block at work.
template <class T>
WB_INLINE void prefetch(const T* p, int count) {
  constexpr int kLineElements = 64 / sizeof(T);
  for (int i = 0; i < count; i += kLineElements) __builtin_prefetch(p + i, 0, 2);
}

// sums[r] = sums[r] * factors[r] + sum over keys of weights[r][j] * values[j], for R rows and C vectors of the head
// dimension from element `offset` on. `ahead`: rows that the next step will read, num_keys of them; or null.
template <int R, int C, class T>
static void value_tile(const float* weights, const T* const* values, const T* const* ahead, int num_keys, int offset,
                       bool half, const float* factors, float* sums, int sums_stride) {
  Vec acc[R][C];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) acc[r][c] = zero();
  }
  for (int j = 0; j < num_keys; ++j) {
    if (ahead != nullptr) prefetch(ahead[j] + offset, C * kWidth);
    const T* value_row = values[j] + offset;
    Vec value[C];
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) value[c] = load_chunk(value_row + c * kWidth, half);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const Vec weight = broadcast(weights[r * kBlockKeys + j]);
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) acc[r][c] = fma(weight, value[c], acc[r][c]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    const Vec factor = broadcast(factors[r]);
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      float* sum = sums + r * sums_stride + offset + c * kWidth;
      store(sum, fma(load(sum), factor, acc[r][c]));
    }
  }
}

template <int R, class T>
WB_INLINE void value_chunks(const float* weights, const T* const* values, const T* const* ahead, int num_keys,
                            HeadDim dim, const float* factors, float* sums, int sums_stride) {
  int c = 0;
  for (; c + kValueChunks <= dim.chunks; c += kValueChunks) {
    value_tile<R, kValueChunks>(weights, values, ahead, num_keys, c * kWidth, false, factors, sums, sums_stride);
  }
  for (; c < dim.chunks; ++c) {
    value_tile<R, 1>(weights, values, ahead, num_keys, c * kWidth, false, factors, sums, sums_stride);
  }
  if (dim.half) value_tile<R, 1>(weights, values, ahead, num_keys, c * kWidth, true, factors, sums, sums_stride);
}

template <class T>
static void value_rows(int rows, const float* weights, const T* const* values, const T* const* ahead, int num_keys,
                       HeadDim dim, const float* factors, float* sums, int sums_stride) {
  for (; rows >= 4; rows -= 4) {
    value_chunks<4>(weights, values, ahead, num_keys, dim, factors, sums, sums_stride);
    weights += 4 * kBlockKeys;
    factors += 4;
    sums += 4 * sums_stride;
    ahead = nullptr;
  }
  if (rows == 3) value_chunks<3>(weights, values, ahead, num_keys, dim, factors, sums, sums_stride);
  if (rows == 2) value_chunks<2>(weights, values, ahead, num_keys, dim, factors, sums, sums_stride);
  if (rows == 1) value_chunks<1>(weights, values, ahead, num_keys, dim, factors, sums, sums_stride);
}

}  // namespace warpbook::cpu::WB_ISA
