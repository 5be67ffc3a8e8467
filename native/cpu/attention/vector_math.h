// exp and tanh on vectors, to about one unit in the last place of float32. For arguments that attention has: exponents
// of a softmax are never positive.
#pragma once

#include "cpu/attention/simd.h"

namespace warpbook::cpu::WB_ISA {

// Below, 2^n would be subnormal; a weight of e^-87 is 0 beside the largest, which is 1.
constexpr float kExpLowest = -87.0f;

struct ReducedExp {
  Vec power;   // n of 2^n, integral
  Vec fraction;  // e^r - 1 with |r| <= ln(2) / 2
};

// x = n ln 2 + r. The polynomial interpolates (e^r - 1 - r) / r^2 at the Chebyshev nodes: error 1.7e-10 in e^r.
WB_INLINE ReducedExp reduce_exp(Vec x) {
  const Vec clamped = max(broadcast(kExpLowest), x);
  const Vec n = round_nearest(mul(clamped, broadcast(1.44269504f)));
  // ln 2 in two parts; the first has so few bits that its product with n is exact.
  const Vec r = fma(n, broadcast(2.12194440e-4f), fma(n, broadcast(-0.693359375f), clamped));
  Vec p = broadcast(1.989108046e-4f);
  p = fma(p, r, broadcast(1.393373072e-3f));
  p = fma(p, r, broadcast(8.333310845e-3f));
  p = fma(p, r, broadcast(4.166646420e-2f));
  p = fma(p, r, broadcast(1.666666668e-1f));
  p = fma(p, r, broadcast(5.000000014e-1f));
  return {n, fma(mul(r, r), p, r)};
}

// e^x for x <= 0; 0 below kExpLowest and at -inf, NaN for NaN.
WB_INLINE Vec exp_nonpositive(Vec x) {
  const ReducedExp parts = reduce_exp(x);
  const Vec value = scale_by_power(add(parts.fraction, broadcast(1.0f)), parts.power);
  return select_less(x, broadcast(kExpLowest), zero(), value);
}

// Through e^(-2|x|) - 1, which keeps its relative accuracy where tanh is small.
WB_INLINE Vec tanh(Vec x) {
  const ReducedExp parts = reduce_exp(mul(abs(x), broadcast(-2.0f)));
  const Vec power = scale_by_power(broadcast(1.0f), parts.power);
  const Vec e = fma(power, parts.fraction, sub(power, broadcast(1.0f)));
  return copy_sign(abs(div(e, add(e, broadcast(2.0f)))), x);
}

}  // namespace warpbook::cpu::WB_ISA
