#include "cuda/shared_library.h"

#include <dlfcn.h>

#include <map>
#include <mutex>

#include "cpu/misuse.h"

namespace warpbook::cuda {

void* open_shared_library(const std::string& library, const std::string& title, const std::string& wanted) {
  static std::mutex mutex;
  static auto* const paths = new std::map<void*, std::string>();
  std::lock_guard<std::mutex> lock(mutex);
  const auto refuse = [&](const std::string& problem) {
    throw cpu::Misuse("Got " + title + " at " + library + " that does not load (" + problem + "); wanted " + wanted +
                          ". Install it again.",
                      "UNSUPPORTED");
  };
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) refuse(dlerror());
  if (library.find('/') != std::string::npos) {
    paths->emplace(handle, library);
  } else if (const auto known = paths->find(handle); known != paths->end()) {
    dlclose(handle);
    refuse("only " + known->second + " is loaded");
  }
  return handle;
}

}  // namespace warpbook::cuda
