#include "binding/addon_data.h"

#include <algorithm>
#include <utility>

namespace warpbook::binding {

void AddonData::create(Napi::Env env) {
  auto* data = new AddonData(env);
  env.SetInstanceData(data);
  // Hooks run in reverse order: this one before that of the thread-safe function made in the constructor above.
  env.AddCleanupHook([](AddonData* self) { self->end_native_threads(); }, data);
}

void AddonData::add_device(OpenDevice device) {
  const auto expired = [](const OpenDevice& other) { return other.device.expired(); };
  devices_.erase(std::remove_if(devices_.begin(), devices_.end(), expired), devices_.end());
  devices_.push_back(std::move(device));
}

void AddonData::end_native_threads() {
  for (const OpenDevice& open : devices_) {
    if (const auto alive = open.device.lock()) open.cancel(alive.get());
  }
  jobs.wait();
}

}  // namespace warpbook::binding
