// Opening CUDA's compiler libraries with dlopen, each once.
#pragma once

#include <string>

namespace warpbook::cuda {

// A handle that stays open for as long as the process lives. `library` is a path, or a name for the loader's own search;
// `title` ("NVRTC") and `wanted` ("libnvrtc.so of CUDA 12 or newer") are for messages.
//
// Throws Misuse UNSUPPORTED for a library that doesn't load, and for a name that leads to nothing but a library that was
// opened by its path before: the loader takes what is loaded already for found, and the caller would look for headers in
// the wrong place.
void* open_shared_library(const std::string& library, const std::string& title, const std::string& wanted);

}  // namespace warpbook::cuda
