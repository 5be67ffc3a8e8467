#include "cuda/nvml.h"

#include <dlfcn.h>

#include <map>
#include <memory>
#include <mutex>

#include "cpu/misuse.h"

namespace warpbook::cuda {

namespace {

using cpu::Misuse;

typedef struct nvmlDevice_st* nvmlDevice_t;
typedef int nvmlReturn_t;
constexpr nvmlReturn_t kSuccess = 0;
constexpr int kClockSm = 1;
constexpr int kClockMemory = 2;
constexpr int kTemperatureGpu = 0;

// The one table of NVML's functions: X(function, driver that brought it, parameters).
#define WARPBOOK_NVML_FUNCTIONS(X)                                                                                 \
  X(nvmlInit_v2, "304", (void))                                                                                    \
  X(nvmlSystemGetDriverVersion, "304", (char* version, unsigned int length))                                       \
  X(nvmlDeviceGetHandleByPciBusId_v2, "304", (const char* pci_bus_id, nvmlDevice_t* device))                       \
  X(nvmlDeviceGetClockInfo, "304", (nvmlDevice_t device, int type, unsigned int* mhz))                             \
  X(nvmlDeviceGetMaxClockInfo, "304", (nvmlDevice_t device, int type, unsigned int* mhz))                          \
  X(nvmlDeviceGetPowerUsage, "304", (nvmlDevice_t device, unsigned int* milliwatts))                               \
  X(nvmlDeviceGetTemperature, "304", (nvmlDevice_t device, int sensor, unsigned int* celsius))                     \
  X(nvmlDeviceGetCurrentClocksThrottleReasons, "319", (nvmlDevice_t device, unsigned long long* reasons))          \
  X(nvmlDeviceGetEnforcedPowerLimit, "331", (nvmlDevice_t device, unsigned int* milliwatts))

struct Nvml {
#define WARPBOOK_MEMBER(function, version, parameters) nvmlReturn_t(*function) parameters = nullptr;
  WARPBOOK_NVML_FUNCTIONS(WARPBOOK_MEMBER)
#undef WARPBOOK_MEMBER
  // A function of its own type, which the table's macro can't express.
  const char* (*nvmlErrorString)(nvmlReturn_t result) = nullptr;
};

template <typename Function>
void find(void* handle, const std::string& library, const char* symbol, const char* version, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(handle, symbol));
  if (*function == nullptr) {
    throw Misuse("Got " + library + " without " + symbol + ", which driver " + version +
                     " brought; wanted the libnvidia-ml.so.1 of NVIDIA's driver. Update the driver.",
                 "UNSUPPORTED");
  }
}

void require(const Nvml& nvml, nvmlReturn_t result, const char* call, const std::string& remedy) {
  if (result == kSuccess) return;
  throw Misuse(std::string(call) + " failed with \"" + nvml.nvmlErrorString(result) + "\" (" + std::to_string(result) +
                   "). " + remedy,
               "UNSUPPORTED");
}

// Opened and initialised once for each library, and never closed.
const Nvml& open(const std::string& library) {
  static std::mutex mutex;
  static auto* const opened = new std::map<std::string, std::unique_ptr<Nvml>>();
  std::lock_guard<std::mutex> lock(mutex);
  std::unique_ptr<Nvml>& known = (*opened)[library];
  if (known) return *known;
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    throw Misuse("Got no NVML (" + std::string(dlerror()) +
                     "); wanted libnvidia-ml.so.1, which comes with NVIDIA's driver. In a container, allow the driver's "
                     "utilities (NVIDIA_DRIVER_CAPABILITIES=compute,utility), or set WARPBOOK_NVML_LIBRARY to its path.",
                 "UNSUPPORTED");
  }
  auto nvml = std::make_unique<Nvml>();
#define WARPBOOK_FIND(function, version, parameters) find(handle, library, #function, version, &nvml->function);
  WARPBOOK_NVML_FUNCTIONS(WARPBOOK_FIND)
#undef WARPBOOK_FIND
  find(handle, library, "nvmlErrorString", "304", &nvml->nvmlErrorString);
  require(*nvml, nvml->nvmlInit_v2(), "nvmlInit_v2", "Check nvidia-smi.");
  known = std::move(nvml);
  return *known;
}

}  // namespace

std::string nvml_driver_version(const std::string& library) {
  const Nvml& nvml = open(library);
  char version[96] = "";
  require(nvml, nvml.nvmlSystemGetDriverVersion(version, sizeof version), "nvmlSystemGetDriverVersion",
          "Check nvidia-smi.");
  return version;
}

GpuReadings nvml_read(const std::string& library, const std::string& pci_bus_id) {
  const Nvml& nvml = open(library);
  nvmlDevice_t device = nullptr;
  require(nvml, nvml.nvmlDeviceGetHandleByPciBusId_v2(pci_bus_id.c_str(), &device), "nvmlDeviceGetHandleByPciBusId_v2",
          "Check that nvidia-smi lists the GPU at " + pci_bus_id + ".");
  GpuReadings readings;
  // A GPU that doesn't tell one reading still tells the others.
  const auto tell = [](nvmlReturn_t result, unsigned long long value, int64_t* reading) {
    if (result == kSuccess) *reading = static_cast<int64_t>(value);
  };
  unsigned int value = 0;
  nvmlReturn_t result = nvml.nvmlDeviceGetClockInfo(device, kClockSm, &value);
  tell(result, value, &readings.sm_mhz);
  result = nvml.nvmlDeviceGetMaxClockInfo(device, kClockSm, &value);
  tell(result, value, &readings.max_sm_mhz);
  result = nvml.nvmlDeviceGetClockInfo(device, kClockMemory, &value);
  tell(result, value, &readings.memory_mhz);
  result = nvml.nvmlDeviceGetPowerUsage(device, &value);
  tell(result, value, &readings.power_mw);
  result = nvml.nvmlDeviceGetEnforcedPowerLimit(device, &value);
  tell(result, value, &readings.power_limit_mw);
  result = nvml.nvmlDeviceGetTemperature(device, kTemperatureGpu, &value);
  tell(result, value, &readings.temperature_c);
  unsigned long long reasons = 0;
  result = nvml.nvmlDeviceGetCurrentClocksThrottleReasons(device, &reasons);
  tell(result, reasons, &readings.throttle_reasons);
  return readings;
}

}  // namespace warpbook::cuda
