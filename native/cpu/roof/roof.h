// The programs that a machine's roof is measured with; src/measure/programs.ts describes their parameters.
#pragma once

#include "cpu/program.h"

namespace warpbook::cpu {

extern const Program multiply_add_program;
extern const Program stream_read_program;

}  // namespace warpbook::cpu
