// Which instruction set the vectorised programs use on this machine, found out once.
#include <cstdlib>
#include <cstring>

#include "cpu/program.h"

namespace warpbook::cpu {

namespace {

const char* detect() {
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  const char* widest = std::getenv("WARPBOOK_CPU_ISA");
  const bool only_portable = widest != nullptr && std::strcmp(widest, "portable") == 0;
  const bool only_avx2 = widest != nullptr && std::strcmp(widest, "avx2") == 0;
  if (avx512 && !only_portable && !only_avx2) return "avx512";
  if (avx2 && !only_portable) return "avx2";
#endif
  return "portable";
}

}  // namespace

const char* instruction_set() {
  static const char* const name = detect();
  return name;
}

}  // namespace warpbook::cpu
