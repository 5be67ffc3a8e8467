// tensor_arange: start + i * step, in int64 for integers and in float64 for floats (then rounded to float32, then to the
// dtype). Multiply and add are not fused, as on the CPU device.
#include "tensor/elements.cuh"
#include "tensor_params.h"

extern "C" __global__ void __launch_bounds__(256) tensor_arange(const __grid_constant__ warpbook::TensorArangeParams params) {
  using namespace warpbook;
  const int64 begin = static_cast<int64>(blockIdx.x) * TENSOR_ELEMENTS_PER_CTA;
  const int64 end = min(begin + TENSOR_ELEMENTS_PER_CTA, static_cast<int64>(params.num_elements));
  for (int64 i = begin + threadIdx.x; i < end; i += blockDim.x) {
    if (is_float_dtype(params.dtype)) {
      const double start = __longlong_as_double(params.start);
      const double x = __dadd_rn(start, __dmul_rn(static_cast<double>(i), __longlong_as_double(params.step)));
      store_float(params.dtype, params.dst, i, __double2float_rn(x));
    } else {
      store_integer(params.dtype, params.dst, i, params.start + i * params.step);
    }
  }
}
