// Merges partial states that are tensors: what a run does with its own, as an op. Parameters in attention_params.h.
#pragma once

#include "cpu/program.h"

namespace warpbook::cpu {

extern const Program merge_states_program;

}  // namespace warpbook::cpu
