#include <cstdlib>
#include <cstring>

#include "cpu/attention/kernels.h"
#include "cpu/program.h"

namespace warpbook::cpu {

namespace {

const AttentionKernels& detect() {
#if defined(__x86_64__)
  if (std::strcmp(instruction_set(), "avx512") == 0) {
    // Asked for by name, AVX-512 is the plain one: so tests reach it on processors that have the bfloat16 extension.
    const char* asked = std::getenv("WARPBOOK_CPU_ISA");
    const bool plain = asked != nullptr && std::strcmp(asked, "avx512") == 0;
    return __builtin_cpu_supports("avx512bf16") && !plain ? avx512_bf16_kernels : avx512_kernels;
  }
  if (std::strcmp(instruction_set(), "avx2") == 0) return avx2_kernels;
#endif
  return portable_kernels;
}

}  // namespace

const AttentionKernels& select_kernels() {
  static const AttentionKernels& kernels = detect();
  return kernels;
}

}  // namespace warpbook::cpu
