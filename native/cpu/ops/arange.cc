// tensor_arange: start + i * step, in int64 for integers and in float64 for floats (then rounded to float32, then to
// the dtype).
#include <algorithm>
#include <cstring>

#include "cpu/ops/elements.h"
#include "cpu/ops/ops.h"
#include "tensor_params.h"

namespace warpbook::cpu {

namespace {

double double_of(long long bits) {
  double x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

void run(const Launch& launch, const void* raw) {
  const auto& params = *static_cast<const TensorArangeParams*>(raw);
  const int64_t size = static_cast<int64_t>(item_size(params.dtype));
  const bool floats = is_float_dtype(params.dtype);
  launch.parallel.run(launch.grid[0], [&](int64_t cta, int) {
    const int64_t cta_end = std::min<int64_t>((cta + 1) * TENSOR_ELEMENTS_PER_CTA, params.num_elements);
    for (int64_t begin = cta * TENSOR_ELEMENTS_PER_CTA; begin < cta_end; begin += kMaxRun) {
      const int64_t count = std::min(kMaxRun, cta_end - begin);
      char* const target = static_cast<char*>(params.dst) + begin * size;
      if (floats) {
        const double start = double_of(params.start), step = double_of(params.step);
        float values[kMaxRun];
        for (int64_t i = 0; i < count; ++i) {
          values[i] = static_cast<float>(start + static_cast<double>(begin + i) * step);
        }
        store_floats(params.dtype, values, count, target, 1);
      } else {
        int64_t values[kMaxRun];
        for (int64_t i = 0; i < count; ++i) values[i] = params.start + (begin + i) * params.step;
        store_integers(params.dtype, values, count, target, 1);
      }
    }
  });
}

}  // namespace

const Program tensor_arange_program{"tensor_arange", sizeof(TensorArangeParams), run};

}  // namespace warpbook::cpu
