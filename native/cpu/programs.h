// The list behind find_program(), for messages and tests.
#pragma once

#include <vector>

#include "cpu/program.h"

namespace warpbook::cpu {

std::vector<const Program*> all_programs();

}  // namespace warpbook::cpu
