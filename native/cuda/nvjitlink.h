// nvJitLink, CUDA's device linker, opened with dlopen from a path that the caller has found.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace warpbook::cuda {

struct NvJitLinkVersion {
  unsigned major = 0;
  unsigned minor = 0;
};

struct Linkage {
  bool ok = false;
  // The cubin; empty unless ok.
  std::vector<uint8_t> image;
  // What the linker said.
  std::string log;
};

// Throws Misuse UNSUPPORTED for a library that doesn't load or isn't nvJitLink. Any thread.
NvJitLinkVersion nvjitlink_version(const std::string& library);

// Links a relocatable cubin with static libraries, for the cubin's own architecture ("sm_90a"). Any thread, several at
// a time. Throws Misuse for a library as above, or a failure that isn't the program's.
Linkage nvjitlink_link(const std::string& library, const std::string& architecture, const std::string& name,
                       const std::vector<uint8_t>& image, const std::vector<std::string>& archives);

}  // namespace warpbook::cuda
