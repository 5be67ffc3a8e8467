// NVRTC, CUDA's run-time compiler, opened with dlopen from a path that the caller has found.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace warpbook::cuda {

struct NvrtcVersion {
  int major = 0;
  int minor = 0;
};

// What a name in the source became.
struct KernelName {
  // In the image.
  std::string lowered;
  // For people: with types and template arguments where it is a C++ name.
  std::string readable;
};

struct Compilation {
  bool ok = false;
  // The cubin; empty unless ok.
  std::vector<uint8_t> image;
  // Of the name expressions, in their order; empty unless ok.
  std::vector<KernelName> names;
  // What the compiler said: warnings, and with --ptxas-options=-v the use of registers.
  std::string log;
};

// Throws Misuse UNSUPPORTED for a library that doesn't load or isn't NVRTC. Any thread.
NvrtcVersion nvrtc_version(const std::string& library);

// Compiles to a cubin; `options` have to name a real architecture (sm_..). `name_expressions` are kernels as C++ calls
// them, `scale<float>`: templates among them are instantiated. Takes up to minutes. Any thread, several at a time. Throws
// Misuse for a library as above, or a failure that isn't the source's.
Compilation nvrtc_compile(const std::string& library, const std::string& source, const std::string& file_name,
                          const std::vector<std::string>& options,
                          const std::vector<std::string>& name_expressions);

}  // namespace warpbook::cuda
