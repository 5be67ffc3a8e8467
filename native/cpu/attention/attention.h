// The `attention` program: drains a packed Schedule on virtual CTAs. Parameters: AttentionParams.
#pragma once

#include "cpu/program.h"

namespace warpbook::cpu {

extern const Program attention_program;

}  // namespace warpbook::cpu
