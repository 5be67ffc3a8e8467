// The attention kernels for AVX2, FMA and F16C. Compiled with these options (CMakeLists.txt).
#if defined(__x86_64__)

#define WB_ISA avx2
#include "cpu/attention/attend.h"
#include "cpu/attention/merge.h"

namespace warpbook::cpu {

const AttentionKernels avx2_kernels{avx2::attend, avx2::merge};

}  // namespace warpbook::cpu

#endif
