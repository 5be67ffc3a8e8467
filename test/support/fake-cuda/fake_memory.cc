// Memory of the fake driver: host memory with a budget, filled with 0xcd; an allocation beyond 256 MiB fails.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "fake_objects.h"

struct CUmemPoolHandle_st {};

namespace fake {

std::atomic<size_t> used_bytes{0};
std::atomic<size_t> reserved_bytes{0};

}  // namespace fake

using namespace fake;

namespace {

CUmemPoolHandle_st the_pool;
std::mutex memory_mutex;
std::map<CUdeviceptr, size_t> allocations;

CUresult allocate(CUdeviceptr* address, size_t bytes) {
  std::lock_guard<std::mutex> lock(memory_mutex);
  if (used_bytes + bytes > kMemoryBytes) return CUDA_ERROR_OUT_OF_MEMORY;
  *address = reinterpret_cast<CUdeviceptr>(std::aligned_alloc(256, (bytes + 255) / 256 * 256));
  std::memset(reinterpret_cast<void*>(*address), 0xcd, bytes);
  allocations[*address] = bytes;
  used_bytes += bytes;
  reserved_bytes = std::max(reserved_bytes.load(), used_bytes.load());
  return CUDA_SUCCESS;
}

void release(CUdeviceptr address) {
  std::lock_guard<std::mutex> lock(memory_mutex);
  const auto it = allocations.find(address);
  if (it == allocations.end()) std::abort();
  used_bytes -= it->second;
  allocations.erase(it);
  std::free(reinterpret_cast<void*>(address));
}

}  // namespace

extern "C" {

CUresult cuMemGetInfo_v2(size_t* free_bytes, size_t* total_bytes) {
  FAKE_ENTER;
  *free_bytes = kMemoryBytes - used_bytes;
  *total_bytes = kMemoryBytes;
  return CUDA_SUCCESS;
}
CUresult cuMemAlloc_v2(CUdeviceptr* address, size_t bytes) {
  FAKE_ENTER;
  return allocate(address, bytes);
}
CUresult cuMemFree_v2(CUdeviceptr address) {
  release(address);
  return CUDA_SUCCESS;
}
CUresult cuMemPoolCreate(CUmemoryPool* pool, const CUmemPoolProps* properties) {
  FAKE_ENTER;
  if (properties->location.type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_INVALID_VALUE;
  *pool = &the_pool;
  return CUDA_SUCCESS;
}
CUresult cuMemPoolDestroy(CUmemoryPool) { return CUDA_SUCCESS; }
CUresult cuMemPoolSetAttribute(CUmemoryPool, CUmemPool_attribute, void*) { return CUDA_SUCCESS; }
CUresult cuMemPoolGetAttribute(CUmemoryPool, CUmemPool_attribute which, void* value) {
  *static_cast<uint64_t*>(value) = which == CU_MEMPOOL_ATTR_USED_MEM_CURRENT ? used_bytes : reserved_bytes;
  return CUDA_SUCCESS;
}
CUresult cuMemPoolTrimTo(CUmemoryPool, size_t) {
  reserved_bytes = used_bytes.load();
  return CUDA_SUCCESS;
}
CUresult cuMemAllocFromPoolAsync(CUdeviceptr* address, size_t bytes, CUmemoryPool, CUstream) {
  FAKE_ENTER;
  return allocate(address, bytes);
}
CUresult cuMemFreeAsync(CUdeviceptr address, CUstream stream) {
  FAKE_ENTER;
  stream->push([address] { release(address); });
  return CUDA_SUCCESS;
}
CUresult cuMemHostAlloc(void** address, size_t bytes, unsigned) {
  FAKE_ENTER;
  *address = std::malloc(bytes);
  return CUDA_SUCCESS;
}
CUresult cuMemFreeHost(void* address) {
  std::free(address);
  return CUDA_SUCCESS;
}

}  // extern "C"
