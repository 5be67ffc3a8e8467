#include "cuda/memory.h"

#include <algorithm>
#include <string>
#include <utility>

#include "cpu/misuse.h"

namespace warpbook::cuda {

namespace {

std::string mib(uint64_t num_bytes) { return std::to_string(num_bytes / (1024 * 1024)) + " MiB"; }

}  // namespace

PinnedMemory::PinnedMemory(ContextPtr context, Health& health, size_t num_bytes)
    : context_(std::move(context)), size_(num_bytes) {
  void* address = nullptr;
  const CUresult result =
      context_->driver.cuMemHostAlloc(&address, std::max<size_t>(num_bytes, 1), CU_MEMHOSTALLOC_PORTABLE);
  if (!health.check(result, "cuMemHostAlloc", "allocating " + std::to_string(num_bytes) + " pinned bytes")) {
    throw cpu::Misuse(health.message(), health.code());
  }
  data_ = static_cast<uint8_t*>(address);
}

PinnedMemory::~PinnedMemory() {
  if (context_->abandoned()) return;
  context_->make_current();
  context_->driver.cuMemFreeHost(data_);
}

MemoryPool::MemoryPool(ContextPtr context, Health& health) : context_(std::move(context)), health_(health) {
  const Driver& driver = context_->driver;
  const char* doing = "making the memory pool";
  health_.check(driver.cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING), "cuStreamCreate", doing);
  if (!context_->facts.has_pools) return;
  CUmemPoolProps properties{};
  properties.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.handleTypes = CU_MEM_HANDLE_TYPE_NONE;
  properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, context_->facts.ordinal};
  if (!health_.check(driver.cuMemPoolCreate(&pool_, &properties), "cuMemPoolCreate", doing)) return;
  uint64_t keep_everything = UINT64_MAX;
  health_.check(driver.cuMemPoolSetAttribute(pool_, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &keep_everything),
                "cuMemPoolSetAttribute", doing);
}

// The device has finished or lost everything by now, and given its buffers back.
MemoryPool::~MemoryPool() {
  if (context_->abandoned()) return;
  collect(true);
  const Driver& driver = context_->driver;
  driver.cuStreamSynchronize(stream_);
  if (pool_ != nullptr) driver.cuMemPoolDestroy(pool_);
  driver.cuStreamDestroy(stream_);
}

CUresult MemoryPool::try_allocate(CUdeviceptr* address, size_t num_bytes) {
  const Driver& driver = context_->driver;
  if (pool_ == nullptr) return driver.cuMemAlloc(address, num_bytes);
  const CUresult result = driver.cuMemAllocFromPoolAsync(address, num_bytes, pool_, stream_);
  return result == CUDA_SUCCESS ? driver.cuStreamSynchronize(stream_) : result;
}

DeviceMemory MemoryPool::allocate(size_t num_bytes) {
  collect(false);
  DeviceMemory memory{0, num_bytes};
  const size_t asked = std::max<size_t>(num_bytes, 1);
  CUresult result = try_allocate(&memory.address, asked);
  if (result == CUDA_ERROR_OUT_OF_MEMORY) {
    // What has been released and is still in use counts too: wait for it, and give the pool's spare memory back.
    collect(true);
    context_->driver.cuStreamSynchronize(stream_);
    if (pool_ != nullptr) context_->driver.cuMemPoolTrimTo(pool_, 0);
    result = try_allocate(&memory.address, asked);
  }
  if (result == CUDA_ERROR_OUT_OF_MEMORY) refuse(num_bytes);
  health_.check(result, pool_ == nullptr ? "cuMemAlloc" : "cuMemAllocFromPoolAsync",
                "allocating " + std::to_string(num_bytes) + " bytes");
  return memory;
}

void MemoryPool::refuse(size_t num_bytes) {
  const Driver& driver = context_->driver;
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  driver.cuMemGetInfo(&free_bytes, &total_bytes);
  uint64_t used = 0;
  uint64_t reserved = 0;
  if (pool_ != nullptr) {
    driver.cuMemPoolGetAttribute(pool_, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used);
    driver.cuMemPoolGetAttribute(pool_, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, &reserved);
  }
  throw cpu::Misuse("Got an allocation of " + mib(num_bytes) + " that CUDA device " +
                        std::to_string(context_->facts.ordinal) + " has no room for: " + mib(free_bytes) + " of " +
                        mib(total_bytes) + " are free, this device's buffers hold " + mib(used) +
                        " and its pool keeps " + mib(reserved - used) +
                        " more. Dispose buffers; if others use the GPU, see nvidia-smi.",
                    "OUT_OF_MEMORY");
}

void MemoryPool::free_now(const DeviceMemory& memory) {
  if (memory.address == 0) return;
  const Driver& driver = context_->driver;
  const CUresult result =
      pool_ != nullptr ? driver.cuMemFreeAsync(memory.address, stream_) : driver.cuMemFree(memory.address);
  if (result != CUDA_SUCCESS) health_.fail(result, "cuMemFreeAsync", "freeing memory");
}

void MemoryPool::defer(std::variant<DeviceMemory, std::shared_ptr<const void>> memory, std::vector<RecordPtr> pending) {
  deferred_.push_back({std::move(memory), std::move(pending)});
  collect(false);
}

void MemoryPool::collect(bool wait) {
  const Driver& driver = context_->driver;
  const auto is_reached = [&](const RecordPtr& record) {
    if (!health_.ok()) return true;
    if (wait) return driver.cuEventSynchronize(record->event) != CUDA_ERROR_NOT_READY;
    // A failure is found and told by whoever waits.
    return driver.cuEventQuery(record->event) != CUDA_ERROR_NOT_READY;
  };
  for (auto entry = deferred_.begin(); entry != deferred_.end();) {
    auto& pending = entry->pending;
    pending.erase(std::remove_if(pending.begin(), pending.end(), is_reached), pending.end());
    if (!pending.empty()) {
      ++entry;
      continue;
    }
    if (const auto* memory = std::get_if<DeviceMemory>(&entry->memory)) free_now(*memory);
    entry = deferred_.erase(entry);
  }
}

}  // namespace warpbook::cuda
