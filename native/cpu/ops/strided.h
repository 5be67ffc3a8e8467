// Walks a range of a row-major index space and hands out runs along the innermost dimension, with the offset of each
// operand. Knows sizes and strides, not elements.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "tensor_params.h"

namespace warpbook::cpu {

using Dims = std::array<int64_t, TENSOR_MAX_DIMS>;

// The eight consecutive i64 fields of a parameter block that start at `offset`.
inline Dims dims_at(const void* params, size_t offset) {
  Dims dims;
  std::memcpy(dims.data(), static_cast<const char*>(params) + offset, sizeof dims);
  return dims;
}

// Calls body(offsets, length) for runs that together are elements [begin, end) of the space, in order. offsets[k] is
// the element offset of the run's first element in operand k, whose strides are strides[k]. No run is longer than
// max_run or crosses the end of a row.
template <size_t kOperands, class Body>
void for_each_run(int num_dims, const Dims& sizes, const std::array<Dims, kOperands>& strides, int64_t begin,
                  int64_t end, int64_t max_run, const Body& body) {
  Dims index{};
  int64_t rest = begin;
  for (int d = num_dims - 1; d >= 0; --d) {
    index[d] = rest % sizes[d];
    rest /= sizes[d];
  }
  const int inner = num_dims - 1;
  while (begin < end) {
    std::array<int64_t, kOperands> offsets{};
    for (size_t k = 0; k < kOperands; ++k) {
      for (int d = 0; d < num_dims; ++d) offsets[k] += index[d] * strides[k][d];
    }
    const int64_t length = std::min({end - begin, sizes[inner] - index[inner], max_run});
    body(offsets, length);
    begin += length;
    index[inner] += length;
    for (int d = inner; d > 0 && index[d] == sizes[d]; --d) {
      index[d] = 0;
      ++index[d - 1];
    }
  }
}

}  // namespace warpbook::cpu
