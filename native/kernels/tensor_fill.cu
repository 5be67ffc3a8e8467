// tensor_fill: one value into strided elements, or added to them. Knows elements as unsigned integers of their size.
#include "pdl.cuh"
#include "tensor/strided.cuh"

namespace warpbook {

template <class Element>
__device__ __forceinline__ void fill_at(const TensorFillParams& params, int64 at) {
  Element& element = static_cast<Element*>(params.dst)[at];
  const Element value = static_cast<Element>(params.value);
  element = params.add != 0 ? static_cast<Element>(element + value) : value;
}

}  // namespace warpbook

extern "C" __global__ void __launch_bounds__(256) tensor_fill(const __grid_constant__ warpbook::TensorFillParams params) {
  using namespace warpbook;
  wait_for_predecessor();
  const int64 begin = static_cast<int64>(blockIdx.x) * TENSOR_ELEMENTS_PER_CTA;
  const int64 end = min(begin + TENSOR_ELEMENTS_PER_CTA, static_cast<int64>(params.num_elements));
  for (int64 i = begin + threadIdx.x; i < end; i += blockDim.x) {
    const int64 at = offsets_of(i, params.num_dims, &params.size_0, &params.stride_0, &params.stride_0).first;
    switch (params.item_size) {
      case 1: fill_at<unsigned char>(params, at); break;
      case 2: fill_at<unsigned short>(params, at); break;
      case 4: fill_at<uint32>(params, at); break;
      default: fill_at<uint64>(params, at);
    }
  }
}
