// Offsets of element i, counted in row-major order of the given sizes, in operands with strides. Sizes beyond num_dims
// are 1 and strides 0, so that the eight fields of a parameter block can always be read.
#pragma once

#include "tensor/elements.cuh"
#include "tensor_params.h"

namespace warpbook {

struct Offsets {
  int64 first;
  int64 second;
};

// `sizes`, `first` and `second`: eight consecutive fields of a parameter block.
__device__ __forceinline__ Offsets offsets_of(
    int64 index, int num_dims, const int64* sizes, const int64* first, const int64* second) {
  Offsets offsets{0, 0};
  for (int d = num_dims - 1; d > 0; --d) {
    // Most tensors' indices fit 32 bits, where division is several times faster.
    const int64 size = sizes[d];
    const int64 rest = (index | size) >> 32 == 0 ? static_cast<uint32>(index) / static_cast<uint32>(size) : index / size;
    const int64 at = index - rest * size;
    offsets.first += at * first[d];
    offsets.second += at * second[d];
    index = rest;
  }
  offsets.first += index * first[0];
  offsets.second += index * second[0];
  return offsets;
}

}  // namespace warpbook
