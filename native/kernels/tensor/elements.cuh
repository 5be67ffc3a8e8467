// Elements of any dtype as one of two working types: float32 for float dtypes, int64 for integers and bool. The rules
// and the bits are those of the CPU device:
//   narrowing rounds to nearest even; what is too large becomes infinity, or E4M3's largest value, which has none;
//   every NaN becomes the type's quiet NaN with the same sign;
//   float to integer truncates and saturates, NaN becomes 0; integers keep their low bits; bool is "not zero".
// Offsets are in elements; dtypes are DTYPE_... codes. Nothing here depends on the flag for flushing subnormals.
#pragma once

#include "schedule_layout.h"

namespace warpbook {

using int64 = long long;
using uint64 = unsigned long long;
using uint32 = unsigned int;

// kOverflow: bits of what is too large. kFirstNan: smallest magnitude that is a NaN. kInfinity: 0 where there is none.
struct Float16 {
  static constexpr int kSignificand = 10, kBias = 15, kSignShift = 15;
  static constexpr uint32 kOverflow = 0x7c00, kInfinity = 0x7c00, kFirstNan = 0x7c01, kNan = 0x7e00;
};
struct Bfloat16 {
  static constexpr int kSignificand = 7, kBias = 127, kSignShift = 15;
  static constexpr uint32 kOverflow = 0x7f80, kInfinity = 0x7f80, kFirstNan = 0x7f81, kNan = 0x7fc0;
};
struct Float8E4m3fn {
  static constexpr int kSignificand = 3, kBias = 7, kSignShift = 7;
  static constexpr uint32 kOverflow = 0x7e, kInfinity = 0, kFirstNan = 0x7f, kNan = 0x7f;
};
struct Float8E5m2 {
  static constexpr int kSignificand = 2, kBias = 15, kSignShift = 7;
  static constexpr uint32 kOverflow = 0x7c, kInfinity = 0x7c, kFirstNan = 0x7d, kNan = 0x7f;
};

template <class F>
__device__ __forceinline__ float widen(uint32 bits) {
  const uint32 magnitude = bits & ((1u << F::kSignShift) - 1);
  const uint32 sign = bits >> F::kSignShift << 31;
  if (F::kBias == 127) return __uint_as_float(bits << 16);  // bfloat16 is the upper half of a float32
  // The fields in float32's places are the number times 2^(kBias - 127), subnormals included; scaling back is exact.
  const float scale = __uint_as_float(static_cast<uint32>(127 + (127 - F::kBias)) << 23);
  uint32 result = __float_as_uint(__uint_as_float(magnitude << (23 - F::kSignificand)) * scale);
  if (F::kInfinity != 0 && magnitude == F::kInfinity) result = 0x7f800000;
  if (magnitude >= F::kFirstNan) result = 0x7fc00000;
  return __uint_as_float(sign | result);
}

template <class F>
__device__ __forceinline__ uint32 narrow(float x) {
  constexpr int kShift = 23 - F::kSignificand;
  constexpr uint32 kMinNormal = static_cast<uint32>(128 - F::kBias) << 23;
  // Adding 2^k whose unit in the last place is the subnormals' unit makes the addition round to that unit.
  constexpr uint32 kMagic = static_cast<uint32>(127 - F::kBias + kShift + 1) << 23;
  const uint32 bits = __float_as_uint(x);
  const uint32 magnitude = bits & 0x7fffffff;
  const uint32 subnormal = __float_as_uint(__fadd_rn(__uint_as_float(magnitude), __uint_as_float(kMagic))) - kMagic;
  const uint32 odd = (magnitude >> kShift) & 1;
  const uint32 normal =
      (magnitude - (static_cast<uint32>(127 - F::kBias) << 23) + ((1u << (kShift - 1)) - 1) + odd) >> kShift;
  uint32 result = magnitude < kMinNormal ? subnormal : normal;
  if (result > F::kOverflow) result = F::kOverflow;
  if (magnitude > 0x7f800000) result = F::kNan;
  return result | bits >> 31 << F::kSignShift;
}

__device__ __forceinline__ bool is_float_dtype(int dtype) { return dtype <= DTYPE_FLOAT8_E5M2; }
__device__ __forceinline__ int item_size(int dtype) {
  return dtype == DTYPE_INT64 ? 8
         : dtype == DTYPE_FLOAT32 || dtype == DTYPE_INT32 ? 4
         : dtype == DTYPE_FLOAT16 || dtype == DTYPE_BFLOAT16 ? 2 : 1;
}

template <class T>
__device__ __forceinline__ T element(const void* source, int64 at) { return static_cast<const T*>(source)[at]; }

// Of a float dtype.
__device__ __forceinline__ float load_float(int dtype, const void* source, int64 at) {
  switch (dtype) {
    case DTYPE_FLOAT32: return element<float>(source, at);
    case DTYPE_FLOAT16: return widen<Float16>(element<unsigned short>(source, at));
    case DTYPE_BFLOAT16: return widen<Bfloat16>(element<unsigned short>(source, at));
    case DTYPE_FLOAT8_E4M3FN: return widen<Float8E4m3fn>(element<unsigned char>(source, at));
    default: return widen<Float8E5m2>(element<unsigned char>(source, at));
  }
}
// Of an integer dtype or bool.
__device__ __forceinline__ int64 load_integer(int dtype, const void* source, int64 at) {
  switch (dtype) {
    case DTYPE_INT32: return element<int>(source, at);
    case DTYPE_INT64: return element<int64>(source, at);
    case DTYPE_BOOL: return element<unsigned char>(source, at) != 0;
    default: return element<unsigned char>(source, at);
  }
}

// The conversions saturate and turn NaN into 0, but for 8 bits, which are clamped here.
__device__ __forceinline__ unsigned char saturate_uint8(float x) {
  return static_cast<unsigned char>(min(max(__float2int_rz(x), 0), 255));
}
__device__ __forceinline__ int64 saturate_int64(float x) { return x == x ? __float2ll_rz(x) : 0; }

// To any dtype.
__device__ __forceinline__ void store_float(int dtype, void* target, int64 at, float x) {
  switch (dtype) {
    case DTYPE_FLOAT32: static_cast<float*>(target)[at] = x; break;
    case DTYPE_FLOAT16: static_cast<unsigned short*>(target)[at] = narrow<Float16>(x); break;
    case DTYPE_BFLOAT16: static_cast<unsigned short*>(target)[at] = narrow<Bfloat16>(x); break;
    case DTYPE_FLOAT8_E4M3FN: static_cast<unsigned char*>(target)[at] = narrow<Float8E4m3fn>(x); break;
    case DTYPE_FLOAT8_E5M2: static_cast<unsigned char*>(target)[at] = narrow<Float8E5m2>(x); break;
    case DTYPE_INT32: static_cast<int*>(target)[at] = __float2int_rz(x); break;
    case DTYPE_INT64: static_cast<int64*>(target)[at] = saturate_int64(x); break;
    case DTYPE_UINT8: static_cast<unsigned char*>(target)[at] = saturate_uint8(x); break;
    case DTYPE_BOOL: static_cast<unsigned char*>(target)[at] = x != 0.0f; break;
  }
}
__device__ __forceinline__ void store_integer(int dtype, void* target, int64 at, int64 x) {
  switch (dtype) {
    case DTYPE_INT32: static_cast<int*>(target)[at] = static_cast<int>(x); break;
    case DTYPE_INT64: static_cast<int64*>(target)[at] = x; break;
    case DTYPE_UINT8: static_cast<unsigned char*>(target)[at] = static_cast<unsigned char>(x); break;
    case DTYPE_BOOL: static_cast<unsigned char*>(target)[at] = x != 0; break;
    default: store_float(dtype, target, at, __ll2float_rn(x));
  }
}

// Eight elements of a float dtype at once: the address has to be what is_aligned8 says.
constexpr int kGroup = 8;

__device__ __forceinline__ bool is_aligned8(int dtype, const void* address) {
  return (reinterpret_cast<uint64>(address) & (item_size(dtype) == 1 ? 7 : 15)) == 0;
}

template <class F>
__device__ __forceinline__ void widen8(uint4 bits, float (&x)[kGroup]) {
  const uint32 words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    x[2 * i] = widen<F>(words[i] & 0xffff);
    x[2 * i + 1] = widen<F>(words[i] >> 16);
  }
}
template <class F>
__device__ __forceinline__ void widen8(uint2 bits, float (&x)[kGroup]) {
  const uint32 words[2] = {bits.x, bits.y};
#pragma unroll
  for (int i = 0; i < kGroup; ++i) x[i] = widen<F>(words[i / 4] >> (i % 4 * 8) & 0xff);
}

