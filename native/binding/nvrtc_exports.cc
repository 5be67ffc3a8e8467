// Exports of NVRTC: compiling on a thread of its own, answering by promise.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "binding/addon_data.h"
#include "binding/cuda_exports.h"
#include "cpu/misuse.h"
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

Napi::Value compilation_object(Napi::Env env, const cuda::Compilation& compilation) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("log", compilation.log);
  if (compilation.ok) {
    Napi::ArrayBuffer image = Napi::ArrayBuffer::New(env, compilation.image.size());
    std::copy(compilation.image.begin(), compilation.image.end(), static_cast<uint8_t*>(image.Data()));
    object.Set("image", image);
  }
  return object;
}

}  // namespace

Napi::Value nvrtc_version(const Arguments& arguments) {
  const cuda::NvrtcVersion version = cuda::nvrtc_version(arguments.string(0, "library"));
  Napi::Array pair = Napi::Array::New(arguments.env(), 2);
  pair.Set(0u, version.major);
  pair.Set(1u, version.minor);
  return pair;
}

Napi::Value nvrtc_compile(const Arguments& arguments) {
  std::string library = arguments.string(0, "library");
  std::string source = arguments.string(1, "source");
  std::string file_name = arguments.string(2, "file name");
  std::vector<std::string> options = strings(arguments, 3, "options");
  PromiseWorker::Pending* pending = AddonData::of(arguments.env()).promises.start(arguments.env());
  const Napi::Value promise = pending->promise();
  AddonData::of(arguments.env()).jobs.start([=] {
    try {
      auto compilation =
          std::make_shared<const cuda::Compilation>(cuda::nvrtc_compile(library, source, file_name, options));
      pending->resolve([compilation](Napi::Env env) { return compilation_object(env, *compilation); });
    } catch (const cpu::Misuse& misuse) {
      pending->reject(misuse.code, misuse.what());
    } catch (const std::exception& error) {
      pending->reject("NATIVE", "Compiling " + file_name + " failed: " + error.what());
    }
  });
  return promise;
}

}  // namespace warpbook::binding
