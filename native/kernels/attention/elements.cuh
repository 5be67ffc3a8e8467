// Element types: packing, widening, and the matrix instruction in the kernel's compute type.
#pragma once

#include "attention/config.cuh"
#include "attention/ptx.cuh"

namespace warpbook {

__device__ __forceinline__ uint32 pack_float16(float lo, float hi) {
  uint32 r;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
  return r;
}
__device__ __forceinline__ uint32 pack_bfloat16(float lo, float hi) {
  uint32 r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
  return r;
}
// Two weights as operands of the matrix instruction.
__device__ __forceinline__ uint32 pack_compute(float lo, float hi) {
  return kComputeFloat16 ? pack_float16(lo, hi) : pack_bfloat16(lo, hi);
}
// Two elements of the output.
__device__ __forceinline__ uint32 pack_output(float lo, float hi) {
  return kQueryDtype == DTYPE_FLOAT16 ? pack_float16(lo, hi) : pack_bfloat16(lo, hi);
}
// Two elements of a query as operands. bfloat16 beside float8 keys becomes float16: exact from 6e-5 to 65504.
__device__ __forceinline__ uint32 query_operand(uint32 x) {
  if constexpr (kQueryDtype == DTYPE_BFLOAT16 && kComputeFloat16) {
    return pack_float16(__uint_as_float(x << 16), __uint_as_float(x & 0xffff0000u));
  } else {
    return x;
  }
}

// The low two bytes, float8, as two float16.
__device__ __forceinline__ uint32 widen_low(uint32 x) {
  uint32 r;
  if constexpr (kKvDtype == DTYPE_FLOAT8_E5M2) {
    r = __byte_perm(x, 0, 0x1404);  // e5m2 is the high byte of a float16
  } else {
#if __CUDA_ARCH__ >= 890
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(r) : "h"(static_cast<unsigned short>(x)));
#else
    // The bits of e4m3, moved into place, are a float16 that is 2^8 too small; the largest magnitude stands for NaN.
    const uint32 bytes = __byte_perm(x, 0, 0x1404);
    const uint32 magnitude = (bytes & 0x7f007f00u) >> 1;
    uint32 nan;
    asm("mul.f16x2 %0, %1, %2;" : "=r"(r) : "r"(magnitude), "r"(0x5c005c00u));
    asm("set.eq.u32.f16x2 %0, %1, %2;" : "=r"(nan) : "r"(magnitude), "r"(0x3f803f80u));
    r |= nan | (bytes & 0x80008000u);
#endif
  }
  return r;
}
__device__ __forceinline__ uint32 widen_high(uint32 x) {
  if constexpr (kKvDtype == DTYPE_FLOAT8_E5M2) return __byte_perm(x, 0, 0x3424);
  return widen_low(x >> 16);
}

// c += a b, 16x8x16, operands in the compute type.
__device__ __forceinline__ void mma(float (&c)[4], uint32 a0, uint32 a1, uint32 a2, uint32 a3, uint32 b0, uint32 b1) {
  if constexpr (kComputeFloat16) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
  } else {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
  }
}

}  // namespace warpbook
