// A linker for what fake_nvrtc.cc compiles to relocatable code: gives it the magic word of the fake driver's images.
// It wants one static library, as kernels that launch kernels do; a kernel "undefined" does not link.
// FAKE_NVJITLINK_MINOR is the version's second half.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

struct FakeLinkage {
  std::string architecture, name, image, log;
  int num_archives = 0;
};

extern "C" {

int nvJitLinkVersion(unsigned* major, unsigned* minor) {
  *major = 13;
  const char* wish = std::getenv("FAKE_NVJITLINK_MINOR");
  *minor = wish == nullptr ? 0 : std::atoi(wish);
  return 0;
}
int nvJitLinkCreate(FakeLinkage** linkage, uint32_t num_options, const char** options) {
  if (num_options != 1 || std::strncmp(options[0], "-arch=sm_", 9) != 0) return 2;
  *linkage = new FakeLinkage;
  return 0;
}
int nvJitLinkDestroy(FakeLinkage** linkage) {
  delete *linkage;
  return 0;
}
int nvJitLinkAddData(FakeLinkage* linkage, int type, const void* data, size_t size, const char* name) {
  if (type != 1) return 3;
  linkage->image.assign(static_cast<const char*>(data), size);
  linkage->name = name;
  return 0;
}
int nvJitLinkAddFile(FakeLinkage* linkage, int type, const char* path) {
  if (type != 6 || std::strstr(path, "libcudadevrt.a") == nullptr) return 3;
  ++linkage->num_archives;
  return 0;
}
int nvJitLinkComplete(FakeLinkage* linkage) {
  constexpr char kMagic[] = "fake-relocatable\n";
  if (linkage->num_archives != 1 || linkage->image.rfind(kMagic, 0) != 0) return 6;
  if (linkage->image.find("\nundefined ") != std::string::npos) {
    linkage->log = "error   : Undefined reference to 'helper' in '" + linkage->name + "'\n";
    return 6;
  }
  linkage->image.replace(0, std::strlen(kMagic), "fake-cubin\n");
  return 0;
}
int nvJitLinkGetErrorLogSize(FakeLinkage* linkage, size_t* size) {
  *size = linkage->log.empty() ? 0 : linkage->log.size() + 1;
  return 0;
}
int nvJitLinkGetErrorLog(FakeLinkage* linkage, char* log) {
  std::strcpy(log, linkage->log.c_str());
  return 0;
}
int nvJitLinkGetLinkedCubinSize(FakeLinkage* linkage, size_t* size) {
  *size = linkage->image.size();
  return 0;
}
int nvJitLinkGetLinkedCubin(FakeLinkage* linkage, void* image) {
  std::memcpy(image, linkage->image.data(), linkage->image.size());
  return 0;
}

}  // extern "C"
