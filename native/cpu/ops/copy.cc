// tensor_copy: strided copy with conversion. Equal dtypes are copied bit by bit, NaN payloads included.
#include <cstddef>
#include <limits>

#include "cpu/ops/elements.h"
#include "cpu/ops/ops.h"
#include "cpu/ops/strided.h"
#include "tensor_params.h"

namespace warpbook::cpu {

namespace {

template <class Element>
void copy_strided(char* target, int64_t target_stride, const char* source, int64_t source_stride, int64_t count) {
  Element* const to = reinterpret_cast<Element*>(target);
  const Element* const from = reinterpret_cast<const Element*>(source);
  for (int64_t i = 0; i < count; ++i) to[i * target_stride] = from[i * source_stride];
}

void copy_same(size_t size, char* target, int64_t target_stride, const char* source, int64_t source_stride,
               int64_t count) {
  if (target_stride == 1 && source_stride == 1) {
    std::memcpy(target, source, static_cast<size_t>(count) * size);
    return;
  }
  switch (size) {
    case 1: return copy_strided<uint8_t>(target, target_stride, source, source_stride, count);
    case 2: return copy_strided<uint16_t>(target, target_stride, source, source_stride, count);
    case 4: return copy_strided<uint32_t>(target, target_stride, source, source_stride, count);
    default: return copy_strided<uint64_t>(target, target_stride, source, source_stride, count);
  }
}

// `count` is at most kMaxRun.
void copy_converted(const TensorCopyParams& params, char* target, int64_t target_stride, const char* source,
                    int64_t source_stride, int64_t count) {
  if (is_float_dtype(params.src_dtype)) {
    float values[kMaxRun];
    load_floats(params.src_dtype, source, source_stride, count, values);
    store_floats(params.dst_dtype, values, count, target, target_stride);
  } else {
    int64_t values[kMaxRun];
    load_integers(params.src_dtype, source, source_stride, count, values);
    store_integers(params.dst_dtype, values, count, target, target_stride);
  }
}

void run(const Launch& launch, const void* raw) {
  const auto& params = *static_cast<const TensorCopyParams*>(raw);
  const Dims sizes = dims_at(raw, offsetof(TensorCopyParams, size_0));
  const std::array<Dims, 2> strides{dims_at(raw, offsetof(TensorCopyParams, dst_stride_0)),
                                    dims_at(raw, offsetof(TensorCopyParams, src_stride_0))};
  const size_t target_size = item_size(params.dst_dtype);
  const size_t source_size = item_size(params.src_dtype);
  const bool same = params.dst_dtype == params.src_dtype;
  const int inner = params.num_dims - 1;
  launch.parallel.run(launch.grid[0], [&](int64_t cta, int) {
    const int64_t begin = cta * TENSOR_ELEMENTS_PER_CTA;
    const int64_t end = std::min<int64_t>(begin + TENSOR_ELEMENTS_PER_CTA, params.num_elements);
    const int64_t max_run = same ? std::numeric_limits<int64_t>::max() : kMaxRun;
    const auto copy_run = [&](const std::array<int64_t, 2>& offsets, int64_t length) {
      char* const target = static_cast<char*>(params.dst) + offsets[0] * static_cast<int64_t>(target_size);
      const char* const source = static_cast<const char*>(params.src) + offsets[1] * static_cast<int64_t>(source_size);
      if (same) {
        copy_same(target_size, target, strides[0][inner], source, strides[1][inner], length);
      } else {
        copy_converted(params, target, strides[0][inner], source, strides[1][inner], length);
      }
    };
    for_each_run<2>(params.num_dims, sizes, strides, begin, end, max_run, copy_run);
  });
}

}  // namespace

const Program tensor_copy_program{"tensor_copy", sizeof(TensorCopyParams), run};

}  // namespace warpbook::cpu
