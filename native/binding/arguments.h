// Checked access to the arguments of an export. A wrong one throws cpu::Misuse naming export, position and wish.
#pragma once

#include <napi.h>

#include <cstdint>
#include <limits>
#include <string>

#include "cpu/device.h"
#include "cuda/device.h"

namespace warpbook::binding {

struct Bytes {
  const uint8_t* data;
  size_t size;
};

struct Integers {
  const int32_t* data;
  size_t size;
};

struct Numbers {
  const double* data;
  size_t size;
};

class Arguments {
 public:
  Arguments(const Napi::CallbackInfo& info, const char* export_name) : info_(info), export_name_(export_name) {}

  Napi::Env env() const { return info_.Env(); }
  size_t count() const { return info_.Length(); }
  Napi::Value value(size_t index) const { return info_[index]; }

  cpu::Device& device(size_t index) const;
  cuda::Device& cuda_device(size_t index) const;
  // An integer in [min, max]; JavaScript's numbers are exact up to 2^53.
  int64_t integer(size_t index, const char* what, int64_t min = 0, int64_t max = int64_t{1} << 53) const;
  cpu::Handle handle(size_t index, const char* what) const { return integer(index, what); }
  size_t size(size_t index, const char* what) const { return static_cast<size_t>(integer(index, what)); }
  uint32_t uint32(size_t index, const char* what) const {
    return static_cast<uint32_t>(integer(index, what, 0, std::numeric_limits<uint32_t>::max()));
  }
  bool boolean(size_t index, const char* what) const;
  std::string string(size_t index, const char* what) const;
  // The bytes stay valid until the export returns.
  Bytes bytes(size_t index, const char* what) const;
  Integers integers(size_t index, const char* what) const;
  Numbers numbers(size_t index, const char* what) const;

  [[noreturn]] void refuse(size_t index, const char* what, const std::string& wanted) const;

 private:
  const void* typed_array(size_t index, const char* what, napi_typedarray_type type, const char* type_name,
                          size_t* length) const;

  const Napi::CallbackInfo& info_;
  const char* export_name_;
};

// One export of the addon; the list is in addon.cc.
struct Export {
  const char* name;
  size_t num_arguments;
  Napi::Value (*run)(const Arguments& arguments);
};

}  // namespace warpbook::binding
