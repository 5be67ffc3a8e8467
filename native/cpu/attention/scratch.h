// Working memory of one thread: sized by the head dimension alone, kept between launches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

#include "cpu/attention/kernels.h"

namespace warpbook::cpu {

// Rows are padded to whole vectors of any instruction set.
constexpr int kRowPadding = 16;

static constexpr int padded_head_dim(int head_dim) { return (head_dim + kRowPadding - 1) / kRowPadding * kRowPadding; }

// Pointers into one allocation, all 64-byte aligned. `dim` is padded_head_dim(head_dim).
struct Scratch {
  float* q;         // [kMaxRows, dim], padding zero
  float* scores;    // [kMaxRows, kBlockKeys]: logits, then weights
  float* keys;      // [kBlockKeys, dim]: a block converted to float32, padding zero
  float* values;    // [kBlockKeys, dim], likewise
  float* sums;      // [kMaxRows, dim]: weighted values since the last flush into `totals`
  double* totals;   // [kMaxRows, dim]
  double* weights;  // [num_weights]: merge weights of one row's slots
  int num_weights;
};

// Owns the memory behind a Scratch.
class ScratchMemory {
 public:
  ScratchMemory() = default;
  ~ScratchMemory() { std::free(memory_); }
  ScratchMemory(const ScratchMemory&) = delete;
  ScratchMemory& operator=(const ScratchMemory&) = delete;

  // Makes room; what was there is lost. Throws std::bad_alloc.
  const Scratch& reserve(int head_dim) {
    const int dim = padded_head_dim(head_dim);
    if (dim > dim_) allocate(dim);
    return scratch_;
  }

 private:
  void allocate(int dim) {
    constexpr int kNumWeights = 1024;
    const size_t rows = size_t{kMaxRows} * dim * sizeof(float);
    const size_t block = size_t{kBlockKeys} * dim * sizeof(float);
    const size_t scores = size_t{kMaxRows} * kBlockKeys * sizeof(float);
    const size_t weights = kNumWeights * sizeof(double);
    uint8_t* memory = static_cast<uint8_t*>(std::aligned_alloc(64, 4 * rows + 2 * block + scores + weights));
    if (memory == nullptr) throw std::bad_alloc();
    std::free(memory_);
    memory_ = memory;
    dim_ = dim;
    const auto take = [&memory](size_t bytes) {
      uint8_t* start = memory;
      memory += bytes;
      return start;
    };
    scratch_.q = reinterpret_cast<float*>(take(rows));
    scratch_.scores = reinterpret_cast<float*>(take(scores));
    scratch_.keys = reinterpret_cast<float*>(take(block));
    scratch_.values = reinterpret_cast<float*>(take(block));
    scratch_.sums = reinterpret_cast<float*>(take(rows));
    scratch_.totals = reinterpret_cast<double*>(take(2 * rows));
    scratch_.weights = reinterpret_cast<double*>(take(weights));
    scratch_.num_weights = kNumWeights;
  }

  void* memory_ = nullptr;
  int dim_ = 0;
  Scratch scratch_{};
};

}  // namespace warpbook::cpu
