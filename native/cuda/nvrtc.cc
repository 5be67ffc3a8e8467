#include "cuda/nvrtc.h"

#include <cxxabi.h>
#include <dlfcn.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>

#include "cpu/misuse.h"
#include "cuda/shared_library.h"

namespace warpbook::cuda {

namespace {

using cpu::Misuse;

typedef struct _nvrtcProgram* nvrtcProgram;
typedef int nvrtcResult;
constexpr nvrtcResult kSuccess = 0;
constexpr nvrtcResult kCompilationError = 6;

// The one table of NVRTC's functions: X(function, CUDA version that brought it, parameters).
#define WARPBOOK_NVRTC_FUNCTIONS(X)                                                                          \
  X(nvrtcVersion, "7.0", (int* major, int* minor))                                                           \
  X(nvrtcCreateProgram, "7.0",                                                                               \
    (nvrtcProgram * program, const char* source, const char* name, int num_headers, const char* const* headers, \
     const char* const* include_names))                                                                      \
  X(nvrtcDestroyProgram, "7.0", (nvrtcProgram * program))                                                    \
  X(nvrtcCompileProgram, "7.0", (nvrtcProgram program, int num_options, const char* const* options))         \
  X(nvrtcAddNameExpression, "8.0", (nvrtcProgram program, const char* expression))                          \
  X(nvrtcGetLoweredName, "8.0", (nvrtcProgram program, const char* expression, const char** name))           \
  X(nvrtcGetProgramLogSize, "7.0", (nvrtcProgram program, size_t* size))                                     \
  X(nvrtcGetProgramLog, "7.0", (nvrtcProgram program, char* log))                                            \
  X(nvrtcGetCUBINSize, "11.1", (nvrtcProgram program, size_t* size))                                         \
  X(nvrtcGetCUBIN, "11.1", (nvrtcProgram program, char* image))

struct Nvrtc {
#define WARPBOOK_MEMBER(function, version, parameters) nvrtcResult(*function) parameters = nullptr;
  WARPBOOK_NVRTC_FUNCTIONS(WARPBOOK_MEMBER)
#undef WARPBOOK_MEMBER
  // A function of its own type, which the table's macro can't express.
  const char* (*nvrtcGetErrorString)(nvrtcResult result) = nullptr;
};

template <typename Function>
void find(void* handle, const std::string& library, const char* symbol, const char* version, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(handle, symbol));
  if (*function == nullptr) {
    throw Misuse("Got " + library + " without " + symbol + ", which the NVRTC of CUDA " + version +
                     " brought; wanted NVRTC of CUDA 12 or newer. Install a newer one.",
                 "UNSUPPORTED");
  }
}

// NVRTC opens its builtins by name alone, which the loader finds on its path or among what is loaded already: a wheel's
// folder is on no path, so they are loaded here. Where that fails, NVRTC's own message says what is missing.
void load_builtins(const std::string& library, const Nvrtc& nvrtc) {
  const size_t slash = library.rfind('/');
  int major = 0;
  int minor = 0;
  if (slash == std::string::npos || nvrtc.nvrtcVersion(&major, &minor) != kSuccess) return;
  const std::string version = std::to_string(major) + "." + std::to_string(minor);
  dlopen((library.substr(0, slash) + "/libnvrtc-builtins.so." + version).c_str(), RTLD_NOW | RTLD_LOCAL);
}

const Nvrtc& open(const std::string& library) {
  static std::mutex mutex;
  static auto* const opened = new std::map<std::string, std::unique_ptr<Nvrtc>>();
  std::lock_guard<std::mutex> lock(mutex);
  std::unique_ptr<Nvrtc>& known = (*opened)[library];
  if (known) return *known;
  void* handle = open_shared_library(library, "an NVRTC", "libnvrtc.so of CUDA 12 or newer");
  auto nvrtc = std::make_unique<Nvrtc>();
#define WARPBOOK_FIND(function, version, parameters) find(handle, library, #function, version, &nvrtc->function);
  WARPBOOK_NVRTC_FUNCTIONS(WARPBOOK_FIND)
#undef WARPBOOK_FIND
  find(handle, library, "nvrtcGetErrorString", "7.0", &nvrtc->nvrtcGetErrorString);
  load_builtins(library, *nvrtc);
  known = std::move(nvrtc);
  return *known;
}

void require(const Nvrtc& nvrtc, nvrtcResult result, const char* call, const std::string& doing) {
  if (result == kSuccess) return;
  throw Misuse(std::string(call) + " failed with " + nvrtc.nvrtcGetErrorString(result) + " (" + std::to_string(result) +
               "), while " + doing + ". Check that NVRTC and its builtins library are complete and of one version.");
}

KernelName kernel_name(const char* lowered) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> readable(
      abi::__cxa_demangle(lowered, nullptr, nullptr, &status), std::free);
  return {lowered, status == 0 ? readable.get() : lowered};
}

}  // namespace

