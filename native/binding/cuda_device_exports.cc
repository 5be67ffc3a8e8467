// Exports that make, end and describe CUDA devices, their programs, memory, streams and events.
#include <string>
#include <utility>

#include "binding/addon_data.h"
#include "binding/cta_overrides.h"
#include "binding/cuda_exports.h"
#include "binding/device_promises.h"
#include "binding/handles.h"
#include "binding/live_counts.h"
#include "cuda/device.h"

namespace warpbook::binding {

namespace {

constexpr int64_t kMaxOrdinal = 1023;
constexpr int64_t kMaxThreads = 1024;
constexpr int64_t kMaxClusterSize = 16;
constexpr int64_t kMaxSharedBytes = int64_t{1} << 24;

Napi::Object facts_object(Napi::Env env, const cuda::DeviceFacts& facts) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("ordinal", facts.ordinal);
  object.Set("name", facts.name);
  object.Set("total_bytes", static_cast<double>(facts.total_bytes));
  object.Set("num_sms", facts.num_sms);
  object.Set("compute_capability_major", facts.major);
  object.Set("compute_capability_minor", facts.minor);
  object.Set("max_threads_per_sm", facts.max_threads_per_sm);
  object.Set("max_shared_bytes", facts.max_shared_bytes);
  object.Set("pci_bus_id", facts.pci_bus_id);
  return object;
}

}  // namespace

Napi::Value cuda_probe(const Arguments& arguments) {
  const Napi::Env env = arguments.env();
  const cuda::Driver& driver = cuda::driver();
  Napi::Object object = Napi::Object::New(env);
  object.Set("library", driver.library);
  object.Set("driver_version", driver.version);
  Napi::Array devices = Napi::Array::New(env);
  uint32_t index = 0;
  for (const cuda::DeviceFacts& facts : cuda::list_devices(driver)) devices.Set(index++, facts_object(env, facts));
  object.Set("devices", devices);
  return object;
}

Napi::Value cuda_open(const Arguments& arguments) {
  const int ordinal = static_cast<int>(arguments.integer(0, "ordinal", 0, kMaxOrdinal));
  auto device = std::make_shared<cuda::Device>(ordinal);
  AddonData::of(arguments.env()).add_device(device);
  return wrap_cuda_device(arguments.env(), std::move(device));
}

Napi::Value cuda_close(const Arguments& arguments) {
  arguments.cuda_device(0).close();
  return arguments.env().Undefined();
}

Napi::Value cuda_describe(const Arguments& arguments) {
  cuda::Device& device = arguments.cuda_device(0);
  Napi::Object object = facts_object(arguments.env(), device.facts());
  object.Set("driver_version", device.driver().version);
  object.Set("free_bytes", static_cast<double>(device.free_bytes()));
  return object;
}

Napi::Value cuda_live_counts(const Arguments& arguments) {
  return live_counts_object(arguments.env(), arguments.cuda_device(0).live_counts());
}

Napi::Value cuda_load_program(const Arguments& arguments) {
  const Bytes image = arguments.bytes(3, "image");
  cuda::ProgramOptions options;
  options.label = arguments.string(2, "label");
  options.entry = arguments.string(4, "entry");
  const auto threads = static_cast<uint32_t>(arguments.integer(5, "threads", 0, kMaxThreads));
  if (threads > 0) options.shape.threads = {threads, 1, 1};
  options.shape.shared_bytes = static_cast<int>(arguments.integer(6, "shared memory bytes", 0, kMaxSharedBytes));
  options.shape.cooperative = arguments.boolean(7, "cooperative");
  options.shape.pdl = arguments.boolean(8, "pdl");
  options.shape.cluster_size = static_cast<int>(arguments.integer(9, "cluster size", 1, kMaxClusterSize));
  const Integers offsets = arguments.integers(10, "parameter offsets");
  options.parameter_offsets.assign(offsets.data, offsets.data + offsets.size);
  const Integers child_bytes = arguments.integers(12, "shared memory bytes of children");
  const Napi::Value children = arguments.value(11);
  if (!children.IsArray() || children.As<Napi::Array>().Length() != child_bytes.size) {
    arguments.refuse(11, "children", "an array of names, one for each number of bytes");
  }
  for (uint32_t i = 0; i < child_bytes.size; ++i) {
    const Napi::Value entry = children.As<Napi::Array>().Get(i);
    if (!entry.IsString()) arguments.refuse(11, "children", "an array of names");
    options.children.push_back({entry.As<Napi::String>().Utf8Value(), child_bytes.data[i]});
  }
  const cuda::ProgramInfo info = arguments.cuda_device(0).load_program(arguments.handle(1, "program"),
                                                                       std::move(options), image.data, image.size);
  Napi::Object object = Napi::Object::New(arguments.env());
  object.Set("registers", info.registers);
  object.Set("shared_bytes", info.shared_bytes);
  object.Set("static_shared_bytes", info.static_shared_bytes);
  object.Set("local_bytes", info.local_bytes);
  object.Set("max_threads", info.max_threads);
  object.Set("max_ctas_per_sm", info.max_ctas_per_sm);
  object.Set("max_clusters", info.max_clusters);
  if (info.knows_parameters) {
    Napi::Array parameters = Napi::Array::New(arguments.env(), info.parameters.size());
    for (size_t i = 0; i < info.parameters.size(); ++i) {
      Napi::Object parameter = Napi::Object::New(arguments.env());
      parameter.Set("offset", static_cast<double>(info.parameters[i].offset));
      parameter.Set("byte_length", static_cast<double>(info.parameters[i].num_bytes));
      parameters.Set(static_cast<uint32_t>(i), parameter);
    }
    object.Set("parameters", parameters);
  }
  return object;
}

