// A program: what the CPU device can launch. The runtime (streams, graphs, the thread pool) knows programs only
// through this header; a program knows the runtime only through `Launch`. Neither knows shapes or dtypes of tensors:
// a program's parameters are the same packed bytes that the CUDA kernel of that name takes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace warpbook::cpu {

// Runs body(index, worker) for every index in [0, count) on the device's threads and returns when all are done.
// Indices are handed out in increasing order; `worker` is in [0, num_workers).
class Parallel {
 public:
  virtual ~Parallel() = default;
  virtual int num_workers() const = 0;
  virtual void run(int64_t count, const std::function<void(int64_t index, int worker)>& body) = 0;
};

struct Launch {
  uint32_t grid[3];
  Parallel& parallel;
};

struct Program {
  const char* name;
  // Exact size of the parameter block; a launch with another size is refused when it is enqueued.
  size_t params_bytes;
  // `params` is 16-byte aligned and lives until run() returns. Throws std::exception on failure, which makes the
  // device's error sticky.
  void (*run)(const Launch& launch, const void* params);
};

// The one table of programs (programs.cc). nullptr if there is none of that name.
const Program* find_program(const char* name);

// Name of the instruction set that vectorised programs were dispatched to: "avx512", "avx2" or "portable".
// WARPBOOK_CPU_ISA forces a narrower one (tests).
const char* instruction_set();

}  // namespace warpbook::cpu
