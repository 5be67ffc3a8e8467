#include "binding/handles.h"

#include <utility>

namespace warpbook::binding {

namespace {

constexpr napi_type_tag kDeviceTag = {0x7c1be1a94bd44f02, 0x9d3c55a0c47be651};

}  // namespace

Napi::Value wrap_device(Napi::Env env, std::shared_ptr<cpu::Device> device) {
  using Box = std::shared_ptr<cpu::Device>;
  auto external = Napi::External<Box>::New(env, new Box(std::move(device)), [](Napi::Env, Box* box) { delete box; });
  external.TypeTag(&kDeviceTag);
  return external;
}

cpu::Device* unwrap_device(const Napi::Value& value) {
  if (!value.IsExternal()) return nullptr;
  const auto external = value.As<Napi::External<std::shared_ptr<cpu::Device>>>();
  if (!external.CheckTypeTag(&kDeviceTag)) return nullptr;
  return external.Data()->get();
}

}  // namespace warpbook::binding
