// The attention kernels for AVX-512 F, BW, VL and DQ. Compiled with these options (CMakeLists.txt).
#if defined(__x86_64__)

#define WB_ISA avx512
#include "cpu/attention/attend.h"
#include "cpu/attention/merge.h"

namespace warpbook::cpu {

const AttentionKernels avx512_kernels{avx512::attend, avx512::merge};

}  // namespace warpbook::cpu

#endif
