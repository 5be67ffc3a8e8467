// The programs `plan_tiles` (the planner on the device) and `scatter_words` (deltas of page lists).
#pragma once

#include "cpu/program.h"

namespace warpbook::cpu {

extern const Program plan_tiles_program;
extern const Program scatter_words_program;

}  // namespace warpbook::cpu
