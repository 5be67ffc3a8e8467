// An NVML with one GPU, at the fake driver's PCI bus id. FAKE_NVML_INIT is what nvmlInit answers; FAKE_NVML_SILENT=1 is a GPU
// that tells no power and no reasons.
#include <cstdlib>
#include <cstring>

namespace {

constexpr int kNotSupported = 3;
constexpr int kNotFound = 6;
int the_device = 0;

bool silent() { return std::getenv("FAKE_NVML_SILENT") != nullptr; }

}  // namespace

extern "C" {

int nvmlInit_v2() {
  const char* wish = std::getenv("FAKE_NVML_INIT");
  return wish == nullptr ? 0 : std::atoi(wish);
}
const char* nvmlErrorString(int result) {
  return result == kNotFound ? "Not Found" : result == 9 ? "Driver Not Loaded" : "Unknown Error";
}
int nvmlSystemGetDriverVersion(char* version, unsigned int) {
  std::strcpy(version, "580.1.2");
  return 0;
}
int nvmlDeviceGetHandleByPciBusId_v2(const char* id, int** device) {
  *device = &the_device;
  return std::strcmp(id, "00000000:1b:00.0") == 0 ? 0 : kNotFound;
}
int nvmlDeviceGetClockInfo(int*, int type, unsigned int* mhz) {
  *mhz = type == 1 ? 1755 : 2619;
  return 0;
}
int nvmlDeviceGetMaxClockInfo(int*, int, unsigned int* mhz) {
  *mhz = 1980;
  return 0;
}
int nvmlDeviceGetPowerUsage(int*, unsigned int* milliwatts) {
  *milliwatts = 699500;
  return silent() ? kNotSupported : 0;
}
int nvmlDeviceGetEnforcedPowerLimit(int*, unsigned int* milliwatts) {
  *milliwatts = 700000;
  return silent() ? kNotSupported : 0;
}
int nvmlDeviceGetTemperature(int*, int, unsigned int* celsius) {
  *celsius = 61;
  return 0;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(int*, unsigned long long* reasons) {
  *reasons = 0x4 | 0x1;  // the power cap, and a reason that is none: idle
  return silent() ? kNotSupported : 0;
}

}  // extern "C"
