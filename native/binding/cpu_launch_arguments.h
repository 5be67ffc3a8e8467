// The arguments that name a program and describe a launch of it, shared by the exports that run one.
#pragma once

#include "binding/arguments.h"
#include "binding/relocations.h"
#include "cpu/programs.h"

namespace warpbook::binding {

inline const cpu::Program& program_argument(const Arguments& arguments, size_t index) {
  static const auto* const programs = new std::vector<const cpu::Program*>(cpu::all_programs());
  return *(*programs)[arguments.integer(index, "program index", 0, static_cast<int64_t>(programs->size()) - 1)];
}

// program index, grid x, grid y, grid z, params, relocations, number of relocations; starting at argument `first`.
inline cpu::LaunchArguments launch_arguments(const Arguments& arguments, size_t first) {
  const Bytes params = arguments.bytes(first + 4, "params");

  cpu::LaunchArguments launch;
  launch.program = &program_argument(arguments, first);
  launch.grid = {arguments.uint32(first + 1, "grid x"), arguments.uint32(first + 2, "grid y"),
                 arguments.uint32(first + 3, "grid z")};
  launch.params = params.data;
  launch.num_params_bytes = params.size;
  launch.relocations = relocations(arguments, first + 5);
  return launch;
}

}  // namespace warpbook::binding
