// The five arguments that describe a launch, shared by cpu_launch and cpu_update_node.
#pragma once

#include "binding/arguments.h"
#include "binding/relocations.h"
#include "cpu/programs.h"

namespace warpbook::binding {

// program index, grid x, grid y, grid z, params, relocations, number of relocations; starting at argument `first`.
inline cpu::LaunchArguments launch_arguments(const Arguments& arguments, size_t first) {
  static const auto* const programs = new std::vector<const cpu::Program*>(cpu::all_programs());
  const int64_t last_program = static_cast<int64_t>(programs->size()) - 1;
  const Bytes params = arguments.bytes(first + 4, "params");

  cpu::LaunchArguments launch;
  launch.program = (*programs)[arguments.integer(first, "program index", 0, last_program)];
  launch.grid = {arguments.uint32(first + 1, "grid x"), arguments.uint32(first + 2, "grid y"),
                 arguments.uint32(first + 3, "grid z")};
  launch.params = params.data;
  launch.num_params_bytes = params.size;
  launch.relocations = relocations(arguments, first + 5);
  return launch;
}

}  // namespace warpbook::binding
