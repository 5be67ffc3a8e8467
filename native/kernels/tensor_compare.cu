// tensor_compare: what allClose and relativeError need to know, summed in float64. Each thread sums its elements in order
// and the CTA adds the threads' sums in a fixed tree, so the result does not depend on timing.
#include "tensor/strided.cuh"

namespace warpbook {

constexpr int kThreads = 256;

struct Sums {
  double field[TENSOR_COMPARE_FIELDS];

  __device__ __forceinline__ void add_finite(double difference, double reference, double rtol, double atol) {
    field[COMPARE_SUM_SQUARED_DIFFERENCE] += difference * difference;
    field[COMPARE_SUM_SQUARED_REFERENCE] += reference * reference;
    field[COMPARE_MAX_ABS_DIFFERENCE] = fmax(field[COMPARE_MAX_ABS_DIFFERENCE], difference);
    if (difference > __dadd_rn(atol, __dmul_rn(rtol, fabs(reference)))) field[COMPARE_NUM_MISMATCHES] += 1;
  }
  __device__ __forceinline__ void add(double value, double reference, double rtol, double atol) {
    if (isfinite(value) && isfinite(reference)) {
      add_finite(fabs(value - reference), reference, rtol, atol);
    } else if (value != value || reference != reference) {
      field[COMPARE_NUM_NAN] += 1;
      field[COMPARE_NUM_MISMATCHES] += 1;
    } else if (value != reference) {
      field[COMPARE_NUM_INFINITY_MISMATCHES] += 1;
      field[COMPARE_NUM_MISMATCHES] += 1;
    }
  }
  __device__ __forceinline__ void merge(const Sums& other) {
#pragma unroll
    for (int f = 0; f < TENSOR_COMPARE_FIELDS; ++f) {
      field[f] = f == COMPARE_MAX_ABS_DIFFERENCE ? fmax(field[f], other.field[f]) : field[f] + other.field[f];
    }
  }
};

__device__ __forceinline__ double load_double(int dtype, const void* source, int64 at) {
  return is_float_dtype(dtype) ? static_cast<double>(load_float(dtype, source, at))
                               : static_cast<double>(load_integer(dtype, source, at));
}

}  // namespace warpbook

extern "C" __global__ void __launch_bounds__(warpbook::kThreads)
tensor_compare(const __grid_constant__ warpbook::TensorCompareParams params) {
  using namespace warpbook;
  __shared__ Sums shared[kThreads];
  const double rtol = __longlong_as_double(params.rtol);
  const double atol = __longlong_as_double(params.atol);
  const bool integers = !is_float_dtype(params.a_dtype) && !is_float_dtype(params.b_dtype);
  Sums sums{};
  const int64 begin = static_cast<int64>(blockIdx.x) * params.elements_per_cta;
  const int64 end = min(begin + params.elements_per_cta, static_cast<int64>(params.num_elements));
  for (int64 i = begin + threadIdx.x; i < end; i += kThreads) {
    const Offsets at = offsets_of(i, params.num_dims, &params.size_0, &params.a_stride_0, &params.b_stride_0);
    if (integers) {
      // Beyond 2^53 the float64 values of different integers may be equal.
      const int64 a = load_integer(params.a_dtype, params.a, at.first);
      const int64 b = load_integer(params.b_dtype, params.b, at.second);
      const uint64 distance = a > b ? static_cast<uint64>(a) - static_cast<uint64>(b) : static_cast<uint64>(b) - static_cast<uint64>(a);
      sums.add_finite(static_cast<double>(distance), static_cast<double>(b), rtol, atol);
    } else {
      sums.add(load_double(params.a_dtype, params.a, at.first), load_double(params.b_dtype, params.b, at.second), rtol, atol);
    }
  }
  shared[threadIdx.x] = sums;
  for (int half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) shared[threadIdx.x].merge(shared[threadIdx.x + half]);
  }
  __syncthreads();
  if (threadIdx.x < TENSOR_COMPARE_FIELDS) {
    static_cast<double*>(params.partials)[blockIdx.x * TENSOR_COMPARE_FIELDS + threadIdx.x] = shared[0].field[threadIdx.x];
  }
}
