// Promises for what a device answers later: a time, or bytes.
#pragma once

#include <napi.h>

#include <cstring>
#include <string>
#include <utility>

#include "binding/addon_data.h"
#include "cpu/device.h"

namespace warpbook::binding {

// A promise for a time in nanoseconds, and the callback that settles it.
inline std::pair<Napi::Value, cpu::Device::OnTime> time_promise(Napi::Env env) {
  PromiseWorker::Pending* pending = AddonData::of(env).promises.start(env);
  auto done = [pending](const std::string& code, const std::string& error, int64_t time_ns) {
    if (!code.empty()) {
      pending->reject(code, error);
    } else {
      pending->resolve([time_ns](Napi::Env env) { return Napi::Number::New(env, static_cast<double>(time_ns)); });
    }
  };
  return {pending->promise(), std::move(done)};
}

// A smaller result is copied into memory of JavaScript's own, which is cheaper than a finalizer.
inline Napi::Value to_array_buffer(Napi::Env env, const cpu::MemoryPtr& bytes) {
  constexpr size_t kMaxCopiedBytes = 64 * 1024;
  if (bytes->size() <= kMaxCopiedBytes) {
    Napi::ArrayBuffer copy = Napi::ArrayBuffer::New(env, bytes->size());
    if (bytes->size() > 0) std::memcpy(copy.Data(), bytes->data(), bytes->size());
    return copy;
  }
  auto* share = new cpu::MemoryPtr(bytes);
  return Napi::ArrayBuffer::New(
      env, bytes->data(), bytes->size(), [](Napi::Env, void*, cpu::MemoryPtr* share) { delete share; }, share);
}

// A promise for bytes, and the callback that settles it.
inline std::pair<Napi::Value, cpu::Device::OnBytes> bytes_promise(Napi::Env env) {
  PromiseWorker::Pending* pending = AddonData::of(env).promises.start(env);
  auto done = [pending](const std::string& code, const std::string& error, cpu::MemoryPtr bytes) {
    if (!code.empty()) {
      pending->reject(code, error);
    } else {
      pending->resolve([bytes](Napi::Env env) { return to_array_buffer(env, bytes); });
    }
  };
  return {pending->promise(), std::move(done)};
}

}  // namespace warpbook::binding
