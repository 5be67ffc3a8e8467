// hold_stream: keeps a stream busy for a while, so that the host is ahead of the device and what comes behind is timed without it.
#include "step_params.h"

extern "C" __global__ void hold_stream(const __grid_constant__ warpbook::HoldStreamParams params) {
  unsigned long long now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  const unsigned long long end = now + static_cast<unsigned long long>(params.hold_ns);
  while (now < end) asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
}
