// What a decode step is made of besides append and attention; see the kernels of the same names in native/kernels/strategy.
#pragma once

#include "cpu/program.h"

namespace warpbook::cpu {

extern const Program advance_step_program;
extern const Program chunk_tiles_program;
extern const Program hold_stream_program;
extern const Program project_heads_program;

}  // namespace warpbook::cpu
