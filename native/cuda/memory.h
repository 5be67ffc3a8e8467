// Memory on the GPU and pinned memory on the host, and when it may be given back. Knows no handles.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <variant>
#include <vector>

#include "cuda/context.h"
#include "cuda/event.h"
#include "cuda/health.h"

namespace warpbook::cuda {

// Page-locked host memory, which the GPU reads and writes while the host does other things.
class PinnedMemory {
 public:
  // Throws Misuse OUT_OF_MEMORY.
  PinnedMemory(ContextPtr context, Health& health, size_t num_bytes);
  ~PinnedMemory();
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  ContextPtr context_;
  uint8_t* data_ = nullptr;
  size_t size_;
};

using PinnedPtr = std::shared_ptr<PinnedMemory>;

struct DeviceMemory {
  CUdeviceptr address = 0;
  size_t num_bytes = 0;
};

// Device memory from a stream-ordered pool of its own, which keeps what is given back until it is trimmed.
//
// A buffer has no stream, so both ends of its life are decided on the host: it is given to the pool when the records of
// every busy stream have been reached, and handed out only when the pool's own stream has got there.
class MemoryPool {
 public:
  MemoryPool(ContextPtr context, Health& health);
  ~MemoryPool();

  // Throws Misuse OUT_OF_MEMORY with what was asked, what is free and what the pool holds.
  DeviceMemory allocate(size_t num_bytes);
  // Takes the memory back once all of `pending` have been reached.
  void release(DeviceMemory memory, std::vector<RecordPtr> pending) { defer(memory, std::move(pending)); }
  // Keeps anything else that work may use (pinned memory, code, graphs) alive until all of `pending` have been reached.
  void release(std::shared_ptr<const void> held, std::vector<RecordPtr> pending) {
    defer(std::move(held), std::move(pending));
  }

  CUstream stream() const { return stream_; }

 private:
  struct Deferred {
    std::variant<DeviceMemory, std::shared_ptr<const void>> memory;
    std::vector<RecordPtr> pending;
  };

  void defer(std::variant<DeviceMemory, std::shared_ptr<const void>> memory, std::vector<RecordPtr> pending);
  void collect(bool wait);
  CUresult try_allocate(CUdeviceptr* address, size_t num_bytes);
  [[noreturn]] void refuse(size_t num_bytes);
  void free_now(const DeviceMemory& memory);

  ContextPtr context_;
  Health& health_;
  // nullptr on the rare GPU without pools: then every allocation is the driver's own.
  CUmemoryPool pool_ = nullptr;
  CUstream stream_ = nullptr;
  std::deque<Deferred> deferred_;
};

}  // namespace warpbook::cuda
