// What a stream can be told to compute, with every address and parameter already frozen: a launch, a copy, a fill, and in
// graphs another graph. The same values are the nodes of a captured graph.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "cpu/program.h"

namespace warpbook::cpu {

// A parameter block with the alignment that programs are promised.
class Params {
 public:
  Params(const uint8_t* bytes, size_t num_bytes);
  const void* data() const { return units_.data(); }
  size_t size() const { return size_; }
  // Writes `address` at `offset`; throws std::out_of_range unless 8 bytes fit there.
  void set_address(size_t offset, const void* address);

 private:
  struct alignas(16) Unit {
    uint8_t bytes[16];
  };
  std::vector<Unit> units_;
  size_t size_;
};

struct LaunchWork {
  const Program* program;
  std::array<uint32_t, 3> grid;
  Params params;
};

struct CopyWork {
  uint8_t* target;
  const uint8_t* source;
  size_t num_bytes;
};

// `num_bytes` is a multiple of pattern_bytes (1, 2, 4 or 8).
struct FillWork {
  uint8_t* target;
  size_t num_bytes;
  std::array<uint8_t, 8> pattern;
  size_t pattern_bytes;
};

struct Graph;

// A graph as a node of another one: all of its nodes, in their order.
struct ChildGraphWork {
  std::shared_ptr<const Graph> graph;
};

using Work = std::variant<LaunchWork, CopyWork, FillWork, ChildGraphWork>;

// Runs to the end on the calling thread and the pool; throws what the program throws.
void execute(const Work& work, Parallel& parallel);

// "launch of 'attention' with grid 132 x 1 x 1": for error messages.
std::string describe(const Work& work);

}  // namespace warpbook::cpu