// Two elements by the conversion instructions, which give the same bits but where a NaN has a sign, or E5M2 overflows.
template <class F>
__device__ __forceinline__ uint32 narrow_pair_to_16(float low, float high) {
  if (low != low || high != high) return narrow<F>(low) | narrow<F>(high) << 16;
  uint32 pair;
  if constexpr (F::kSignificand == 10) {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  } else {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  }
  return pair;
}
template <class F>
__device__ __forceinline__ uint32 narrow_pair_to_8(float low, float high) {
#if __CUDA_ARCH__ >= 890
  // From here on E5M2 rounds to infinity; E4M3 saturates, as the instruction does.
  constexpr float kFirstInfinite = 61440.0f;
  const auto plain = [](float x) { return F::kInfinity == 0 ? x == x : fabsf(x) < kFirstInfinite; };
  if (plain(low) && plain(high)) {
    unsigned short pair;
    if constexpr (F::kInfinity == 0) {
      asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
    } else {
      asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
    }
    return pair;
  }
#endif
  return narrow<F>(low) | narrow<F>(high) << 8;
}

template <class F>
__device__ __forceinline__ uint4 narrow8_to_16(const float (&x)[kGroup]) {
  return make_uint4(narrow_pair_to_16<F>(x[0], x[1]), narrow_pair_to_16<F>(x[2], x[3]), narrow_pair_to_16<F>(x[4], x[5]),
                    narrow_pair_to_16<F>(x[6], x[7]));
}
template <class F>
__device__ __forceinline__ uint2 narrow8_to_8(const float (&x)[kGroup]) {
  return make_uint2(narrow_pair_to_8<F>(x[0], x[1]) | narrow_pair_to_8<F>(x[2], x[3]) << 16,
                    narrow_pair_to_8<F>(x[4], x[5]) | narrow_pair_to_8<F>(x[6], x[7]) << 16);
}

