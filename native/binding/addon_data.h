// What the addon keeps for each environment (the main thread and every worker thread have their own).
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "binding/background_jobs.h"
#include "binding/promise_worker.h"

namespace warpbook::binding {

struct AddonData {
  explicit AddonData(Napi::Env env) : promises(env) {}

  // Makes the environment's data and hooks its teardown: native threads end while the environment still stands.
  static void create(Napi::Env env);
  static AddonData& of(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }

  // The device's native threads end with the environment, if it is still open then.
  template <typename Device>
  void add_device(const std::shared_ptr<Device>& device) {
    add_device(OpenDevice{device, [](void* open) { static_cast<Device*>(open)->cancel(); }});
  }

  PromiseWorker promises;
  BackgroundJobs jobs;
  Napi::FunctionReference error_class;

 private:
  struct OpenDevice {
    std::weak_ptr<void> device;
    void (*cancel)(void* device);
  };

  void add_device(OpenDevice device);
  void end_native_threads();

  std::vector<OpenDevice> devices_;
};

}  // namespace warpbook::binding
