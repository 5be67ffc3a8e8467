// The attention kernels for any host.

#define WB_ISA portable
#include "cpu/attention/attend.h"
#include "cpu/attention/merge.h"

namespace warpbook::cpu {

const AttentionKernels portable_kernels{portable::attend, portable::merge};

}  // namespace warpbook::cpu
