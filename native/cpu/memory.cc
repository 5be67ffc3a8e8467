#include "cpu/memory.h"

#include <cstdlib>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace warpbook::cpu {

namespace {

constexpr size_t kCacheLine = 64;
constexpr size_t kHugePage = size_t{2} << 20;

size_t round_up(size_t value, size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace

Memory::Memory(size_t num_bytes) : size_(num_bytes) {
  const bool large = num_bytes >= 2 * kHugePage;
  const size_t alignment = large ? kHugePage : kCacheLine;
  if (num_bytes > SIZE_MAX - alignment) throw std::bad_alloc();
  const size_t rounded = round_up(num_bytes == 0 ? 1 : num_bytes, alignment);
  data_ = static_cast<uint8_t*>(std::aligned_alloc(alignment, rounded));
  if (data_ == nullptr) throw std::bad_alloc();
#ifdef __linux__
  // A KV cache is read with long strides: with 4 KiB pages the TLB misses cost more than the reads. Only advice;
  // a kernel without huge pages ignores it.
  if (large) madvise(data_, rounded, MADV_HUGEPAGE);
#endif
}

Memory::~Memory() { std::free(data_); }

}  // namespace warpbook::cpu
