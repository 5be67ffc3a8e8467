// AVX-512 (F, BW, VL, DQ, and BF16 where compiled for it): 16 lanes, 32 registers. See simd.h for the contract.
#pragma once

#include "cpu/attention/simd_x86.h"

namespace warpbook::cpu::WB_ISA {

using Vec = __m512;
constexpr int kWidth = 16;
constexpr int kScoreRows = 4;
constexpr int kValueChunks = 4;

WB_INLINE Vec zero() { return _mm512_setzero_ps(); }
WB_INLINE Vec broadcast(float x) { return _mm512_set1_ps(x); }

WB_INLINE Vec load(const float* p) { return _mm512_loadu_ps(p); }
WB_INLINE Vec load(const Float16* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
WB_INLINE Vec load(const BFloat16* p) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
WB_INLINE Vec load(const Float8E5M2* p) {
  return _mm512_cvtph_ps(_mm256_slli_epi16(_mm256_cvtepu8_epi16(load_bytes16(p)), 8));
}
// See load8 of the same type.
WB_INLINE Vec load(const Float8E4M3* p) {
  const __m256i wide = _mm256_cvtepu8_epi16(load_bytes16(p));
  const __m256i magnitude = _mm256_and_si256(wide, _mm256_set1_epi16(0x7f));
  const __m256i sign = _mm256_slli_epi16(_mm256_and_si256(wide, _mm256_set1_epi16(0x80)), 8);
  const __m256i is_nan = _mm256_cmpeq_epi16(magnitude, _mm256_set1_epi16(0x7f));
  const __m256i half = _mm256_or_si256(_mm256_or_si256(_mm256_slli_epi16(magnitude, 7), sign), is_nan);
  return _mm512_mul_ps(_mm512_cvtph_ps(half), _mm512_set1_ps(256.0f));
}
template <class T>
WB_INLINE Vec load_half(const T* p) {
  return _mm512_insertf32x8(_mm512_setzero_ps(), load8(p), 0);
}

WB_INLINE void store(float* p, Vec x) { _mm512_storeu_ps(p, x); }

WB_INLINE Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
WB_INLINE Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
WB_INLINE Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
WB_INLINE Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
WB_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
WB_INLINE Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
WB_INLINE Vec round_nearest(Vec x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
WB_INLINE Vec abs(Vec x) { return _mm512_abs_ps(x); }
WB_INLINE Vec copy_sign(Vec magnitude, Vec sign) {
  return _mm512_or_ps(magnitude, _mm512_and_ps(sign, _mm512_set1_ps(-0.0f)));
}
WB_INLINE Vec scale_by_power(Vec x, Vec n) { return _mm512_scalef_ps(x, n); }
WB_INLINE Vec select_less(Vec a, Vec b, Vec x, Vec y) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
WB_INLINE float reduce_max(Vec x) { return _mm512_reduce_max_ps(x); }
WB_INLINE float reduce_add(Vec x) { return _mm512_reduce_add_ps(x); }

#if defined(__AVX512BF16__)
constexpr bool kPairDots = true;
constexpr int kPairElements = 32;
using Pairs = __m512bh;

WB_INLINE Pairs load_pairs(const BFloat16* p) { return reinterpret_cast<Pairs>(_mm512_loadu_si512(p)); }
// The first `count` < 32 elements; the others are 0 and their memory is not read.
WB_INLINE Pairs load_pairs(const BFloat16* p, int count) {
  return reinterpret_cast<Pairs>(_mm512_maskz_loadu_epi16((1u << count) - 1, p));
}
// Lane i of c, plus elements 2i and 2i + 1 of a and b multiplied and summed.
WB_INLINE Vec dot_pairs(Pairs a, Pairs b, Vec c) { return _mm512_dpbf16_ps(c, a, b); }
#else
constexpr bool kPairDots = false;
#endif

// Sums four vectors within each 128-bit quarter: quarter i holds [a, b, c, d] summed over quarter i.
WB_INLINE Vec add_quarters(Vec a, Vec b, Vec c, Vec d) {
  const __m512d ab = _mm512_castps_pd(add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
  const __m512d cd = _mm512_castps_pd(add(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));
  return add(_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)), _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
}

template <int R>
WB_INLINE void store_dots(const Vec (&acc)[R][4], float* out, int stride) {
  Vec rows[4];
#pragma GCC unroll 4
  for (int r = 0; r < 4; ++r) {
    const int source = r < R ? r : 0;
    rows[r] = add_quarters(acc[source][0], acc[source][1], acc[source][2], acc[source][3]);
  }
  const Vec r01 = add(_mm512_shuffle_f32x4(rows[0], rows[1], 0x88), _mm512_shuffle_f32x4(rows[0], rows[1], 0xdd));
  const Vec r23 = add(_mm512_shuffle_f32x4(rows[2], rows[3], 0x88), _mm512_shuffle_f32x4(rows[2], rows[3], 0xdd));
  const Vec all = add(_mm512_shuffle_f32x4(r01, r23, 0x88), _mm512_shuffle_f32x4(r01, r23, 0xdd));
  _mm_storeu_ps(out, _mm512_castps512_ps128(all));
  if constexpr (R > 1) _mm_storeu_ps(out + stride, _mm512_extractf32x4_ps(all, 1));
  if constexpr (R > 2) _mm_storeu_ps(out + 2 * stride, _mm512_extractf32x4_ps(all, 2));
  if constexpr (R > 3) _mm_storeu_ps(out + 3 * stride, _mm512_extractf32x4_ps(all, 3));
}

}  // namespace warpbook::cpu::WB_ISA
