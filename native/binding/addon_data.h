// What the addon keeps for each environment (the main thread and every worker thread have their own).
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "binding/promise_worker.h"
#include "cpu/device.h"

namespace warpbook::binding {

struct AddonData {
  explicit AddonData(Napi::Env env) : promises(env) {}

  // Makes the environment's data and hooks its teardown: native threads end while the environment still stands.
  static void create(Napi::Env env);
  static AddonData& of(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }

  void add_device(const std::shared_ptr<cpu::Device>& device);

  PromiseWorker promises;
  Napi::FunctionReference error_class;

 private:
  void close_devices();

  std::vector<std::weak_ptr<cpu::Device>> devices_;
};

}  // namespace warpbook::binding
