// stream_read: reads memory once and keeps nothing: how fast this GPU can read. 16-byte loads, eight in flight a thread,
// a flat grid. With PDL the next launch starts reading while this one ends, since it depends on nothing: so a chain of reads
// is what the memory can do, and no launch can hide its own start better.
#include "roof_params.h"

extern "C" __global__ void __launch_bounds__(256) stream_read(const __grid_constant__ warpbook::StreamReadParams params) {
  constexpr int kInFlight = 8;
  constexpr int kThreads = 256;
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
  const long long begin = blockIdx.x * params.bytes_per_cta / 16;
  long long end = begin + params.bytes_per_cta / 16;
  if (end > params.num_bytes / 16) end = params.num_bytes / 16;
  const uint4* const source = static_cast<const uint4*>(params.src);
  uint4 sum = {0, 0, 0, 0};
  const auto add = [&sum](uint4 x) {
    sum.x ^= x.x;
    sum.y ^= x.y;
    sum.z ^= x.z;
    sum.w ^= x.w;
  };
  long long i = begin + threadIdx.x;
  for (; i + (kInFlight - 1) * kThreads < end; i += kInFlight * kThreads) {
    uint4 values[kInFlight];
#pragma unroll
    for (int j = 0; j < kInFlight; ++j) values[j] = __ldcs(source + i + j * kThreads);
#pragma unroll
    for (int j = 0; j < kInFlight; ++j) add(values[j]);
  }
  for (; i < end; i += kThreads) add(__ldcs(source + i));
#if __CUDA_ARCH__ >= 900
  // Not earlier than the launch before: no more than two overlap.
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
  if (sum.x == 0x5eed1234 && sum.y == 0x5eed2341 && sum.z == 0x5eed3412 && sum.w == 0x5eed4123) {
    *static_cast<uint4*>(params.sink) = sum;
  }
}
