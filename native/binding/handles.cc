#include "binding/handles.h"

#include <utility>

namespace warpbook::binding {

namespace {

constexpr napi_type_tag kCpuDeviceTag = {0x7c1be1a94bd44f02, 0x9d3c55a0c47be651};
constexpr napi_type_tag kCudaDeviceTag = {0x3f0e5c8d21a94b77, 0xb6a1d90f42e85c13};

template <typename Device>
Napi::Value wrap(Napi::Env env, std::shared_ptr<Device> device, const napi_type_tag& tag) {
  using Box = std::shared_ptr<Device>;
  auto external = Napi::External<Box>::New(env, new Box(std::move(device)), [](Napi::Env, Box* box) { delete box; });
  external.TypeTag(&tag);
  return external;
}

template <typename Device>
Device* unwrap(const Napi::Value& value, const napi_type_tag& tag) {
  if (!value.IsExternal()) return nullptr;
  const auto external = value.As<Napi::External<std::shared_ptr<Device>>>();
  if (!external.CheckTypeTag(&tag)) return nullptr;
  return external.Data()->get();
}

}  // namespace

Napi::Value wrap_device(Napi::Env env, std::shared_ptr<cpu::Device> device) {
  return wrap(env, std::move(device), kCpuDeviceTag);
}

cpu::Device* unwrap_device(const Napi::Value& value) { return unwrap<cpu::Device>(value, kCpuDeviceTag); }

Napi::Value wrap_cuda_device(Napi::Env env, std::shared_ptr<cuda::Device> device) {
  return wrap(env, std::move(device), kCudaDeviceTag);
}

cuda::Device* unwrap_cuda_device(const Napi::Value& value) { return unwrap<cuda::Device>(value, kCudaDeviceTag); }

}  // namespace warpbook::binding
