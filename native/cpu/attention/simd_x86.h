// What AVX2 and AVX-512 share: conversions through 8 lanes. Included by simd_<isa>.h, inside no namespace.
#pragma once

#include <immintrin.h>

namespace warpbook::cpu::WB_ISA {

WB_INLINE __m128i load_bytes16(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
WB_INLINE __m128i load_bytes8(const void* p) { return _mm_loadl_epi64(static_cast<const __m128i*>(p)); }

WB_INLINE __m256 load8(const float* p) { return _mm256_loadu_ps(p); }
WB_INLINE __m256 load8(const Float16* p) { return _mm256_cvtph_ps(load_bytes16(p)); }
WB_INLINE __m256 load8(const BFloat16* p) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_bytes16(p)), 16));
}
// e5m2 is the upper byte of a float16.
WB_INLINE __m256 load8(const Float8E5M2* p) {
  return _mm256_cvtph_ps(_mm_slli_epi16(_mm_cvtepu8_epi16(load_bytes8(p)), 8));
}
// e4m3's exponent and mantissa, moved into those of a float16, are 2^-8 of the value; subnormals included. The one
// NaN pattern has to be made a NaN by hand.
WB_INLINE __m256 load8(const Float8E4M3* p) {
  const __m128i wide = _mm_cvtepu8_epi16(load_bytes8(p));
  const __m128i magnitude = _mm_and_si128(wide, _mm_set1_epi16(0x7f));
  const __m128i sign = _mm_slli_epi16(_mm_and_si128(wide, _mm_set1_epi16(0x80)), 8);
  const __m128i is_nan = _mm_cmpeq_epi16(magnitude, _mm_set1_epi16(0x7f));
  const __m128i half = _mm_or_si128(_mm_or_si128(_mm_slli_epi16(magnitude, 7), sign), is_nan);
  return _mm256_mul_ps(_mm256_cvtph_ps(half), _mm256_set1_ps(256.0f));
}

WB_INLINE void store8(float* p, const float* source) { _mm256_storeu_ps(p, _mm256_loadu_ps(source)); }
WB_INLINE void store8(Float16* p, const float* source) {
  const __m128i half = _mm256_cvtps_ph(_mm256_loadu_ps(source), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), half);
}
WB_INLINE void store8(BFloat16* p, const float* source) {
  const __m256 x = _mm256_loadu_ps(source);
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i bias = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
  const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, bias), 16);
  const __m256i quiet = _mm256_or_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(0x40));
  const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  const __m256i words = _mm256_blendv_epi8(rounded, quiet, is_nan);
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(words, words), 0x08);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
}

}  // namespace warpbook::cpu::WB_ISA
