// Writes new keys and values to their slots of a paged pool; parameters in attention_params.h.
#pragma once

#include "cpu/program.h"

namespace warpbook::cpu {

extern const Program append_kv_program;

}  // namespace warpbook::cpu
