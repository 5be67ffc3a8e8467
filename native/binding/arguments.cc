#include "binding/arguments.h"

#include <cmath>

#include "binding/handles.h"

namespace warpbook::binding {

namespace {

std::string shown(const Napi::Value& value) {
  if (value.IsString()) return "'" + value.As<Napi::String>().Utf8Value() + "'";
  if (value.IsObject() || value.IsExternal()) return "an object";
  return value.ToString().Utf8Value();
}

}  // namespace

void Arguments::refuse(size_t index, const char* what, const std::string& wanted) const {
  throw cpu::Misuse(std::string(export_name_) + ": argument " + std::to_string(index) + " (" + what + ") is " +
                    shown(info_[index]) + "; wanted " + wanted);
}

cpu::Device& Arguments::device(size_t index) const {
  cpu::Device* device = unwrap_device(info_[index]);
  if (device == nullptr) refuse(index, "device", "a handle from cpu_open");
  return *device;
}

cuda::Device& Arguments::cuda_device(size_t index) const {
  cuda::Device* device = unwrap_cuda_device(info_[index]);
  if (device == nullptr) refuse(index, "device", "a handle from cuda_open");
  return *device;
}

int64_t Arguments::integer(size_t index, const char* what, int64_t min, int64_t max) const {
  double number = 0;
  const bool is_number = napi_get_value_double(info_.Env(), info_[index], &number) == napi_ok;
  if (!is_number || number != std::trunc(number) || number < static_cast<double>(min) ||
      number > static_cast<double>(max)) {
    refuse(index, what, "an integer from " + std::to_string(min) + " to " + std::to_string(max));
  }
  return static_cast<int64_t>(number);
}

bool Arguments::boolean(size_t index, const char* what) const {
  if (!info_[index].IsBoolean()) refuse(index, what, "true or false");
  return info_[index].As<Napi::Boolean>().Value();
}

std::string Arguments::string(size_t index, const char* what) const {
  if (!info_[index].IsString()) refuse(index, what, "a string");
  return info_[index].As<Napi::String>().Utf8Value();
}

const void* Arguments::typed_array(size_t index, const char* what, napi_typedarray_type type, const char* type_name,
                                   size_t* length) const {
  napi_typedarray_type actual;
  void* data = nullptr;
  if (!info_[index].IsTypedArray() || napi_get_typedarray_info(info_.Env(), info_[index], &actual, length, &data,
                                                               nullptr, nullptr) != napi_ok ||
      actual != type) {
    refuse(index, what, type_name);
  }
  return data;
}

Bytes Arguments::bytes(size_t index, const char* what) const {
  Bytes bytes{};
  bytes.data = static_cast<const uint8_t*>(typed_array(index, what, napi_uint8_array, "a Uint8Array", &bytes.size));
  return bytes;
}

Integers Arguments::integers(size_t index, const char* what) const {
  Integers integers{};
  integers.data =
      static_cast<const int32_t*>(typed_array(index, what, napi_int32_array, "an Int32Array", &integers.size));
  return integers;
}

Numbers Arguments::numbers(size_t index, const char* what) const {
  Numbers numbers{};
  numbers.data =
      static_cast<const double*>(typed_array(index, what, napi_float64_array, "a Float64Array", &numbers.size));
  return numbers;
}

}  // namespace warpbook::binding
