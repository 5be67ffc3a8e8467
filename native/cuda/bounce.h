// Pinned blocks that host bytes bounce through on their way to and from the GPU: a write copies into one at once, a
// read is copied out of one when it has arrived.
#pragma once

#include <array>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "cuda/memory.h"

namespace warpbook::cuda {

class BouncePool {
 public:
  // Larger transfers are split into blocks of this size.
  static constexpr size_t kMaxBlockBytes = size_t{4} << 20;

  struct Block {
    uint8_t* data = nullptr;
    size_t size = 0;
  };

  BouncePool(ContextPtr context, Health& health) : context_(std::move(context)), health_(health) {}

  // A block of at least `num_bytes` (at most kMaxBlockBytes). Allocates while few exist; with 256 MiB of them in flight
  // it blocks until one has been given back, which needs nothing but the GPU's progress. Throws Misuse where the device
  // is lost meanwhile. The owner's thread only.
  Block take(size_t num_bytes);
  // Free again when the record has been reached. The owner's thread only.
  void give_back_behind(Block block, RecordPtr record);
  // Free again now. Any thread.
  void give_back(Block block);

 private:
  struct InFlight {
    Block block;
    RecordPtr record;
  };

  static size_t size_class(size_t num_bytes);
  void reclaim(size_t which);
  void add_slab(size_t which);

  ContextPtr context_;
  Health& health_;
  std::vector<PinnedPtr> slabs_;
  // By size class: written to, waiting for the GPU. The owner's thread only.
  std::array<std::deque<InFlight>, 3> in_flight_;
  std::mutex mutex_;
  std::condition_variable given_back_;
  std::array<std::vector<Block>, 3> free_;
};

}  // namespace warpbook::cuda
