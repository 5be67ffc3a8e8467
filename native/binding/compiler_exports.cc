// Exports of NVRTC and nvJitLink: each compiles or links on a thread of its own and answers by promise.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "binding/addon_data.h"
#include "binding/cuda_exports.h"
#include "cpu/misuse.h"
#include "cuda/nvjitlink.h"
#include "cuda/nvrtc.h"

namespace warpbook::binding {

namespace {

std::vector<std::string> strings(const Arguments& arguments, size_t index, const char* what) {
  if (!arguments.value(index).IsArray()) arguments.refuse(index, what, "an array of strings");
  const auto array = arguments.value(index).As<Napi::Array>();
  std::vector<std::string> list;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array[i];
    if (!item.IsString()) arguments.refuse(index, what, "an array of strings");
    list.push_back(item.As<Napi::String>().Utf8Value());
  }
  return list;
}

Napi::ArrayBuffer to_array_buffer(Napi::Env env, const std::vector<uint8_t>& bytes) {
  Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, bytes.size());
  std::copy(bytes.begin(), bytes.end(), static_cast<uint8_t*>(buffer.Data()));
  return buffer;
}

Napi::Value compilation_object(Napi::Env env, const cuda::Compilation& compilation) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("log", compilation.log);
  Napi::Array names = Napi::Array::New(env, compilation.names.size());
  for (size_t i = 0; i < compilation.names.size(); ++i) {
    Napi::Object name = Napi::Object::New(env);
    name.Set("lowered", compilation.names[i].lowered);
    name.Set("readable", compilation.names[i].readable);
    names.Set(static_cast<uint32_t>(i), name);
  }
  object.Set("names", names);
  if (compilation.ok) object.Set("image", to_array_buffer(env, compilation.image));
  return object;
}

Napi::Value linkage_object(Napi::Env env, const cuda::Linkage& linkage) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("log", linkage.log);
  if (linkage.ok) object.Set("image", to_array_buffer(env, linkage.image));
  return object;
}

Napi::Value version_pair(Napi::Env env, double major, double minor) {
  Napi::Array pair = Napi::Array::New(env, 2);
  pair.Set(0u, major);
  pair.Set(1u, minor);
  return pair;
}

// A promise for what `work()` answers on a thread of its own, as `to_value` shows it to JavaScript. `doing` begins the
// message of an unexpected failure.
template <typename Work, typename ToValue>
Napi::Value in_background(const Arguments& arguments, std::string doing, Work work, ToValue to_value) {
  PromiseWorker::Pending* pending = AddonData::of(arguments.env()).promises.start(arguments.env());
  const Napi::Value promise = pending->promise();
  AddonData::of(arguments.env()).jobs.start([pending, doing = std::move(doing), work = std::move(work), to_value] {
    try {
      const auto answer = std::make_shared<const decltype(work())>(work());
      pending->resolve([answer, to_value](Napi::Env env) { return to_value(env, *answer); });
    } catch (const cpu::Misuse& misuse) {
      pending->reject(misuse.code, misuse.what());
    } catch (const std::exception& error) {
      pending->reject("NATIVE", doing + " failed: " + error.what());
    }
  });
  return promise;
}

}  // namespace

Napi::Value nvrtc_version(const Arguments& arguments) {
  const cuda::NvrtcVersion version = cuda::nvrtc_version(arguments.string(0, "library"));
  return version_pair(arguments.env(), version.major, version.minor);
}

Napi::Value nvrtc_compile(const Arguments& arguments) {
  std::string library = arguments.string(0, "library");
  std::string source = arguments.string(1, "source");
  std::string file_name = arguments.string(2, "file name");
  std::vector<std::string> options = strings(arguments, 3, "options");
  std::vector<std::string> names = strings(arguments, 4, "name expressions");
  return in_background(
      arguments, "Compiling " + file_name,
      [=] { return cuda::nvrtc_compile(library, source, file_name, options, names); }, compilation_object);
}

Napi::Value nvjitlink_version(const Arguments& arguments) {
  const cuda::NvJitLinkVersion version = cuda::nvjitlink_version(arguments.string(0, "library"));
  return version_pair(arguments.env(), version.major, version.minor);
}

Napi::Value nvjitlink_link(const Arguments& arguments) {
  std::string library = arguments.string(0, "library");
  std::string architecture = arguments.string(1, "architecture");
  std::string name = arguments.string(2, "name");
  const Bytes bytes = arguments.bytes(3, "image");
  std::vector<uint8_t> image(bytes.data, bytes.data + bytes.size);
  std::vector<std::string> archives = strings(arguments, 4, "archives");
  return in_background(
      arguments, "Linking " + name,
      [=] { return cuda::nvjitlink_link(library, architecture, name, image, archives); }, linkage_object);
}

}  // namespace warpbook::binding
