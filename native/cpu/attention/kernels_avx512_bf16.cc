// The attention kernels for AVX-512 F, BW, VL, DQ and BF16. Compiled with these options (CMakeLists.txt).
#if defined(__x86_64__)

#define WB_ISA avx512_bf16
#include "cpu/attention/attend.h"
#include "cpu/attention/merge.h"

namespace warpbook::cpu {

const AttentionKernels avx512_bf16_kernels{avx512_bf16::attend, avx512_bf16::merge};

}  // namespace warpbook::cpu

#endif
