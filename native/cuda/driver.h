// The CUDA driver, opened with dlopen on first use. Knows functions and versions, no devices.
#pragma once

#include <string>

#include "cuda/driver_functions.h"

namespace warpbook::cuda {

struct Driver {
#define WARPBOOK_MEMBER(function, symbol, version, required, parameters) CUresult(*function) parameters = nullptr;
  WARPBOOK_CUDA_FUNCTIONS(WARPBOOK_MEMBER)
#undef WARPBOOK_MEMBER

  // What was opened: a name for the loader, or the path in WARPBOOK_CUDA_LIBRARY.
  std::string library;
  // Largest CUDA version that the driver knows: 13000 is 13.0.
  int version = 0;
};

// The process' driver, initialised. Throws Misuse with code UNSUPPORTED, saying what is missing and what to do, where
// there is none, where it is too old and where it has no device to offer; asked again, it tries again.
const Driver& driver();

// 12040 -> "12.4"
std::string version_text(int version);

}  // namespace warpbook::cuda
