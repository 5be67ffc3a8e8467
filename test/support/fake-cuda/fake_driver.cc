// A CUDA driver without a GPU: the functions of native/cuda/driver_functions.h over host memory, for tests of the layer
// above. Streams are queues with threads of their own, so work really is asynchronous. The rooms: this file has devices,
// contexts and failures; fake_memory.cc, fake_streams.cc, fake_kernels.cc and fake_graphs.cc the rest.
//
// The environment, read on cuInit's thread, steers it:
//   FAKE_CUDA_VERSION, FAKE_CUDA_DEVICES   what the driver claims to be
//   FAKE_CUDA_FAIL=function=error          the next call of that function fails so, once
// Built with FAKE_CUDA_12_0 it lacks the functions that later drivers brought.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "fake_objects.h"

struct CUctx_st {};

namespace fake {

std::atomic<int> sticky_error{0};
std::thread::id main_thread;

int environment(const char* name, int otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::atoi(value);
}

CUresult injected(const char* function) {
  static std::string consumed_failure;
  if (std::this_thread::get_id() != main_thread) return CUDA_SUCCESS;
  const char* wish = std::getenv("FAKE_CUDA_FAIL");
  if (wish == nullptr || consumed_failure == wish) return CUDA_SUCCESS;
  const char* equals = std::strchr(wish, '=');
  if (equals == nullptr || std::string(wish, equals) != function) return CUDA_SUCCESS;
  consumed_failure = wish;
  return std::atoi(equals + 1);
}

}  // namespace fake

namespace {

CUctx_st the_context;

}  // namespace

using fake::environment;

extern "C" {

CUresult cuInit(unsigned) {
  fake::main_thread = std::this_thread::get_id();
  return environment("FAKE_CUDA_DEVICES", 2) == 0 ? CUDA_ERROR_NO_DEVICE : CUDA_SUCCESS;
}
CUresult cuDriverGetVersion(int* version) {
  *version = environment("FAKE_CUDA_VERSION", 13000);
  return CUDA_SUCCESS;
}
CUresult cuGetErrorName(CUresult error, const char** name) {
  switch (error) {
    case CUDA_ERROR_INVALID_VALUE: *name = "CUDA_ERROR_INVALID_VALUE"; break;
    case CUDA_ERROR_OUT_OF_MEMORY: *name = "CUDA_ERROR_OUT_OF_MEMORY"; break;
    case CUDA_ERROR_NO_DEVICE: *name = "CUDA_ERROR_NO_DEVICE"; break;
    case CUDA_ERROR_NO_BINARY_FOR_GPU: *name = "CUDA_ERROR_NO_BINARY_FOR_GPU"; break;
    case CUDA_ERROR_NOT_FOUND: *name = "CUDA_ERROR_NOT_FOUND"; break;
    case CUDA_ERROR_ILLEGAL_ADDRESS: *name = "CUDA_ERROR_ILLEGAL_ADDRESS"; break;
    case CUDA_ERROR_STREAM_CAPTURE_UNJOINED: *name = "CUDA_ERROR_STREAM_CAPTURE_UNJOINED"; break;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}
CUresult cuGetErrorString(CUresult error, const char** text) {
  *text = error == CUDA_ERROR_ILLEGAL_ADDRESS ? "an illegal memory access was encountered" : nullptr;
  return CUDA_SUCCESS;
}
CUresult cuDeviceGetCount(int* count) {
  *count = environment("FAKE_CUDA_DEVICES", 2);
  return CUDA_SUCCESS;
}
CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  *device = ordinal;
  return CUDA_SUCCESS;
}
CUresult cuDeviceGetName(char* name, int length, CUdevice device) {
  std::snprintf(name, length, "Fake GPU %d", device);
  return CUDA_SUCCESS;
}
CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice) {
  *bytes = fake::kMemoryBytes;
  return CUDA_SUCCESS;
}
CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute which, CUdevice) {
  switch (which) {
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 132; break;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR: *value = 2048; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = 9; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = 0; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = 232448; break;
    case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED: *value = 1; break;
    case CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID: *value = 0; break;
    case CU_DEVICE_ATTRIBUTE_PCI_BUS_ID: *value = 27; break;
    case CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID: *value = 0; break;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) {
  FAKE_ENTER;
  *context = &the_context;
  return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice) { return CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext) { return CUDA_SUCCESS; }

}  // extern "C"
