// The 16-bit and 8-bit float types as bits: exact widening to float32 and narrowing by round to nearest, ties to even.
// Subnormals are kept; every NaN becomes the type's quiet NaN with the same sign. What is too large becomes infinity,
// except that E4M3, which has none, takes its largest value (as the conversion instructions of GPUs do).
#pragma once

#include <cstdint>
#include <cstring>

namespace warpbook::cpu {

inline uint32_t bits_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

inline float float_of(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// kOverflow: bits of what is too large. kFirstNan: smallest magnitude that is a NaN. kInfinity: 0 where there is none.
struct Float16 {
  using Bits = uint16_t;
  static constexpr int kSignificand = 10, kBias = 15, kSignShift = 15;
  static constexpr uint32_t kOverflow = 0x7c00, kInfinity = 0x7c00, kFirstNan = 0x7c01, kNan = 0x7e00;
};
struct Bfloat16 {
  using Bits = uint16_t;
  static constexpr int kSignificand = 7, kBias = 127, kSignShift = 15;
  static constexpr uint32_t kOverflow = 0x7f80, kInfinity = 0x7f80, kFirstNan = 0x7f81, kNan = 0x7fc0;
};
struct Float8E4m3fn {
  using Bits = uint8_t;
  static constexpr int kSignificand = 3, kBias = 7, kSignShift = 7;
  static constexpr uint32_t kOverflow = 0x7e, kInfinity = 0, kFirstNan = 0x7f, kNan = 0x7f;
};
struct Float8E5m2 {
  using Bits = uint8_t;
  static constexpr int kSignificand = 2, kBias = 15, kSignShift = 7;
  static constexpr uint32_t kOverflow = 0x7c, kInfinity = 0x7c, kFirstNan = 0x7d, kNan = 0x7f;
};

template <class F>
inline float widen(typename F::Bits bits) {
  const uint32_t magnitude = bits & ((1u << F::kSignShift) - 1);
  const uint32_t sign = static_cast<uint32_t>(bits >> F::kSignShift) << 31;
  // The fields in float32's places are the number times 2^(kBias - 127), subnormals included; scaling back is exact.
  const float scale = float_of(static_cast<uint32_t>(127 + (127 - F::kBias)) << 23);
  uint32_t result = bits_of(float_of(magnitude << (23 - F::kSignificand)) * scale);
  if (F::kInfinity != 0 && magnitude == F::kInfinity) result = 0x7f800000;
  if (magnitude >= F::kFirstNan) result = 0x7fc00000;
  return float_of(sign | result);
}

// bfloat16 is the upper half of a float32.
template <>
inline float widen<Bfloat16>(uint16_t bits) {
  return float_of(static_cast<uint32_t>(bits) << 16);
}

template <class F>
inline typename F::Bits narrow(float x) {
  constexpr int kShift = 23 - F::kSignificand;
  constexpr uint32_t kMinNormal = static_cast<uint32_t>(128 - F::kBias) << 23;
  // Adding 2^k whose unit in the last place is the subnormals' unit makes the addition round to that unit.
  constexpr uint32_t kMagic = static_cast<uint32_t>(127 - F::kBias + kShift + 1) << 23;
  const uint32_t bits = bits_of(x);
  const uint32_t magnitude = bits & 0x7fffffff;
  const uint32_t subnormal = bits_of(float_of(magnitude) + float_of(kMagic)) - kMagic;
  const uint32_t odd = (magnitude >> kShift) & 1;
  const uint32_t normal =
      (magnitude - (static_cast<uint32_t>(127 - F::kBias) << 23) + ((1u << (kShift - 1)) - 1) + odd) >> kShift;
  uint32_t result = magnitude < kMinNormal ? subnormal : normal;
  if (result > F::kOverflow) result = F::kOverflow;
  if (magnitude > 0x7f800000) result = F::kNan;
  return static_cast<typename F::Bits>(result | (bits >> 31) << F::kSignShift);
}

}  // namespace warpbook::cpu
