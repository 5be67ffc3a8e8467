// AVX2 with FMA and F16C: 8 lanes, 16 registers. See simd.h for the contract.
#pragma once

#include "cpu/attention/simd_x86.h"

namespace warpbook::cpu::WB_ISA {

using Vec = __m256;
constexpr int kWidth = 8;
constexpr int kScoreRows = 2;
constexpr int kValueChunks = 2;
constexpr bool kPairDots = false;

WB_INLINE Vec zero() { return _mm256_setzero_ps(); }
WB_INLINE Vec broadcast(float x) { return _mm256_set1_ps(x); }

template <class T>
WB_INLINE Vec load(const T* p) {
  return load8(p);
}

WB_INLINE void store(float* p, Vec x) { _mm256_storeu_ps(p, x); }

WB_INLINE Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
WB_INLINE Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
WB_INLINE Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
WB_INLINE Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
WB_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
WB_INLINE Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
WB_INLINE Vec round_nearest(Vec x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
WB_INLINE Vec abs(Vec x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
WB_INLINE Vec copy_sign(Vec magnitude, Vec sign) {
  return _mm256_or_ps(magnitude, _mm256_and_ps(sign, _mm256_set1_ps(-0.0f)));
}
WB_INLINE Vec scale_by_power(Vec x, Vec n) {
  const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return mul(x, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
}
WB_INLINE Vec select_less(Vec a, Vec b, Vec x, Vec y) {
  return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
WB_INLINE float reduce_max(Vec x) {
  __m128 half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  half = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}
WB_INLINE float reduce_add(Vec x) {
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

template <int R>
WB_INLINE void store_dots(const Vec (&acc)[R][4], float* out, int stride) {
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    const Vec sums = _mm256_hadd_ps(_mm256_hadd_ps(acc[r][0], acc[r][1]), _mm256_hadd_ps(acc[r][2], acc[r][3]));
    _mm_storeu_ps(out + r * stride, _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1)));
  }
}

}  // namespace warpbook::cpu::WB_ISA
