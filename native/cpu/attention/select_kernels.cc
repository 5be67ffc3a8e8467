#include <cstring>

#include "cpu/attention/kernels.h"
#include "cpu/program.h"

namespace warpbook::cpu {

const AttentionKernels& select_kernels() {
#if defined(__x86_64__)
  if (std::strcmp(instruction_set(), "avx512") == 0) {
    return __builtin_cpu_supports("avx512bf16") ? avx512_bf16_kernels : avx512_kernels;
  }
  if (std::strcmp(instruction_set(), "avx2") == 0) return avx2_kernels;
#endif
  return portable_kernels;
}

}  // namespace warpbook::cpu
