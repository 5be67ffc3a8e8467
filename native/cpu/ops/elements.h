// Runs of elements of any dtype, read and written as one of two working types: float32 for float dtypes, int64 for
// integers and bool. Float dtypes convert exactly to float32. Everything else follows these rules:
//   float to integer   truncates toward zero, saturates at the ends; NaN becomes 0
//   integer to integer keeps the low bits (two's complement)
//   integer to float   rounds to float32 first, then to the narrower type
//   any to bool        is "not zero"; a NaN is true
// Strides are in elements; dtypes are DTYPE_... codes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace warpbook::cpu {

// Elements that fit the on-stack buffers of the programs.
constexpr int64_t kMaxRun = 256;

bool is_float_dtype(int dtype);
// Throws std::invalid_argument for a code that is not a dtype's.
size_t item_size(int dtype);

// Of a float dtype.
void load_floats(int dtype, const void* source, int64_t stride, int64_t count, float* values);
// Of an integer dtype or bool.
void load_integers(int dtype, const void* source, int64_t stride, int64_t count, int64_t* values);
// To any dtype.
void store_floats(int dtype, const float* values, int64_t count, void* target, int64_t stride);
void store_integers(int dtype, const int64_t* values, int64_t count, void* target, int64_t stride);

}  // namespace warpbook::cpu
