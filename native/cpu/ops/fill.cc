// tensor_fill: one value into strided elements, or added to them. Knows elements as unsigned integers of their size.
#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>

#include "cpu/ops/ops.h"
#include "cpu/ops/strided.h"
#include "tensor_params.h"

namespace warpbook::cpu {

namespace {

template <class Element>
void fill_as(const Launch& launch, const TensorFillParams& params) {
  const Dims sizes = dims_at(&params, offsetof(TensorFillParams, size_0));
  const std::array<Dims, 1> strides{dims_at(&params, offsetof(TensorFillParams, stride_0))};
  const int64_t stride = strides[0][params.num_dims - 1];
  const Element value = static_cast<Element>(params.value);
  launch.parallel.run(launch.grid[0], [&](int64_t cta, int) {
    const int64_t begin = cta * TENSOR_ELEMENTS_PER_CTA;
    const int64_t end = std::min<int64_t>(begin + TENSOR_ELEMENTS_PER_CTA, params.num_elements);
    for_each_run<1>(params.num_dims, sizes, strides, begin, end, TENSOR_ELEMENTS_PER_CTA,
                    [&](const std::array<int64_t, 1>& offsets, int64_t length) {
                      Element* const target = static_cast<Element*>(params.dst) + offsets[0];
                      for (int64_t i = 0; i < length; ++i) {
                        Element& element = target[i * stride];
                        element = params.add != 0 ? static_cast<Element>(element + value) : value;
                      }
                    });
  });
}

void run(const Launch& launch, const void* raw) {
  const auto& params = *static_cast<const TensorFillParams*>(raw);
  switch (params.item_size) {
    case 1: return fill_as<uint8_t>(launch, params);
    case 2: return fill_as<uint16_t>(launch, params);
    case 4: return fill_as<uint32_t>(launch, params);
    case 8: return fill_as<uint64_t>(launch, params);
    default:
      throw std::invalid_argument("tensor_fill: item_size is " + std::to_string(params.item_size) + "; wanted 1, 2, 4 or 8");
  }
}

}  // namespace

const Program tensor_fill_program{"tensor_fill", sizeof(TensorFillParams), run};

}  // namespace warpbook::cpu
