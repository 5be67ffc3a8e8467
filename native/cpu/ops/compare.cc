// tensor_compare: what allClose and relativeError need to know, summed in float64. Each CTA sums its share in order and
// writes one row; the caller adds the rows in order, so the result does not depend on the number of threads.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "cpu/ops/elements.h"
#include "cpu/ops/ops.h"
#include "cpu/ops/strided.h"
#include "tensor_params.h"

namespace warpbook::cpu {

namespace {

struct Tolerance {
  double relative;
  double absolute;
};

struct Sums {
  double field[TENSOR_COMPARE_FIELDS] = {};

  void add_finite(double difference, double reference, const Tolerance& tolerance) {
    field[COMPARE_SUM_SQUARED_DIFFERENCE] += difference * difference;
    field[COMPARE_SUM_SQUARED_REFERENCE] += reference * reference;
    field[COMPARE_MAX_ABS_DIFFERENCE] = std::max(field[COMPARE_MAX_ABS_DIFFERENCE], difference);
    if (difference > tolerance.absolute + tolerance.relative * std::fabs(reference)) ++field[COMPARE_NUM_MISMATCHES];
  }

  void add(double value, double reference, const Tolerance& tolerance) {
    if (std::isfinite(value) && std::isfinite(reference)) {
      add_finite(std::fabs(value - reference), reference, tolerance);
    } else if (std::isnan(value) || std::isnan(reference)) {
      ++field[COMPARE_NUM_NAN];
      ++field[COMPARE_NUM_MISMATCHES];
    } else if (value != reference) {
      ++field[COMPARE_NUM_INFINITY_MISMATCHES];
      ++field[COMPARE_NUM_MISMATCHES];
    }
  }
};

// Of integers beyond 2^53 too, where the float64 values may be equal.
double exact_distance(int64_t a, int64_t b) {
  const uint64_t distance =
      a > b ? static_cast<uint64_t>(a) - static_cast<uint64_t>(b) : static_cast<uint64_t>(b) - static_cast<uint64_t>(a);
  return static_cast<double>(distance);
}

double double_of(long long bits) {
  double x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

void load_doubles(int dtype, const char* source, int64_t stride, int64_t count, double* values) {
  if (is_float_dtype(dtype)) {
    float floats[kMaxRun];
    load_floats(dtype, source, stride, count, floats);
    for (int64_t i = 0; i < count; ++i) values[i] = static_cast<double>(floats[i]);
  } else {
    int64_t integers[kMaxRun];
    load_integers(dtype, source, stride, count, integers);
    for (int64_t i = 0; i < count; ++i) values[i] = static_cast<double>(integers[i]);
  }
}

void run(const Launch& launch, const void* raw) {
  const auto& params = *static_cast<const TensorCompareParams*>(raw);
  const Dims sizes = dims_at(raw, offsetof(TensorCompareParams, size_0));
  const std::array<Dims, 2> strides{dims_at(raw, offsetof(TensorCompareParams, a_stride_0)),
                                    dims_at(raw, offsetof(TensorCompareParams, b_stride_0))};
  const int64_t a_size = static_cast<int64_t>(item_size(params.a_dtype));
  const int64_t b_size = static_cast<int64_t>(item_size(params.b_dtype));
  const bool integers = !is_float_dtype(params.a_dtype) && !is_float_dtype(params.b_dtype);
  const Tolerance tolerance{double_of(params.rtol), double_of(params.atol)};
  const int inner = params.num_dims - 1;
  launch.parallel.run(launch.grid[0], [&](int64_t cta, int) {
    Sums sums;
    const auto add_run = [&](const std::array<int64_t, 2>& offsets, int64_t count) {
      const char* const a = static_cast<const char*>(params.a) + offsets[0] * a_size;
      const char* const b = static_cast<const char*>(params.b) + offsets[1] * b_size;
      if (integers) {
        int64_t values[kMaxRun], references[kMaxRun];
        load_integers(params.a_dtype, a, strides[0][inner], count, values);
        load_integers(params.b_dtype, b, strides[1][inner], count, references);
        for (int64_t i = 0; i < count; ++i) {
          sums.add_finite(exact_distance(values[i], references[i]), static_cast<double>(references[i]), tolerance);
        }
      } else {
        double values[kMaxRun], references[kMaxRun];
        load_doubles(params.a_dtype, a, strides[0][inner], count, values);
        load_doubles(params.b_dtype, b, strides[1][inner], count, references);
        for (int64_t i = 0; i < count; ++i) sums.add(values[i], references[i], tolerance);
      }
    };
    const int64_t begin = cta * params.elements_per_cta;
    const int64_t end = std::min<int64_t>(begin + params.elements_per_cta, params.num_elements);
    for_each_run<2>(params.num_dims, sizes, strides, begin, end, kMaxRun, add_run);
    std::copy_n(sums.field, TENSOR_COMPARE_FIELDS, static_cast<double*>(params.partials) + cta * TENSOR_COMPARE_FIELDS);
  });
}

}  // namespace

const Program tensor_compare_program{"tensor_compare", sizeof(TensorCompareParams), run};

}  // namespace warpbook::cpu
