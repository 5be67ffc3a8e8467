#include "cuda/nvjitlink.h"

#include <dlfcn.h>

#include <map>
#include <memory>
#include <mutex>

#include "cpu/misuse.h"
#include "cuda/shared_library.h"

namespace warpbook::cuda {

namespace {

using cpu::Misuse;

typedef struct nvJitLink* nvJitLinkHandle;
typedef int nvJitLinkResult;
constexpr nvJitLinkResult kSuccess = 0;
constexpr int kInputCubin = 1;
constexpr int kInputLibrary = 6;

// The one table of nvJitLink's functions: X(function, CUDA version that brought it, parameters).
#define WARPBOOK_NVJITLINK_FUNCTIONS(X)                                                                     \
  X(nvJitLinkVersion, "12.3", (unsigned* major, unsigned* minor))                                           \
  X(nvJitLinkCreate, "12.0", (nvJitLinkHandle * handle, uint32_t num_options, const char** options))        \
  X(nvJitLinkDestroy, "12.0", (nvJitLinkHandle * handle))                                                   \
  X(nvJitLinkAddData, "12.0",                                                                               \
    (nvJitLinkHandle handle, int input_type, const void* data, size_t size, const char* name))              \
  X(nvJitLinkAddFile, "12.0", (nvJitLinkHandle handle, int input_type, const char* path))                   \
  X(nvJitLinkComplete, "12.0", (nvJitLinkHandle handle))                                                    \
  X(nvJitLinkGetErrorLogSize, "12.0", (nvJitLinkHandle handle, size_t* size))                               \
  X(nvJitLinkGetErrorLog, "12.0", (nvJitLinkHandle handle, char* log))                                      \
  X(nvJitLinkGetLinkedCubinSize, "12.0", (nvJitLinkHandle handle, size_t* size))                            \
  X(nvJitLinkGetLinkedCubin, "12.0", (nvJitLinkHandle handle, void* image))

struct NvJitLink {
#define WARPBOOK_MEMBER(function, version, parameters) nvJitLinkResult(*function) parameters = nullptr;
  WARPBOOK_NVJITLINK_FUNCTIONS(WARPBOOK_MEMBER)
#undef WARPBOOK_MEMBER
};

template <typename Function>
void find(void* handle, const std::string& library, const char* symbol, const char* version, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(handle, symbol));
  if (*function != nullptr) return;
  throw Misuse("Got " + library + " without " + symbol + ", which the nvJitLink of CUDA " + version +
                   " brought; wanted nvJitLink of CUDA 12.3 or newer. Install a newer one.",
               "UNSUPPORTED");
}

const NvJitLink& open(const std::string& library) {
  static std::mutex mutex;
  static auto* const opened = new std::map<std::string, std::unique_ptr<NvJitLink>>();
  std::lock_guard<std::mutex> lock(mutex);
  std::unique_ptr<NvJitLink>& known = (*opened)[library];
  if (known) return *known;
  void* handle = open_shared_library(library, "an nvJitLink", "libnvJitLink.so of CUDA 12.3 or newer");
  auto linker = std::make_unique<NvJitLink>();
#define WARPBOOK_FIND(function, version, parameters) find(handle, library, #function, version, &linker->function);
  WARPBOOK_NVJITLINK_FUNCTIONS(WARPBOOK_FIND)
#undef WARPBOOK_FIND
  known = std::move(linker);
  return *known;
}

void require(nvJitLinkResult result, const char* call, const std::string& doing) {
  if (result == kSuccess) return;
  throw Misuse(std::string(call) + " failed with nvJitLinkResult " + std::to_string(result) + ", while " + doing +
               ". Check that nvJitLink is of the compiler's version or newer.");
}

}  // namespace

NvJitLinkVersion nvjitlink_version(const std::string& library) {
  NvJitLinkVersion version;
  require(open(library).nvJitLinkVersion(&version.major, &version.minor), "nvJitLinkVersion", "asking for the version");
  return version;
}

Linkage nvjitlink_link(const std::string& library, const std::string& architecture, const std::string& name,
                       const std::vector<uint8_t>& image, const std::vector<std::string>& archives) {
  const NvJitLink& linker = open(library);
  const std::string doing = "linking " + name;
  const std::string architecture_option = "-arch=" + architecture;
  const char* options[] = {architecture_option.c_str()};
  nvJitLinkHandle raw = nullptr;
  require(linker.nvJitLinkCreate(&raw, 1, options), "nvJitLinkCreate", doing);
  const auto destroy = [&linker](nvJitLinkHandle handle) { linker.nvJitLinkDestroy(&handle); };
  const std::unique_ptr<nvJitLink, decltype(destroy)> handle(raw, destroy);

  nvJitLinkResult result =
      linker.nvJitLinkAddData(handle.get(), kInputCubin, image.data(), image.size(), name.c_str());
  for (const std::string& archive : archives) {
    if (result == kSuccess) result = linker.nvJitLinkAddFile(handle.get(), kInputLibrary, archive.c_str());
  }
  if (result == kSuccess) result = linker.nvJitLinkComplete(handle.get());

  Linkage linkage;
  size_t size = 0;
  require(linker.nvJitLinkGetErrorLogSize(handle.get(), &size), "nvJitLinkGetErrorLogSize", doing);
  std::vector<char> log(size + 1);
  if (size > 0) require(linker.nvJitLinkGetErrorLog(handle.get(), log.data()), "nvJitLinkGetErrorLog", doing);
  linkage.log = log.data();
  if (result != kSuccess) {
    // Without a word from the linker there is nothing that the program's author could act on.
    if (linkage.log.empty()) require(result, "nvJitLinkComplete", doing);
    return linkage;
  }
  require(linker.nvJitLinkGetLinkedCubinSize(handle.get(), &size), "nvJitLinkGetLinkedCubinSize", doing);
  linkage.image.resize(size);
  require(linker.nvJitLinkGetLinkedCubin(handle.get(), linkage.image.data()), "nvJitLinkGetLinkedCubin", doing);
  linkage.ok = true;
  return linkage;
}

}  // namespace warpbook::cuda
