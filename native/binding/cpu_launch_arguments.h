// The five arguments that describe a launch, shared by cpu_launch and cpu_update_node.
#pragma once

#include "binding/arguments.h"
#include "cpu/programs.h"

namespace warpbook::binding {

// program index, grid x, grid y, grid z, params, relocations, number of relocations; starting at argument `first`.
// Relocations are triples of doubles (offset, buffer, byte offset): one typed array instead of 3 n property reads.
inline cpu::LaunchArguments launch_arguments(const Arguments& arguments, size_t first) {
  static const auto* const programs = new std::vector<const cpu::Program*>(cpu::all_programs());
  const int64_t last_program = static_cast<int64_t>(programs->size()) - 1;
  const Bytes params = arguments.bytes(first + 4, "params");
  const Numbers triples = arguments.numbers(first + 5, "relocations");
  const int64_t num_relocations =
      arguments.integer(first + 6, "number of relocations", 0, static_cast<int64_t>(triples.size / 3));

  cpu::LaunchArguments launch;
  launch.program = (*programs)[arguments.integer(first, "program index", 0, last_program)];
  launch.grid = {arguments.uint32(first + 1, "grid x"), arguments.uint32(first + 2, "grid y"),
                 arguments.uint32(first + 3, "grid z")};
  launch.params = params.data;
  launch.num_params_bytes = params.size;
  launch.relocations.reserve(num_relocations);
  for (int64_t i = 0; i < num_relocations; ++i) {
    const double* triple = triples.data + 3 * i;
    if (!(triple[0] >= 0 && triple[2] >= 0)) arguments.refuse(first + 5, "relocations", "offsets of at least 0");
    launch.relocations.push_back({static_cast<size_t>(triple[0]), static_cast<cpu::Handle>(triple[1]),
                                  static_cast<size_t>(triple[2])});
  }
  return launch;
}

}  // namespace warpbook::binding
