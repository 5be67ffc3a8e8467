// multiply_add: bf16 matrix products out of registers, as many as the tensor cores take from mma.sync: the roof of kernels
// that use that instruction. (Hopper's wgmma reaches more.) The operands are random, since zeros would draw less power.
#include "roof_params.h"

namespace {

// Two bf16 of magnitude 1 to 2 and either sign, from 32 random bits.
__device__ unsigned int random_pair(unsigned int bits) {
  bits ^= bits >> 16;
  bits *= 0x7feb352du;
  bits ^= bits >> 15;
  bits *= 0x846ca68bu;
  bits ^= bits >> 16;
  return (bits & 0x807f807fu) | 0x3f803f80u;
}

}  // namespace

extern "C" __global__ void __launch_bounds__(256) multiply_add(const __grid_constant__ warpbook::MultiplyAddParams params) {
  using namespace warpbook;
  const unsigned int seed = (blockIdx.x * blockDim.x + threadIdx.x) * 64;
  unsigned int a[4], b[ROOF_PRODUCTS_PER_ITERATION][2];
  float c[ROOF_PRODUCTS_PER_ITERATION][4];
#pragma unroll
  for (int i = 0; i < 4; ++i) a[i] = random_pair(seed + i);
#pragma unroll
  for (int p = 0; p < ROOF_PRODUCTS_PER_ITERATION; ++p) {
    b[p][0] = random_pair(seed + 4 + 2 * p);
    b[p][1] = random_pair(seed + 5 + 2 * p);
#pragma unroll
    for (int i = 0; i < 4; ++i) c[p][i] = 0.0f;
  }
  for (long long n = 0; n < params.num_iterations; ++n) {
#pragma unroll
    for (int p = 0; p < ROOF_PRODUCTS_PER_ITERATION; ++p) {
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
          : "+f"(c[p][0]), "+f"(c[p][1]), "+f"(c[p][2]), "+f"(c[p][3])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[p][0]), "r"(b[p][1]));
    }
  }
  float sum = 0.0f;
#pragma unroll
  for (int p = 0; p < ROOF_PRODUCTS_PER_ITERATION; ++p) sum += c[p][0] + c[p][1] + c[p][2] + c[p][3];
  if (sum == 123456.789f) *static_cast<float*>(params.sink) = sum;
}
