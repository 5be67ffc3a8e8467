#include "cuda/bounce.h"

#include <chrono>
#include <utility>

#include "cpu/misuse.h"

namespace warpbook::cuda {

namespace {

constexpr std::array<size_t, 3> kClassBytes = {size_t{4} << 10, size_t{64} << 10, BouncePool::kMaxBlockBytes};
constexpr size_t kSlabBytes = BouncePool::kMaxBlockBytes;
constexpr size_t kMaxSlabs = 64;
constexpr auto kPause = std::chrono::microseconds(50);

}  // namespace

size_t BouncePool::size_class(size_t num_bytes) {
  size_t which = 0;
  while (kClassBytes[which] < num_bytes) ++which;
  return which;
}

void BouncePool::add_slab(size_t which) {
  slabs_.push_back(std::make_shared<PinnedMemory>(context_, health_, kSlabBytes));
  std::lock_guard<std::mutex> lock(mutex_);
  for (size_t offset = 0; offset < kSlabBytes; offset += kClassBytes[which]) {
    free_[which].push_back({slabs_.back()->data() + offset, kClassBytes[which]});
  }
}

// Streams finish in their own order, so the whole list is looked at; it is short unless the GPU is far behind.
void BouncePool::reclaim(size_t which) {
  std::deque<InFlight> still;
  for (InFlight& entry : in_flight_[which]) {
    if (health_.ok() && context_->driver.cuEventQuery(entry.record->event) == CUDA_ERROR_NOT_READY) {
      still.push_back(std::move(entry));
    } else {
      give_back(entry.block);
    }
  }
  in_flight_[which] = std::move(still);
}

BouncePool::Block BouncePool::take(size_t num_bytes) {
  const size_t which = size_class(num_bytes);
  const auto pop = [&](Block* block) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (free_[which].empty()) return false;
    *block = free_[which].back();
    free_[which].pop_back();
    return true;
  };
  Block block;
  if (pop(&block)) return block;
  reclaim(which);
  if (pop(&block)) return block;
  // Each class may always have one slab, so that no class can starve another.
  if (slabs_.size() < kMaxSlabs || (in_flight_[which].empty() && slabs_.size() < kMaxSlabs + kClassBytes.size())) {
    add_slab(which);
    if (pop(&block)) return block;
  }
  for (;;) {
    reclaim(which);
    if (pop(&block)) return block;
    if (!health_.ok()) throw cpu::Misuse(health_.message(), health_.code());
    std::unique_lock<std::mutex> lock(mutex_);
    given_back_.wait_for(lock, kPause, [&] { return !free_[which].empty(); });
  }
}

void BouncePool::give_back_behind(Block block, RecordPtr record) {
  in_flight_[size_class(block.size)].push_back({block, std::move(record)});
}

void BouncePool::give_back(Block block) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    free_[size_class(block.size)].push_back(block);
  }
  given_back_.notify_one();
}

}  // namespace warpbook::cuda
