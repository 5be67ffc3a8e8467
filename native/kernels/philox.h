// Random numbers as a pure function of (key, counter): Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011), and what uniform and normal draws are made of its bits.
//
// Only operations that IEEE 754 defines exactly are used (add, multiply, divide, square root, no library functions), in
// the order written here. So every device gives the same bits, provided that the compiler fuses no multiply with an
// add: compile with -ffp-contract=off (nvcc, NVRTC: -fmad=false). The CPU device and the CUDA kernels include this file.
#pragma once

#if defined(__CUDACC__)
#define WB_EVERYWHERE __device__ __forceinline__
#else
#include <cmath>
#include <cstdint>
#define WB_EVERYWHERE inline
#endif

namespace warpbook {

#if defined(__CUDACC__)
using uint32_t = unsigned int;
using int32_t = int;
using uint64_t = unsigned long long;
WB_EVERYWHERE double square_root(double x) { return __dsqrt_rn(x); }
#else
WB_EVERYWHERE double square_root(double x) { return std::sqrt(x); }
#endif

struct PhiloxBlock {
  uint32_t word[4];
};

WB_EVERYWHERE PhiloxBlock philox4x32_10(PhiloxBlock counter, uint64_t key) {
  uint32_t key0 = static_cast<uint32_t>(key);
  uint32_t key1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter.word[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * counter.word[2];
    counter = {{static_cast<uint32_t>(product1 >> 32) ^ counter.word[1] ^ key0, static_cast<uint32_t>(product1),
                static_cast<uint32_t>(product0 >> 32) ^ counter.word[3] ^ key1, static_cast<uint32_t>(product0)}};
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return counter;
}

// 24 random bits as a float32 in [0, 1).
WB_EVERYWHERE float unit_float(uint32_t bits) { return static_cast<float>(bits >> 8) * 5.9604644775390625e-8f; }

// ln(m / 2^24) for 1 <= m <= 2^24, in float64 with a relative error below 1e-13: m = f * 2^e with f within a factor
// sqrt(2) of 1, and ln f = 2 artanh((f - 1) / (f + 1)) by its series.
WB_EVERYWHERE double log_unit(uint32_t m) {
  int exponent = 24;
  while ((m >> exponent) == 0) --exponent;
  double f = static_cast<double>(m) / static_cast<double>(uint32_t{1} << exponent);
  if (f > 1.4142135623730951) {
    f *= 0.5;
    ++exponent;
  }
  const double s = (f - 1.0) / (f + 1.0);
  const double z = s * s;
  double p = 2.0 / 15.0;
  p = 2.0 / 13.0 + z * p;
  p = 2.0 / 11.0 + z * p;
  p = 2.0 / 9.0 + z * p;
  p = 2.0 / 7.0 + z * p;
  p = 2.0 / 5.0 + z * p;
  p = 2.0 / 3.0 + z * p;
  return static_cast<double>(exponent - 24) * 0.6931471805599453 + (2.0 * s + s * z * p);
}

// Two standard normal draws from two words by Box and Muller's method:
//   u = ((word_a >> 8) + 1) / 2^24 in (0, 1],  v = (word_b >> 8) / 2^24 in [0, 1)
//   z0 = sqrt(-2 ln u) cos(2 pi v),            z1 = sqrt(-2 ln u) sin(2 pi v)
// evaluated in float64 and rounded once to float32.
WB_EVERYWHERE void normal_pair(uint32_t word_a, uint32_t word_b, float& z0, float& z1) {
  const double radius = square_root(-2.0 * log_unit((word_a >> 8) + 1));
  // The angle as a quarter turn and a rest of at most an eighth of a turn; both exact.
  const int32_t turn = static_cast<int32_t>(word_b >> 8);
  const int32_t quarter = (turn + (1 << 21)) >> 22;
  const double x = static_cast<double>(turn - quarter * (1 << 22)) * 3.7450702829239286e-07;  // 2 pi / 2^24
  const double z = x * x;
  double s = 1.0 / 6227020800.0;
  s = -1.0 / 39916800.0 + z * s;
  s = 1.0 / 362880.0 + z * s;
  s = -1.0 / 5040.0 + z * s;
  s = 1.0 / 120.0 + z * s;
  s = -1.0 / 6.0 + z * s;
  s = x + x * z * s;
  double c = -1.0 / 87178291200.0;
  c = 1.0 / 479001600.0 + z * c;
  c = -1.0 / 3628800.0 + z * c;
  c = 1.0 / 40320.0 + z * c;
  c = -1.0 / 720.0 + z * c;
  c = 1.0 / 24.0 + z * c;
  c = -0.5 + z * c;
  c = 1.0 + z * c;
  const bool swapped = (quarter & 1) != 0;
  double cosine = swapped ? s : c;
  double sine = swapped ? c : s;
  if (((quarter + 1) & 2) != 0) cosine = -cosine;
  if ((quarter & 2) != 0) sine = -sine;
  z0 = static_cast<float>(radius * cosine);
  z1 = static_cast<float>(radius * sine);
}

}  // namespace warpbook