Napi::Value cuda_unload_program(const Arguments& arguments) {
  arguments.cuda_device(0).unload_program(arguments.handle(1, "program"));
  return arguments.env().Undefined();
}

Napi::Value cuda_ctas_per_sm(const Arguments& arguments) {
  const int count = arguments.cuda_device(0).ctas_per_sm(arguments.handle(1, "program"), cta_overrides(arguments, 2));
  return Napi::Number::New(arguments.env(), count);
}

Napi::Value cuda_allocate(const Arguments& arguments) {
  arguments.cuda_device(0).allocate(arguments.handle(1, "buffer"), arguments.size(2, "byte length"));
  return arguments.env().Undefined();
}

Napi::Value cuda_free(const Arguments& arguments) {
  arguments.cuda_device(0).free(arguments.handle(1, "buffer"));
  return arguments.env().Undefined();
}

Napi::Value cuda_create_staging(const Arguments& arguments) {
  cuda::PinnedPtr memory =
      arguments.cuda_device(0).create_staging(arguments.handle(1, "staging"), arguments.size(2, "byte length"));
  // The ArrayBuffer holds the memory as well: a view that is left over after destroy_staging reads nothing foreign.
  auto* share = new cuda::PinnedPtr(std::move(memory));
  return Napi::ArrayBuffer::New(
      arguments.env(), (*share)->data(), (*share)->size(),
      [](Napi::Env, void*, cuda::PinnedPtr* share) { delete share; }, share);
}

Napi::Value cuda_destroy_staging(const Arguments& arguments) {
  const Napi::Value bytes = arguments.value(2);
  if (!bytes.IsArrayBuffer()) arguments.refuse(2, "bytes", "the ArrayBuffer of cuda_create_staging");
  arguments.cuda_device(0).destroy_staging(arguments.handle(1, "staging"));
  bytes.As<Napi::ArrayBuffer>().Detach();
  return arguments.env().Undefined();
}

Napi::Value cuda_create_stream(const Arguments& arguments) {
  arguments.cuda_device(0).create_stream(arguments.handle(1, "stream"));
  return arguments.env().Undefined();
}

Napi::Value cuda_destroy_stream(const Arguments& arguments) {
  arguments.cuda_device(0).destroy_stream(arguments.handle(1, "stream"));
  return arguments.env().Undefined();
}

Napi::Value cuda_completed(const Arguments& arguments) {
  const int64_t completed = arguments.cuda_device(0).num_completed(arguments.handle(1, "stream"));
  return Napi::Number::New(arguments.env(), static_cast<double>(completed));
}

Napi::Value cuda_synchronize(const Arguments& arguments) {
  cuda::Device& device = arguments.cuda_device(0);
  const cuda::Handle stream = arguments.handle(1, "stream");
  device.require_eager(stream, "synchronize");
  auto [promise, done] = time_promise(arguments.env());
  device.synchronize(stream, std::move(done));
  return promise;
}

Napi::Value cuda_create_event(const Arguments& arguments) {
  arguments.cuda_device(0).create_event(arguments.handle(1, "event"));
  return arguments.env().Undefined();
}

Napi::Value cuda_destroy_event(const Arguments& arguments) {
  arguments.cuda_device(0).destroy_event(arguments.handle(1, "event"));
  return arguments.env().Undefined();
}

Napi::Value cuda_record_event(const Arguments& arguments) {
  arguments.cuda_device(0).record_event(arguments.handle(1, "event"), arguments.handle(2, "stream"));
  return arguments.env().Undefined();
}

Napi::Value cuda_wait_event(const Arguments& arguments) {
  arguments.cuda_device(0).wait_event(arguments.handle(1, "stream"), arguments.handle(2, "event"));
  return arguments.env().Undefined();
}

Napi::Value cuda_event_time(const Arguments& arguments) {
  cuda::Device& device = arguments.cuda_device(0);
  const cuda::Handle event = arguments.handle(1, "event");
  device.require_recorded(event);
  auto [promise, done] = time_promise(arguments.env());
  device.event_time(event, std::move(done));
  return promise;
}

}  // namespace warpbook::binding
