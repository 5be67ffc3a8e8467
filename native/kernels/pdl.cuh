// Programmatic dependent launch: a kernel may begin before the work ahead of it has ended. Both functions do nothing where
// the launch has no programmatic edge. A kernel that never calls launch_dependents() lets its dependents begin when all of
// its CTAs have ended; one that waits before anything else, and in every CTA, may stand anywhere in a chain.
#pragma once

namespace warpbook {

__device__ __forceinline__ void launch_dependents() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
__device__ __forceinline__ void wait_for_predecessor() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

}  // namespace warpbook
