// tensor_random: element i takes word i % 4 of the Philox block whose counter is the base counter plus i / 4. The same
// bits as on the CPU device: built with --fmad=false, see philox.h.
#include "philox.h"
#include "tensor/elements.cuh"
#include "tensor_params.h"

namespace warpbook {

__device__ __forceinline__ PhiloxBlock block_at(const TensorRandomParams& params, int64 index) {
  const uint64 low = static_cast<uint64>(params.counter_lo) + static_cast<uint64>(index);
  const uint64 carry = low < static_cast<uint64>(index) ? 1 : 0;
  const uint64 high = static_cast<uint64>(params.counter_hi) + carry;
  return philox4x32_10({{static_cast<uint32>(low), static_cast<uint32>(low >> 32), static_cast<uint32>(high),
                         static_cast<uint32>(high >> 32)}},
                       static_cast<uint64>(params.key));
}

// Float32 draws from one block, each rounded after every operation.
__device__ __forceinline__ void draw(const TensorRandomParams& params, const PhiloxBlock& block, float (&values)[4]) {
  if (params.distribution == RANDOM_UNIFORM) {
#pragma unroll
    for (int lane = 0; lane < 4; ++lane) {
      const float scaled = __fmul_rn(unit_float(block.word[lane]), params.scale);
      // Rounding may reach the open end of the interval.
      values[lane] = fminf(__fadd_rn(params.offset, scaled), params.ceiling);
    }
    return;
  }
  normal_pair(block.word[0], block.word[1], values[0], values[1]);
  normal_pair(block.word[2], block.word[3], values[2], values[3]);
#pragma unroll
  for (int lane = 0; lane < 4; ++lane) values[lane] = __fadd_rn(params.offset, __fmul_rn(values[lane], params.scale));
}

}  // namespace warpbook

extern "C" __global__ void __launch_bounds__(256) tensor_random(const __grid_constant__ warpbook::TensorRandomParams params) {
  using namespace warpbook;
  static_assert(TENSOR_ELEMENTS_PER_CTA % 4 == 0, "a CTA starts with a whole block");
  const int64 begin = static_cast<int64>(blockIdx.x) * TENSOR_ELEMENTS_PER_CTA;
  const int64 end = min(begin + TENSOR_ELEMENTS_PER_CTA, static_cast<int64>(params.num_elements));
  for (int64 first = begin + 4 * threadIdx.x; first < end; first += 4 * blockDim.x) {
    const PhiloxBlock block = block_at(params, first / 4);
    float values[4];
    if (params.distribution != RANDOM_BITS) draw(params, block, values);
#pragma unroll
    for (int lane = 0; lane < 4; ++lane) {
      if (first + lane >= end) break;
      if (params.distribution == RANDOM_BITS) {
        store_integer(params.dtype, params.dst, first + lane, block.word[lane]);
      } else {
        store_float(params.dtype, params.dst, first + lane, values[lane]);
      }
    }
  }
}
