// How fast this host reads memory: the yardstick of bench/cpu-decode.mts, which compiles and drives it.
//
//   stream-read THREADS SETS BYTES    then, on standard input, a number of passes a line
//
// Each pass reads one of SETS buffers of BYTES in order, all threads side by side, with vector loads and as little else
// as keeps the compiler from dropping them; a line of nanoseconds, one number a pass, answers. The buffers rotate, so
// that none is still in a cache.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace {

typedef uint64_t Vec __attribute__((vector_size(64), may_alias));
constexpr size_t kHugePage = size_t{2} << 20;

uint8_t* allocate(size_t bytes) {
  const size_t rounded = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  void* memory = std::aligned_alloc(kHugePage, rounded);
  if (memory == nullptr) throw std::bad_alloc();
#ifdef __linux__
  madvise(memory, rounded, MADV_HUGEPAGE);  // as the device's own memory is
#endif
  std::memset(memory, 1, rounded);
  return static_cast<uint8_t*>(memory);
}

// Four loads side by side: one chain of xors would wait for itself.
uint64_t read_all(const uint8_t* begin, const uint8_t* end) {
  Vec a{}, b{}, c{}, d{};
  const Vec* p = reinterpret_cast<const Vec*>(begin);
  for (const Vec* last = reinterpret_cast<const Vec*>(end); p + 4 <= last; p += 4) {
    a ^= p[0];
    b ^= p[1];
    c ^= p[2];
    d ^= p[3];
  }
  const Vec all = (a ^ b) ^ (c ^ d);
  return all[0] ^ all[1] ^ all[2] ^ all[3] ^ all[4] ^ all[5] ^ all[6] ^ all[7];
}

class Passes {
 public:
  Passes(int num_threads, const std::vector<uint8_t*>& sets, size_t bytes)
      : num_threads_(num_threads), sets_(sets), bytes_(bytes) {}

  // Helpers live as long as the passes and spin between them: a wake-up is not part of what is measured.
  void run(int count) {
    std::vector<std::thread> helpers;
    const int first = next_set_;
    for (int t = 1; t < num_threads_; ++t) {
      helpers.emplace_back([this, t, first, count, start = started_.load()] {
        for (int i = 0; i < count; ++i) {
          while (started_.load() == start + i) {
          }
          share(t, first + i);
          ++finished_;
        }
      });
    }
    for (int i = 0; i < count; ++i) {
      finished_ = 0;
      const auto begin = std::chrono::steady_clock::now();
      ++started_;
      share(0, first + i);
      while (finished_ < num_threads_ - 1) {
      }
      const auto end = std::chrono::steady_clock::now();
      std::printf("%lld ", static_cast<long long>(std::chrono::nanoseconds(end - begin).count()));
    }
    std::printf("\n");
    std::fflush(stdout);
    for (std::thread& helper : helpers) helper.join();
    next_set_ += count;
  }

 private:
  void share(int thread, int set) {
    const uint8_t* base = sets_[set % sets_.size()];
    const size_t chunk = bytes_ / num_threads_ / 256 * 256;
    sink_ ^= read_all(base + thread * chunk, base + (thread + 1) * chunk);
  }

  const int num_threads_;
  const std::vector<uint8_t*>& sets_;
  const size_t bytes_;
  int next_set_ = 0;
  std::atomic<int> started_{0};
  std::atomic<int> finished_{0};
  std::atomic<uint64_t> sink_{0};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: stream-read THREADS SETS BYTES\n");
    return 2;
  }
  std::vector<uint8_t*> sets(std::max(1, std::atoi(argv[2])));
  const size_t bytes = std::strtoull(argv[3], nullptr, 10);
  for (uint8_t*& set : sets) set = allocate(bytes);
  Passes passes(std::max(1, std::atoi(argv[1])), sets, bytes);
  for (int count; std::scanf("%d", &count) == 1;) passes.run(count);
  return 0;
}
