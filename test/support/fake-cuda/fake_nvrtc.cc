// A compiler for the fake driver, steered by lines of the source:
//   // fake: entry params registers local shared threads   becomes that kernel of the image (see fake_kernels.cc)
//   // fake-name: expression => name                       is what the name expression becomes in the image
//   #error message                                         is an error, with a caret below its message
// FAKE_NVRTC_LINES holds more of them, for sources that know nothing of fakes. Relocatable code has another magic word,
// which fake_nvjitlink.cc takes. FAKE_NVRTC_MINOR is the version's second half.
#include <cstdlib>
#include <cstring>
#include <map>
#include <sstream>
#include <string>
#include <vector>

struct FakeProgram {
  std::string source, name, log, image;
  std::vector<std::string> expressions;
  std::map<std::string, std::string> names;
};

namespace {

constexpr char kKernel[] = "// fake: ";
constexpr char kName[] = "// fake-name: ";

void read_line(FakeProgram& program, const std::string& line, int number) {
  if (line.rfind("#error", 0) == 0) {
    program.log += program.name + "(" + std::to_string(number) + "): error: " + line.substr(7) + "\n  " + line +
                   "\n         ^\n\n";
  }
  if (line.rfind(kName, 0) == 0) {
    const size_t arrow = line.find(" => ");
    program.names[line.substr(std::strlen(kName), arrow - std::strlen(kName))] = line.substr(arrow + 4);
  }
  if (line.rfind(kKernel, 0) != 0) return;
  const std::string kernel = line.substr(std::strlen(kKernel));
  program.image += kernel + "\n";
  program.log += "ptxas info    : Compiling entry function '" + kernel.substr(0, kernel.find(' ')) + "' for 'sm_90a'\n" +
                 "ptxas         .     8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads\n" +
                 "ptxas info    : Used 40 registers, used 1 barriers, 1024 bytes smem\n";
}

}  // namespace

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
  *program = new FakeProgram{source, name, "", "", {}, {}};
  return 0;
}
int nvrtcDestroyProgram(FakeProgram** program) {
  delete *program;
  return 0;
}
int nvrtcAddNameExpression(FakeProgram* program, const char* expression) {
  program->expressions.push_back(expression);
  return 0;
}
int nvrtcCompileProgram(FakeProgram* program, int num_options, const char* const* options) {
  bool has_architecture = false;
  bool is_relocatable = false;
  for (int i = 0; i < num_options; ++i) {
    has_architecture |= std::strncmp(options[i], "--gpu-architecture=sm_", 22) == 0;
    is_relocatable |= std::strcmp(options[i], "--relocatable-device-code=true") == 0;
  }
  if (!has_architecture) return 5;
  std::istringstream lines(program->source);
  std::string line;
  program->image = is_relocatable ? "fake-relocatable\n" : "fake-cubin\n";
  for (int number = 1; std::getline(lines, line); ++number) read_line(*program, line, number);
  const char* more = std::getenv("FAKE_NVRTC_LINES");
  std::istringstream more_lines(more == nullptr ? "" : more);
  while (std::getline(more_lines, line)) read_line(*program, line, 0);
  for (const std::string& expression : program->expressions) {
    if (program->names.count(expression) > 0) continue;
    program->log += "__nv_name_map(2): error: identifier \"" + expression + "\" is undefined\n";
  }
  return program->log.find("error") == std::string::npos ? 0 : 6;
}
int nvrtcGetLoweredName(FakeProgram* program, const char* expression, const char** name) {
  const auto it = program->names.find(expression);
  if (it == program->names.end()) return 10;
  *name = it->second.c_str();
  return 0;
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
