// Native objects in JavaScript's hands: type-tagged Externals, so that a foreign value is an error and not a crash.
#pragma once

#include <napi.h>

#include <memory>

#include "cpu/device.h"
#include "cuda/device.h"

namespace warpbook::binding {

// The finalizer drops what has not started; JavaScript's side disposes devices explicitly, this is the safety net.
Napi::Value wrap_device(Napi::Env env, std::shared_ptr<cpu::Device> device);

// nullptr unless `value` came from wrap_device().
cpu::Device* unwrap_device(const Napi::Value& value);

// The same for CUDA devices.
Napi::Value wrap_cuda_device(Napi::Env env, std::shared_ptr<cuda::Device> device);
cuda::Device* unwrap_cuda_device(const Napi::Value& value);

}  // namespace warpbook::binding
