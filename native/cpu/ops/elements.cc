// Conversions between dtypes and the working types; see elements.h for the rules.
#include "cpu/ops/elements.h"

#include <array>
#include <limits>
#include <stdexcept>
#include <string>

#include "cpu/ops/float_formats.h"
#include "schedule_layout.h"

namespace warpbook::cpu {

namespace {

[[noreturn]] void unknown(int dtype) { throw std::invalid_argument("unknown dtype code " + std::to_string(dtype)); }

template <class Source, class Value, class Convert>
void load(const void* source, int64_t stride, int64_t count, Value* values, Convert convert) {
  const Source* const elements = static_cast<const Source*>(source);
  if (stride == 1) {
    for (int64_t i = 0; i < count; ++i) values[i] = convert(elements[i]);
  } else {
    for (int64_t i = 0; i < count; ++i) values[i] = convert(elements[i * stride]);
  }
}

template <class Target, class Value, class Convert>
void store(const Value* values, int64_t count, void* target, int64_t stride, Convert convert) {
  Target* const elements = static_cast<Target*>(target);
  if (stride == 1) {
    for (int64_t i = 0; i < count; ++i) elements[i] = convert(values[i]);
  } else {
    for (int64_t i = 0; i < count; ++i) elements[i * stride] = convert(values[i]);
  }
}

// An 8-bit type has few enough values for a table.
template <class F>
const std::array<float, 256>& table_of() {
  static const std::array<float, 256> table = [] {
    std::array<float, 256> values{};
    for (int bits = 0; bits < 256; ++bits) values[static_cast<size_t>(bits)] = widen<F>(static_cast<uint8_t>(bits));
    return values;
  }();
  return table;
}

template <class F>
void load_by_table(const void* source, int64_t stride, int64_t count, float* values) {
  const std::array<float, 256>& table = table_of<F>();
  load<uint8_t>(source, stride, count, values, [&table](uint8_t bits) { return table[bits]; });
}

template <class Integer>
Integer saturate(float x) {
  // The upper end is one less than a power of two, which float32 has exactly.
  constexpr float kEnd = static_cast<float>(std::numeric_limits<Integer>::max() / 2 + 1) * 2.0f;
  if (!(x == x)) return 0;
  if (x >= kEnd) return std::numeric_limits<Integer>::max();
  if (x <= static_cast<float>(std::numeric_limits<Integer>::min())) return std::numeric_limits<Integer>::min();
  return static_cast<Integer>(x);
}

}  // namespace

bool is_float_dtype(int dtype) { return dtype >= DTYPE_FLOAT32 && dtype <= DTYPE_FLOAT8_E5M2; }

size_t item_size(int dtype) {
  switch (dtype) {
    case DTYPE_INT64: return 8;
    case DTYPE_FLOAT32: case DTYPE_INT32: return 4;
    case DTYPE_FLOAT16: case DTYPE_BFLOAT16: return 2;
    case DTYPE_FLOAT8_E4M3FN: case DTYPE_FLOAT8_E5M2: case DTYPE_UINT8: case DTYPE_BOOL: return 1;
    default: unknown(dtype);
  }
}

void load_floats(int dtype, const void* source, int64_t stride, int64_t count, float* values) {
  switch (dtype) {
    case DTYPE_FLOAT32: return load<float>(source, stride, count, values, [](float x) { return x; });
    case DTYPE_FLOAT16: return load<uint16_t>(source, stride, count, values, widen<Float16>);
    case DTYPE_BFLOAT16: return load<uint16_t>(source, stride, count, values, widen<Bfloat16>);
    case DTYPE_FLOAT8_E4M3FN: return load_by_table<Float8E4m3fn>(source, stride, count, values);
    case DTYPE_FLOAT8_E5M2: return load_by_table<Float8E5m2>(source, stride, count, values);
    default: unknown(dtype);
  }
}

void load_integers(int dtype, const void* source, int64_t stride, int64_t count, int64_t* values) {
  switch (dtype) {
    case DTYPE_INT32: return load<int32_t>(source, stride, count, values, [](int32_t x) { return int64_t{x}; });
    case DTYPE_INT64: return load<int64_t>(source, stride, count, values, [](int64_t x) { return x; });
    case DTYPE_UINT8: return load<uint8_t>(source, stride, count, values, [](uint8_t x) { return int64_t{x}; });
    case DTYPE_BOOL: return load<uint8_t>(source, stride, count, values, [](uint8_t x) { return int64_t{x != 0}; });
    default: unknown(dtype);
  }
}

void store_floats(int dtype, const float* values, int64_t count, void* target, int64_t stride) {
  switch (dtype) {
    case DTYPE_FLOAT32: return store<float>(values, count, target, stride, [](float x) { return x; });
    case DTYPE_FLOAT16: return store<uint16_t>(values, count, target, stride, narrow<Float16>);
    case DTYPE_BFLOAT16: return store<uint16_t>(values, count, target, stride, narrow<Bfloat16>);
    case DTYPE_FLOAT8_E4M3FN: return store<uint8_t>(values, count, target, stride, narrow<Float8E4m3fn>);
    case DTYPE_FLOAT8_E5M2: return store<uint8_t>(values, count, target, stride, narrow<Float8E5m2>);
    case DTYPE_INT32: return store<int32_t>(values, count, target, stride, saturate<int32_t>);
    case DTYPE_INT64: return store<int64_t>(values, count, target, stride, saturate<int64_t>);
    case DTYPE_UINT8: return store<uint8_t>(values, count, target, stride, saturate<uint8_t>);
    case DTYPE_BOOL:
      return store<uint8_t>(values, count, target, stride, [](float x) { return static_cast<uint8_t>(x != 0.0f); });
    default: unknown(dtype);
  }
}

void store_integers(int dtype, const int64_t* values, int64_t count, void* target, int64_t stride) {
  if (is_float_dtype(dtype)) {
    float floats[kMaxRun];
    for (int64_t begin = 0; begin < count; begin += kMaxRun) {
      const int64_t length = count - begin < kMaxRun ? count - begin : kMaxRun;
      for (int64_t i = 0; i < length; ++i) floats[i] = static_cast<float>(values[begin + i]);
      char* const first = static_cast<char*>(target) + begin * stride * static_cast<int64_t>(item_size(dtype));
      store_floats(dtype, floats, length, first, stride);
    }
    return;
  }
  switch (dtype) {
    case DTYPE_INT32:
      return store<int32_t>(values, count, target, stride, [](int64_t x) { return static_cast<int32_t>(x); });
    case DTYPE_INT64: return store<int64_t>(values, count, target, stride, [](int64_t x) { return x; });
    case DTYPE_UINT8:
      return store<uint8_t>(values, count, target, stride, [](int64_t x) { return static_cast<uint8_t>(x); });
    case DTYPE_BOOL:
      return store<uint8_t>(values, count, target, stride, [](int64_t x) { return static_cast<uint8_t>(x != 0); });
    default: unknown(dtype);
  }
}

}  // namespace warpbook::cpu