__device__ __forceinline__ void load8(int dtype, const void* source, int64 at, float (&x)[kGroup]) {
  const char* from = static_cast<const char*>(source) + at * item_size(dtype);
  switch (dtype) {
    case DTYPE_FLOAT32: {
      const float4 low = reinterpret_cast<const float4*>(from)[0], high = reinterpret_cast<const float4*>(from)[1];
      x[0] = low.x, x[1] = low.y, x[2] = low.z, x[3] = low.w;
      x[4] = high.x, x[5] = high.y, x[6] = high.z, x[7] = high.w;
      break;
    }
    case DTYPE_FLOAT16: widen8<Float16>(*reinterpret_cast<const uint4*>(from), x); break;
    case DTYPE_BFLOAT16: widen8<Bfloat16>(*reinterpret_cast<const uint4*>(from), x); break;
    case DTYPE_FLOAT8_E4M3FN: widen8<Float8E4m3fn>(*reinterpret_cast<const uint2*>(from), x); break;
    default: widen8<Float8E5m2>(*reinterpret_cast<const uint2*>(from), x);
  }
}
__device__ __forceinline__ void store8(int dtype, void* target, int64 at, const float (&x)[kGroup]) {
  char* to = static_cast<char*>(target) + at * item_size(dtype);
  switch (dtype) {
    case DTYPE_FLOAT32:
      reinterpret_cast<float4*>(to)[0] = make_float4(x[0], x[1], x[2], x[3]);
      reinterpret_cast<float4*>(to)[1] = make_float4(x[4], x[5], x[6], x[7]);
      break;
    case DTYPE_FLOAT16: *reinterpret_cast<uint4*>(to) = narrow8_to_16<Float16>(x); break;
    case DTYPE_BFLOAT16: *reinterpret_cast<uint4*>(to) = narrow8_to_16<Bfloat16>(x); break;
    case DTYPE_FLOAT8_E4M3FN: *reinterpret_cast<uint2*>(to) = narrow8_to_8<Float8E4m3fn>(x); break;
    default: *reinterpret_cast<uint2*>(to) = narrow8_to_8<Float8E5m2>(x);
  }
}

}  // namespace warpbook
