// A compiler for the fake driver: a source's line "// fake: entry params registers local shared threads" becomes that
// kernel of the image, "#error" becomes an error. FAKE_NVRTC_MINOR is its version's second half.
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>

struct FakeProgram {
  std::string source, name, log, image;
};

extern "C" {

int nvrtcVersion(int* major, int* minor) {
  *major = 13;
  const char* wish = std::getenv("FAKE_NVRTC_MINOR");
  *minor = wish == nullptr ? 0 : std::atoi(wish);
  return 0;
}
const char* nvrtcGetErrorString(int) { return "NVRTC_ERROR_FAKE"; }
int nvrtcCreateProgram(FakeProgram** program, const char* source, const char* name, int, const char* const*,
                       const char* const*) {
  *program = new FakeProgram{source, name, "", ""};
  return 0;
}
int nvrtcDestroyProgram(FakeProgram** program) {
  delete *program;
  return 0;
}
int nvrtcCompileProgram(FakeProgram* program, int num_options, const char* const* options) {
  bool has_architecture = false;
  for (int i = 0; i < num_options; ++i) has_architecture |= std::strncmp(options[i], "--gpu-architecture=sm_", 22) == 0;
  if (!has_architecture) return 5;
  std::istringstream lines(program->source);
  std::string line;
  program->image = "fake-cubin\n";
  for (int number = 1; std::getline(lines, line); ++number) {
    if (line.rfind("#error", 0) == 0) {
      program->log += program->name + "(" + std::to_string(number) + "): error: " + line.substr(7) + "\n";
    }
    if (line.rfind("// fake: ", 0) != 0) continue;
    program->image += line.substr(9) + "\n";
    const std::string entry = line.substr(9, line.find(' ', 9) - 9);
    program->log += "ptxas info    : Compiling entry function '" + entry + "' for 'sm_90a'\n" +
                    "ptxas         .     8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads\n" +
                    "ptxas info    : Used 40 registers, used 1 barriers, 1024 bytes smem\n";
  }
  return program->log.find("error") == std::string::npos ? 0 : 6;
}
int nvrtcGetProgramLogSize(FakeProgram* program, size_t* size) {
  *size = program->log.size() + 1;
  return 0;
}
int nvrtcGetProgramLog(FakeProgram* program, char* log) {
  std::strcpy(log, program->log.c_str());
  return 0;
}
int nvrtcGetCUBINSize(FakeProgram* program, size_t* size) {
  *size = program->image.size();
  return 0;
}
int nvrtcGetCUBIN(FakeProgram* program, char* image) {
  std::memcpy(image, program->image.data(), program->image.size());
  return 0;
}

}  // extern "C"
