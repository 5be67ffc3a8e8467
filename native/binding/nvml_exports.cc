// Exports of NVML: the driver's version, and what a GPU's clocks and power are now.
#include "binding/cuda_exports.h"
#include "cuda/nvml.h"

namespace warpbook::binding {

Napi::Value nvml_driver_version(const Arguments& arguments) {
  return Napi::String::New(arguments.env(), cuda::nvml_driver_version(arguments.string(0, "library")));
}

Napi::Value nvml_read(const Arguments& arguments) {
  const cuda::GpuReadings readings =
      cuda::nvml_read(arguments.string(0, "library"), arguments.string(1, "PCI bus id"));
  Napi::Object object = Napi::Object::New(arguments.env());
  const auto set = [&object](const char* name, int64_t value) {
    if (value >= 0) object.Set(name, static_cast<double>(value));
  };
  set("sm_mhz", readings.sm_mhz);
  set("max_sm_mhz", readings.max_sm_mhz);
  set("memory_mhz", readings.memory_mhz);
  set("power_mw", readings.power_mw);
  set("power_limit_mw", readings.power_limit_mw);
  set("temperature_c", readings.temperature_c);
  set("throttle_reasons", readings.throttle_reasons);
  return object;
}

}  // namespace warpbook::binding
