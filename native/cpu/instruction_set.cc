// Which instruction set the vectorised programs use on this machine, found out once.
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "cpu/program.h"

namespace warpbook::cpu {

namespace {

// What the environment allows at most.
std::string widest_allowed() {
  const char* forced = std::getenv("WARPBOOK_CPU_ISA");
  const std::string widest = forced == nullptr || *forced == '\0' ? "avx512" : forced;
  if (widest != "avx512" && widest != "avx2" && widest != "portable") {
    throw std::invalid_argument("WARPBOOK_CPU_ISA is '" + widest + "'; wanted avx512, avx2 or portable");
  }
  return widest;
}

const char* detect() {
  const std::string widest = widest_allowed();
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (avx512 && widest == "avx512") return "avx512";
  if (avx2 && widest != "portable") return "avx2";
#endif
  return "portable";
}

}  // namespace

const char* instruction_set() {
  static const char* const name = detect();
  return name;
}

}  // namespace warpbook::cpu
