// Exports that make, end and describe the CPU device, its memory, streams and events.
#include <string>
#include <utility>

#include "binding/addon_data.h"
#include "binding/cpu_exports.h"
#include "binding/device_promises.h"
#include "binding/handles.h"
#include "binding/live_counts.h"
#include "cpu/programs.h"

namespace warpbook::binding {

namespace {

constexpr int64_t kMaxThreads = 1024;

}  // namespace

Napi::Value cpu_instruction_set(const Arguments& arguments) {
  return Napi::String::New(arguments.env(), cpu::instruction_set());
}

Napi::Value cpu_program_names(const Arguments& arguments) {
  Napi::Array names = Napi::Array::New(arguments.env());
  uint32_t index = 0;
  for (const cpu::Program* program : cpu::all_programs()) names.Set(index++, program->name);
  return names;
}

Napi::Value cpu_open(const Arguments& arguments) {
  const int num_threads = static_cast<int>(arguments.integer(0, "number of threads", 1, kMaxThreads));
  auto device = std::make_shared<cpu::Device>(num_threads);
  AddonData::of(arguments.env()).add_device(device);
  return wrap_device(arguments.env(), std::move(device));
}

Napi::Value cpu_close(const Arguments& arguments) {
  arguments.device(0).close();
  return arguments.env().Undefined();
}

Napi::Value cpu_live_counts(const Arguments& arguments) {
  return live_counts_object(arguments.env(), arguments.device(0).live_counts());
}

Napi::Value cpu_allocate(const Arguments& arguments) {
  arguments.device(0).allocate(arguments.handle(1, "buffer"), arguments.size(2, "byte length"));
  return arguments.env().Undefined();
}

Napi::Value cpu_free(const Arguments& arguments) {
  arguments.device(0).free(arguments.handle(1, "buffer"));
  return arguments.env().Undefined();
}

Napi::Value cpu_create_staging(const Arguments& arguments) {
  cpu::MemoryPtr memory =
      arguments.device(0).create_staging(arguments.handle(1, "staging"), arguments.size(2, "byte length"));
  // The ArrayBuffer holds the memory as well: a view that is left over after destroy_staging reads nothing foreign.
  auto* share = new cpu::MemoryPtr(std::move(memory));
  return Napi::ArrayBuffer::New(
      arguments.env(), (*share)->data(), (*share)->size(),
      [](Napi::Env, void*, cpu::MemoryPtr* share) { delete share; }, share);
}

Napi::Value cpu_destroy_staging(const Arguments& arguments) {
  const Napi::Value bytes = arguments.value(2);
  if (!bytes.IsArrayBuffer()) arguments.refuse(2, "bytes", "the ArrayBuffer of cpu_create_staging");
  arguments.device(0).destroy_staging(arguments.handle(1, "staging"));
  bytes.As<Napi::ArrayBuffer>().Detach();
  return arguments.env().Undefined();
}

Napi::Value cpu_create_stream(const Arguments& arguments) {
  arguments.device(0).create_stream(arguments.handle(1, "stream"));
  return arguments.env().Undefined();
}

Napi::Value cpu_destroy_stream(const Arguments& arguments) {
  arguments.device(0).destroy_stream(arguments.handle(1, "stream"));
  return arguments.env().Undefined();
}

Napi::Value cpu_completed(const Arguments& arguments) {
  const int64_t completed = arguments.device(0).num_completed(arguments.handle(1, "stream"));
  return Napi::Number::New(arguments.env(), static_cast<double>(completed));
}

Napi::Value cpu_synchronize(const Arguments& arguments) {
  cpu::Device& device = arguments.device(0);
  const cpu::Handle stream = arguments.handle(1, "stream");
  device.require_eager(stream, "synchronize");
  auto [promise, done] = time_promise(arguments.env());
  device.synchronize(stream, std::move(done));
  return promise;
}

Napi::Value cpu_create_event(const Arguments& arguments) {
  arguments.device(0).create_event(arguments.handle(1, "event"));
  return arguments.env().Undefined();
}

Napi::Value cpu_destroy_event(const Arguments& arguments) {
  arguments.device(0).destroy_event(arguments.handle(1, "event"));
  return arguments.env().Undefined();
}

Napi::Value cpu_record_event(const Arguments& arguments) {
  arguments.device(0).record_event(arguments.handle(1, "event"), arguments.handle(2, "stream"));
  return arguments.env().Undefined();
}

Napi::Value cpu_wait_event(const Arguments& arguments) {
  arguments.device(0).wait_event(arguments.handle(1, "stream"), arguments.handle(2, "event"));
  return arguments.env().Undefined();
}

Napi::Value cpu_event_time(const Arguments& arguments) {
  cpu::Device& device = arguments.device(0);
  const cpu::Handle event = arguments.handle(1, "event");
  device.require_recorded(event);
  auto [promise, done] = time_promise(arguments.env());
  device.event_time(event, std::move(done));
  return promise;
}

}  // namespace warpbook::binding
