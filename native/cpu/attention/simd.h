// Vectors of float for the instruction set that this file is compiled for, in the namespace WB_ISA.
//
// Each simd_<isa>.h gives the same names:
//   Vec, kWidth                       float vector and its lanes
//   kScoreRows, kValueChunks          register tile of the two products (micro_kernels.h)
//   zero broadcast load store         memory and float vectors; load converts every element type to float
//   load_half                         first 8 elements, the other lanes 0; only where kWidth is 16
//   store8(T*, const float*)          8 floats rounded to nearest even
//   add sub mul fma(a, b, c) = a * b + c
//   max(a, b)                         b where either is NaN
//   round_nearest, abs, copy_sign(magnitude, sign)
//   scale_by_power(x, n)              x * 2^n for integral n in [-126, 0]
//   select_less(a, b, x, y)           a < b ? x : y
//   reduce_max, reduce_add            over the lanes
//   kPairDots                         whether dot_pairs exists: bfloat16 pairs multiplied and summed in float32
//   store_dots<R>(acc, out, stride)   out[r * stride + j] = sum of the lanes of acc[r][j], j < 4; a row's sum does
//                                     not depend on R
//
// All are forced inline: no function that holds wide instructions may be shared by the linker.
#pragma once

#ifndef WB_ISA
#error "define WB_ISA (avx512_bf16, avx512, avx2 or portable) before including the vectorised sources"
#endif

#include <cstdint>
#include <cstring>

#include "cpu/attention/elements.h"

#define WB_INLINE static inline __attribute__((always_inline))

#if defined(__AVX512F__)
#include "cpu/attention/simd_avx512.h"
#elif defined(__AVX2__)
#include "cpu/attention/simd_avx2.h"
#else
#include "cpu/attention/simd_portable.h"
#endif
