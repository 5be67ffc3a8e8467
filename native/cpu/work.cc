#include "cpu/work.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "cpu/graph.h"

namespace warpbook::cpu {

namespace {

// Below this one thread is as fast: handing a part to another thread costs about as much as copying 100 KB.
constexpr size_t kPartBytes = size_t{1} << 20;

// Calls body(begin, end) for parts of [0, num_bytes) whose bounds are multiples of 8 (but for the end).
template <typename Body>
void for_parts(size_t num_bytes, Parallel& parallel, Body&& body) {
  if (num_bytes <= kPartBytes) {
    body(size_t{0}, num_bytes);
    return;
  }
  const int64_t num_parts = static_cast<int64_t>((num_bytes + kPartBytes - 1) / kPartBytes);
  parallel.run(num_parts, [&](int64_t index, int) {
    const size_t begin = static_cast<size_t>(index) * kPartBytes;
    body(begin, std::min(begin + kPartBytes, num_bytes));
  });
}

void run(const LaunchWork& launch, Parallel& parallel) {
  launch.program->run(Launch{{launch.grid[0], launch.grid[1], launch.grid[2]}, parallel}, launch.params.data());
}

void run(const CopyWork& copy, Parallel& parallel) {
  // A copy within one buffer may overlap itself; parts would then overwrite what another part still has to read.
  const bool overlaps = copy.target < copy.source + copy.num_bytes && copy.source < copy.target + copy.num_bytes;
  if (overlaps) {
    std::memmove(copy.target, copy.source, copy.num_bytes);
    return;
  }
  for_parts(copy.num_bytes, parallel, [&](size_t begin, size_t end) {
    std::memcpy(copy.target + begin, copy.source + begin, end - begin);
  });
}

void run(const FillWork& fill, Parallel& parallel) {
  for_parts(fill.num_bytes, parallel, [&](size_t begin, size_t end) {
    if (fill.pattern_bytes == 1) {
      std::memset(fill.target + begin, fill.pattern[0], end - begin);
      return;
    }
    // Fill one pattern, then double what is filled: memcpy does the vector work whatever the pattern's size is.
    uint8_t* target = fill.target + begin;
    const size_t num_bytes = end - begin;
    size_t filled = std::min(fill.pattern_bytes, num_bytes);
    std::memcpy(target, fill.pattern.data(), filled);
    while (filled < num_bytes) {
      const size_t step = std::min(std::min(filled, size_t{16384}), num_bytes - filled);
      std::memcpy(target + filled, target, step);
      filled += step;
    }
  });
}

void run(const ChildGraphWork& child, Parallel& parallel) {
  for (const GraphNode& node : child.graph->nodes) execute(*node.work, parallel);
}

}  // namespace

Params::Params(const uint8_t* bytes, size_t num_bytes) : units_((num_bytes + 15) / 16), size_(num_bytes) {
  if (num_bytes > 0) std::memcpy(units_.data(), bytes, num_bytes);
}

void Params::set_address(size_t offset, const void* address) {
  if (offset > size_ || size_ - offset < sizeof(address)) {
    throw std::out_of_range("a relocation at offset " + std::to_string(offset) + " of " + std::to_string(size_) +
                            " parameter bytes; wanted 8 bytes within them");
  }
  std::memcpy(reinterpret_cast<uint8_t*>(units_.data()) + offset, &address, sizeof(address));
}

void execute(const Work& work, Parallel& parallel) {
  std::visit([&](const auto& kind) { run(kind, parallel); }, work);
}

std::string describe(const Work& work) {
  if (const auto* launch = std::get_if<LaunchWork>(&work)) {
    return "launch of '" + std::string(launch->program->name) + "' with grid " + std::to_string(launch->grid[0]) +
           " x " + std::to_string(launch->grid[1]) + " x " + std::to_string(launch->grid[2]);
  }
  if (const auto* copy = std::get_if<CopyWork>(&work)) return "copy of " + std::to_string(copy->num_bytes) + " bytes";
  if (const auto* fill = std::get_if<FillWork>(&work)) return "fill of " + std::to_string(fill->num_bytes) + " bytes";
  return "child graph of " + std::to_string(std::get<ChildGraphWork>(work).graph->nodes.size()) + " nodes";
}

}  // namespace warpbook::cpu
