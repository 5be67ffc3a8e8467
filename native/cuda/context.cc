#include "cuda/context.h"

#include <cstdio>

#include "cpu/misuse.h"
#include "cuda/health.h"

namespace warpbook::cuda {

namespace {

using cpu::Misuse;

constexpr int kMaxNameLength = 256;

void require(const Driver& driver, CUresult result, const char* call, int ordinal) {
  if (result == CUDA_SUCCESS) return;
  if (is_sticky(result)) {
    throw Misuse(std::string(call) + " failed with " + describe_error(driver, result) + ", while opening CUDA device " +
                     std::to_string(ordinal) +
                     ". A CUDA device of this process has failed before, and none works after that: "
                     "restart the kernel.",
                 "DEVICE_LOST");
  }
  throw Misuse(std::string(call) + " failed with " + describe_error(driver, result) + ", while opening CUDA device " +
                   std::to_string(ordinal) + ". Check nvidia-smi: the GPU may be lost, or held by another process.",
               result == CUDA_ERROR_OUT_OF_MEMORY ? "OUT_OF_MEMORY" : "UNSUPPORTED");
}

DeviceFacts facts_of(const Driver& driver, int ordinal) {
  int count = 0;
  require(driver, driver.cuDeviceGetCount(&count), "cuDeviceGetCount", ordinal);
  if (ordinal >= count) {
    throw Misuse("Got CUDA device " + std::to_string(ordinal) + "; wanted one of the " + std::to_string(count) +
                     " that the driver offers, counted from 0. Check nvidia-smi and CUDA_VISIBLE_DEVICES.",
                 "UNSUPPORTED");
  }
  CUdevice device = 0;
  require(driver, driver.cuDeviceGet(&device, ordinal), "cuDeviceGet", ordinal);
  DeviceFacts facts;
  facts.ordinal = ordinal;
  char name[kMaxNameLength] = {};
  require(driver, driver.cuDeviceGetName(name, kMaxNameLength - 1, device), "cuDeviceGetName", ordinal);
  facts.name = name;
  require(driver, driver.cuDeviceTotalMem(&facts.total_bytes, device), "cuDeviceTotalMem", ordinal);
  const auto attribute = [&](CUdevice_attribute which) {
    int value = 0;
    require(driver, driver.cuDeviceGetAttribute(&value, which, device), "cuDeviceGetAttribute", ordinal);
    return value;
  };
  facts.num_sms = attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  facts.max_threads_per_sm = attribute(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR);
  facts.major = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
  facts.minor = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  facts.max_shared_bytes = attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
  facts.has_pools = attribute(CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED) != 0;
  char pci[32];
  std::snprintf(pci, sizeof pci, "%08x:%02x:%02x.0", attribute(CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID),
                attribute(CU_DEVICE_ATTRIBUTE_PCI_BUS_ID), attribute(CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID));
  facts.pci_bus_id = pci;
  return facts;
}

}  // namespace

std::vector<DeviceFacts> list_devices(const Driver& driver) {
  int count = 0;
  require(driver, driver.cuDeviceGetCount(&count), "cuDeviceGetCount", 0);
  std::vector<DeviceFacts> devices;
  for (int ordinal = 0; ordinal < count; ++ordinal) devices.push_back(facts_of(driver, ordinal));
  return devices;
}

Context::Context(const Driver& driver, int ordinal) : driver(driver), facts(facts_of(driver, ordinal)) {
  require(driver, driver.cuDeviceGet(&device_, ordinal), "cuDeviceGet", ordinal);
  require(driver, driver.cuDevicePrimaryCtxRetain(&context_, device_), "cuDevicePrimaryCtxRetain", ordinal);
  require(driver, driver.cuCtxSetCurrent(context_), "cuCtxSetCurrent", ordinal);
}

Context::~Context() {
  if (!abandoned_) driver.cuDevicePrimaryCtxRelease(device_);
}

}  // namespace warpbook::cuda
