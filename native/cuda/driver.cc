#include "cuda/driver.h"

#include <dlfcn.h>

#include <cstdlib>
#include <memory>
#include <mutex>

#include "cpu/misuse.h"

namespace warpbook::cuda {

namespace {

using cpu::Misuse;

constexpr int kMinVersion = 12000;
constexpr const char* kCpuStillWorks = " The CPU device works without it: openDevice('cpu').";

// The loader's own search comes first; the folders are those where drivers put the library without telling the loader.
constexpr const char* kPlaces[] = {
    "libcuda.so.1",
    "/usr/local/nvidia/lib64/libcuda.so.1",
    "/usr/lib/wsl/lib/libcuda.so.1",
    "/run/opengl-driver/lib/libcuda.so.1",
};

void* open_library(std::string* opened) {
  const char* chosen = std::getenv("WARPBOOK_CUDA_LIBRARY");
  std::string reason;
  if (chosen != nullptr && *chosen != '\0') {
    if (void* handle = dlopen(chosen, RTLD_NOW | RTLD_LOCAL)) {
      *opened = chosen;
      return handle;
    }
    reason = dlerror();
    throw Misuse("Got no CUDA driver at WARPBOOK_CUDA_LIBRARY=" + std::string(chosen) + " (" + reason +
                     "); wanted a libcuda.so.1. Correct the variable or unset it." + kCpuStillWorks,
                 "UNSUPPORTED");
  }
  for (const char* place : kPlaces) {
    if (void* handle = dlopen(place, RTLD_NOW | RTLD_LOCAL)) {
      *opened = place;
      return handle;
    }
    if (reason.empty()) reason = dlerror();
  }
  throw Misuse("Got no CUDA driver (" + reason +
                   "); wanted libcuda.so.1, which comes with NVIDIA's driver. Install the driver (in a container: "
                   "start it with the GPU), or set WARPBOOK_CUDA_LIBRARY to the library's path." +
                   kCpuStillWorks,
               "UNSUPPORTED");
}

std::string init_remedy(CUresult result) {
  switch (result) {
    case CUDA_ERROR_NO_DEVICE:
      return "The driver sees no GPU: check nvidia-smi, CUDA_VISIBLE_DEVICES, and that a container was given the GPU.";
    case CUDA_ERROR_SYSTEM_DRIVER_MISMATCH:
      return "libcuda and the kernel module differ in version: reboot, or use the host's library in the container.";
    case CUDA_ERROR_SYSTEM_NOT_READY:
      return "Start nvidia-fabricmanager, which this machine's GPUs need.";
    case CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE:
      return "Take CUDA's compatibility library out of the library path; this GPU does not support it.";
    default:
      return "Check nvidia-smi and the kernel's log.";
  }
}

template <typename Function>
void find(void* handle, const char* symbol, int version, bool required, const Driver& driver, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(handle, symbol));
  if (*function != nullptr || !required) return;
  throw Misuse("Got a CUDA driver at " + driver.library + " without " + symbol + ", which CUDA " +
                   version_text(version) + " brought; wanted a driver for CUDA " + version_text(kMinVersion) +
                   " or newer. Update NVIDIA's driver." + kCpuStillWorks,
               "UNSUPPORTED");
}

std::unique_ptr<Driver> load() {
  auto driver = std::make_unique<Driver>();
  void* handle = open_library(&driver->library);
  // The version first, so that an old driver is called old and not incomplete.
  find(handle, "cuDriverGetVersion", 2020, true, *driver, &driver->cuDriverGetVersion);
  if (driver->cuDriverGetVersion(&driver->version) == CUDA_SUCCESS && driver->version < kMinVersion) {
    throw Misuse("Got a CUDA driver for CUDA " + version_text(driver->version) + " at " + driver->library +
                     "; wanted one for CUDA " + version_text(kMinVersion) + " or newer. Update NVIDIA's driver." +
                     kCpuStillWorks,
                 "UNSUPPORTED");
  }
#define WARPBOOK_FIND(function, symbol, version, required, parameters) \
  find(handle, symbol, version, required, *driver, &driver->function);
  WARPBOOK_CUDA_FUNCTIONS(WARPBOOK_FIND)
#undef WARPBOOK_FIND
  const CUresult result = driver->cuInit(0);
  if (result != CUDA_SUCCESS) {
    const char* name = "an unknown error";
    driver->cuGetErrorName(result, &name);
    throw Misuse("cuInit failed with " + std::string(name) + " (" + std::to_string(result) + "). " +
                     init_remedy(result) + kCpuStillWorks,
                 "UNSUPPORTED");
  }
  return driver;
}

}  // namespace

// Never closed: a driver's library can't be unloaded safely.
const Driver& driver() {
  static std::mutex mutex;
  static Driver* loaded = nullptr;
  std::lock_guard<std::mutex> lock(mutex);
  if (loaded == nullptr) loaded = load().release();
  return *loaded;
}

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

}  // namespace warpbook::cuda
