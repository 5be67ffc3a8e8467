#include "binding/addon_data.h"

#include <algorithm>

namespace warpbook::binding {

void AddonData::create(Napi::Env env) {
  auto* data = new AddonData(env);
  env.SetInstanceData(data);
  // Hooks run in reverse order: this one before that of the thread-safe function made in the constructor above.
  env.AddCleanupHook([](AddonData* self) { self->close_devices(); }, data);
}

void AddonData::add_device(const std::shared_ptr<cpu::Device>& device) {
  const auto expired = [](const std::weak_ptr<cpu::Device>& other) { return other.expired(); };
  devices_.erase(std::remove_if(devices_.begin(), devices_.end(), expired), devices_.end());
  devices_.push_back(device);
}

void AddonData::close_devices() {
  for (const std::weak_ptr<cpu::Device>& device : devices_) {
    if (const auto alive = device.lock()) alive->cancel();
  }
}

}  // namespace warpbook::binding
