// Device memory of the CPU device: aligned, uninitialised bytes. Knows no handles and no streams.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace warpbook::cpu {

// One allocation, 64-byte aligned (a cache line, and the widest vector register); large ones ask for huge pages.
// Zero bytes are legal: `data()` is then still a unique, non-null address.
class Memory {
 public:
  explicit Memory(size_t num_bytes);  // throws std::bad_alloc
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  uint8_t* data_;
  size_t size_;
};

using MemoryPtr = std::shared_ptr<Memory>;

}  // namespace warpbook::cpu
