// Four lanes by the compiler's own vectors: SSE2, NEON or plain registers, whatever the host has. See simd.h for the
// contract. Little-endian hosts.
#pragma once

namespace warpbook::cpu::WB_ISA {

typedef float Vec __attribute__((vector_size(16)));
typedef int32_t IntVec __attribute__((vector_size(16)));
typedef uint16_t ShortVec __attribute__((vector_size(8)));
typedef uint8_t ByteVec __attribute__((vector_size(4)));

constexpr int kWidth = 4;
constexpr int kScoreRows = 2;
constexpr int kValueChunks = 2;
constexpr bool kPairDots = false;

WB_INLINE Vec zero() { return Vec{0, 0, 0, 0}; }
WB_INLINE Vec broadcast(float x) { return Vec{x, x, x, x}; }

WB_INLINE Vec as_float(IntVec bits) { return reinterpret_cast<Vec>(bits); }
WB_INLINE IntVec as_bits(Vec x) { return reinterpret_cast<IntVec>(x); }

// Bits of a binary floating-point type, one element a lane, to float. The exponent and mantissa are moved to where a
// float has them and rescaled, which also normalises subnormals; an exponent of all ones then has to be made whole.
WB_INLINE Vec rescale(IntVec magnitude, IntVec sign, IntVec special, float scale) {
  const IntVec finite = as_bits(as_float(magnitude) * broadcast(scale));
  const IntVec not_finite = magnitude | 0x7f800000;
  return as_float((special & not_finite) | (~special & finite) | sign);
}
WB_INLINE Vec half_to_float(IntVec bits) {
  const IntVec exponent = bits & 0x7c00;
  return rescale((bits & 0x7fff) << 13, (bits & 0x8000) << 16, exponent == 0x7c00, 0x1p112f);
}

WB_INLINE IntVec load_words(const void* p) {
  ShortVec words;
  memcpy(&words, p, sizeof words);
  return __builtin_convertvector(words, IntVec);
}
WB_INLINE IntVec load_bytes(const void* p) {
  ByteVec bytes;
  memcpy(&bytes, p, sizeof bytes);
  return __builtin_convertvector(bytes, IntVec);
}

WB_INLINE Vec load(const float* p) {
  Vec x;
  memcpy(&x, p, sizeof x);
  return x;
}
WB_INLINE Vec load(const Float16* p) { return half_to_float(load_words(p)); }
WB_INLINE Vec load(const BFloat16* p) { return as_float(load_words(p) << 16); }
WB_INLINE Vec load(const Float8E5M2* p) { return half_to_float(load_bytes(p) << 8); }
WB_INLINE Vec load(const Float8E4M3* p) {
  const IntVec bits = load_bytes(p);
  const IntVec magnitude = bits & 0x7f;
  return rescale(magnitude << 20, (bits & 0x80) << 24, magnitude == 0x7f, 0x1p120f);
}

WB_INLINE void store(float* p, Vec x) { memcpy(p, &x, sizeof x); }

WB_INLINE Vec add(Vec a, Vec b) { return a + b; }
WB_INLINE Vec sub(Vec a, Vec b) { return a - b; }
WB_INLINE Vec mul(Vec a, Vec b) { return a * b; }
WB_INLINE Vec div(Vec a, Vec b) { return a / b; }
WB_INLINE Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
WB_INLINE Vec select(IntVec mask, Vec x, Vec y) { return as_float((mask & as_bits(x)) | (~mask & as_bits(y))); }
WB_INLINE Vec select_less(Vec a, Vec b, Vec x, Vec y) { return select(a < b, x, y); }
WB_INLINE Vec max(Vec a, Vec b) { return select(a > b, a, b); }
WB_INLINE Vec abs(Vec x) { return as_float(as_bits(x) & 0x7fffffff); }
WB_INLINE Vec copy_sign(Vec magnitude, Vec sign) {
  return as_float(as_bits(magnitude) | (as_bits(sign) & static_cast<int32_t>(0x80000000u)));
}
// For |x| < 2^22: adding 1.5 * 2^23 leaves no bits for a fraction.
WB_INLINE Vec round_nearest(Vec x) { return (x + broadcast(12582912.0f)) - broadcast(12582912.0f); }
WB_INLINE Vec scale_by_power(Vec x, Vec n) {
  const IntVec shifted = as_bits(n + broadcast(12582912.0f)) - as_bits(broadcast(12582912.0f));
  return x * as_float((shifted + 127) << 23);
}
WB_INLINE float reduce_max(Vec x) {
  const float low = x[0] > x[1] ? x[0] : x[1];
  const float high = x[2] > x[3] ? x[2] : x[3];
  return low > high ? low : high;
}
WB_INLINE float reduce_add(Vec x) { return (x[0] + x[2]) + (x[1] + x[3]); }

template <int R>
WB_INLINE void store_dots(const Vec (&acc)[R][4], float* out, int stride) {
  for (int r = 0; r < R; ++r) {
    store(out + r * stride,
          Vec{reduce_add(acc[r][0]), reduce_add(acc[r][1]), reduce_add(acc[r][2]), reduce_add(acc[r][3])});
  }
}

// Bits of x rounded to nearest even at `dropped` low bits; the carry runs into the exponent as it should.
WB_INLINE uint32_t round_bits(uint32_t bits, int dropped) {
  return (bits + ((bits >> dropped) & 1) + ((1u << (dropped - 1)) - 1)) >> dropped;
}
WB_INLINE uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
WB_INLINE uint16_t to_bfloat16(float x) {
  const uint32_t bits = bits_of(x);
  if (x != x) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>(round_bits(bits, 16));
}
WB_INLINE uint16_t to_float16(float x) {
  const uint32_t bits = bits_of(x);
  const uint32_t sign = (bits >> 16) & 0x8000;
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00);
  if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);  // from 65520 on: infinity
  if (magnitude < 0x38800000) {
    // Below 2^-14 the result is a multiple of 2^-24: adding 0.5 makes the float's own rounding do it.
    float shifted;
    memcpy(&shifted, &magnitude, sizeof shifted);
    return static_cast<uint16_t>(sign | (bits_of(shifted + 0.5f) - 0x3f000000));
  }
  return static_cast<uint16_t>(sign | (round_bits(magnitude, 13) - (112u << 10)));
}

WB_INLINE void store8(float* p, const float* source) { memcpy(p, source, 8 * sizeof(float)); }
WB_INLINE void store8(Float16* p, const float* source) {
  for (int i = 0; i < 8; ++i) p[i].bits = to_float16(source[i]);
}
WB_INLINE void store8(BFloat16* p, const float* source) {
  for (int i = 0; i < 8; ++i) p[i].bits = to_bfloat16(source[i]);
}

}  // namespace warpbook::cpu::WB_ISA
