// NVML, the driver's management library, opened with dlopen: clocks, power and temperature of a GPU. Reads and never
// sets. Knows GPUs by their PCI bus id, since its order is not the driver's.
#pragma once

#include <cstdint>
#include <string>

namespace warpbook::cuda {

// What a GPU does now; -1 where it does not tell.
struct GpuReadings {
  int64_t sm_mhz = -1;
  int64_t max_sm_mhz = -1;
  int64_t memory_mhz = -1;
  int64_t power_mw = -1;
  int64_t power_limit_mw = -1;
  int64_t temperature_c = -1;
  // nvmlClocksThrottleReason bits.
  int64_t throttle_reasons = -1;
};

// The driver's own version, such as "580.159.04". Throws Misuse UNSUPPORTED, saying what is missing, for a library that
// doesn't load, isn't NVML or finds no driver. Any thread.
std::string nvml_driver_version(const std::string& library);

// Takes a millisecond or so. Throws as nvml_driver_version, and UNSUPPORTED where there is no such GPU.
GpuReadings nvml_read(const std::string& library, const std::string& pci_bus_id);

}  // namespace warpbook::cuda
