// The objects of a device that are alive, for JavaScript.
#pragma once

#include <napi.h>

#include "cpu/device.h"

namespace warpbook::binding {

inline Napi::Object live_counts_object(Napi::Env env, const cpu::LiveCounts& counts) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("buffers", static_cast<double>(counts.buffers));
  object.Set("buffer_bytes", static_cast<double>(counts.buffer_bytes));
  object.Set("staging", static_cast<double>(counts.staging));
  object.Set("streams", static_cast<double>(counts.streams));
  object.Set("events", static_cast<double>(counts.events));
  object.Set("graphs", static_cast<double>(counts.graphs));
  object.Set("execs", static_cast<double>(counts.execs));
  return object;
}

}  // namespace warpbook::binding