NvrtcVersion nvrtc_version(const std::string& library) {
  const Nvrtc& nvrtc = open(library);
  NvrtcVersion version;
  require(nvrtc, nvrtc.nvrtcVersion(&version.major, &version.minor), "nvrtcVersion", "asking for the version");
  return version;
}

Compilation nvrtc_compile(const std::string& library, const std::string& source, const std::string& file_name,
                          const std::vector<std::string>& options,
                          const std::vector<std::string>& name_expressions) {
  const Nvrtc& nvrtc = open(library);
  const std::string doing = "compiling " + file_name;
  nvrtcProgram raw = nullptr;
  require(nvrtc, nvrtc.nvrtcCreateProgram(&raw, source.c_str(), file_name.c_str(), 0, nullptr, nullptr),
          "nvrtcCreateProgram", doing);
  const auto destroy = [&nvrtc](nvrtcProgram program) { nvrtc.nvrtcDestroyProgram(&program); };
  const std::unique_ptr<_nvrtcProgram, decltype(destroy)> program(raw, destroy);

  for (const std::string& expression : name_expressions) {
    require(nvrtc, nvrtc.nvrtcAddNameExpression(program.get(), expression.c_str()), "nvrtcAddNameExpression", doing);
  }
  std::vector<const char*> arguments;
  for (const std::string& option : options) arguments.push_back(option.c_str());
  const nvrtcResult compiled =
      nvrtc.nvrtcCompileProgram(program.get(), static_cast<int>(arguments.size()), arguments.data());

  Compilation compilation;
  size_t size = 0;
  require(nvrtc, nvrtc.nvrtcGetProgramLogSize(program.get(), &size), "nvrtcGetProgramLogSize", doing);
  std::vector<char> log(size + 1);
  require(nvrtc, nvrtc.nvrtcGetProgramLog(program.get(), log.data()), "nvrtcGetProgramLog", doing);
  compilation.log = log.data();
  if (compiled == kCompilationError) return compilation;
  require(nvrtc, compiled, "nvrtcCompileProgram", doing + (compilation.log.empty() ? "" : ": " + compilation.log));

  require(nvrtc, nvrtc.nvrtcGetCUBINSize(program.get(), &size), "nvrtcGetCUBINSize", doing);
  if (size == 0) throw Misuse("Got options for " + file_name + " without a real architecture; wanted -arch=sm_..");
  compilation.image.resize(size);
  require(nvrtc, nvrtc.nvrtcGetCUBIN(program.get(), reinterpret_cast<char*>(compilation.image.data())),
          "nvrtcGetCUBIN", doing);
  for (const std::string& expression : name_expressions) {
    const char* lowered = nullptr;
    require(nvrtc, nvrtc.nvrtcGetLoweredName(program.get(), expression.c_str(), &lowered), "nvrtcGetLoweredName", doing);
    compilation.names.push_back(kernel_name(lowered));
  }
  compilation.ok = true;
  return compilation;
}

}  // namespace warpbook::cuda
