// The programs behind tensors; src/tensor/programs.ts describes their parameters.
#pragma once

#include "cpu/program.h"

namespace warpbook::cpu {

extern const Program tensor_arange_program;
extern const Program tensor_compare_program;
extern const Program tensor_copy_program;
extern const Program tensor_fill_program;
extern const Program tensor_random_program;

}  // namespace warpbook::cpu
