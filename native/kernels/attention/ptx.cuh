// The PTX instructions that the attention kernels use, one function each. No CUDA header is needed.
#pragma once

namespace warpbook {

using uint32 = unsigned int;
using int64 = long long;
using uint64 = unsigned long long;

// Keeps what seldom happens out of the way of the straight path.
__device__ __forceinline__ bool unlikely(bool condition) { return __builtin_expect(condition, false); }

constexpr uint32 kAllLanes = 0xffffffffu;

// Programmatic dependent launch. Both are no-ops where the launch has no programmatic edge.
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

// 16 bytes from global to shared memory. The L2 fetches `kPrefetch` bytes around it, which must not be more than what
// is contiguous: a longer hint on short rows reads memory that nobody asked for.
template <int kPrefetch>
__device__ __forceinline__ void copy16(uint32 shared, const void* global) {
  if constexpr (kPrefetch >= 256) {
    asm volatile("cp.async.cg.shared.global.L2::256B [%0], [%1], 16;" ::"r"(shared), "l"(global) : "memory");
  } else if constexpr (kPrefetch == 128) {
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(shared), "l"(global) : "memory");
  } else {
    asm volatile("cp.async.cg.shared.global.L2::64B [%0], [%1], 16;" ::"r"(shared), "l"(global) : "memory");
  }
}
// The same where `bytes` is 16; zeros and no access where it is 0.
__device__ __forceinline__ void copy16_or_zero(uint32 shared, const void* global, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global), "r"(bytes) : "memory");
}
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most kPending of the committed groups are in flight.
template <int kPending>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// From global memory past L1, and only where `wanted`; zeros otherwise. As one block of assembly, because the compiler
// turns a conditional expression into a load, a wait and a copy, and many of them into as many round trips.
__device__ __forceinline__ float load_cg(const float* p, bool wanted) {
  float x;
  asm volatile("{.reg .pred w; setp.ne.u32 w, %2, 0; mov.f32 %0, 0f00000000; @w ld.global.cg.f32 %0, [%1];}"
               : "=f"(x) : "l"(p), "r"(static_cast<uint32>(wanted)) : "memory");
  return x;
}
__device__ __forceinline__ float2 load_cg2(const float* p, bool wanted) {
  float2 x;
  asm volatile("{.reg .pred w; setp.ne.u32 w, %3, 0; mov.f32 %0, 0f00000000; mov.f32 %1, 0f00000000; "
               "@w ld.global.cg.v2.f32 {%0,%1}, [%2];}"
               : "=f"(x.x), "=f"(x.y) : "l"(p), "r"(static_cast<uint32>(wanted)) : "memory");
  return x;
}
__device__ __forceinline__ float4 load_cg4(const float* p, bool wanted) {
  float4 x;
  asm volatile("{.reg .pred w; setp.ne.u32 w, %5, 0; mov.f32 %0, 0f00000000; mov.f32 %1, 0f00000000; "
               "mov.f32 %2, 0f00000000; mov.f32 %3, 0f00000000; @w ld.global.cg.v4.f32 {%0,%1,%2,%3}, [%4];}"
               : "=f"(x.x), "=f"(x.y), "=f"(x.z), "=f"(x.w) : "l"(p), "r"(static_cast<uint32>(wanted)) : "memory");
  return x;
}

__device__ __forceinline__ uint4 load_shared16(uint32 address) {
  uint4 r;
  asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(r.x), "=r"(r.y), "=r"(r.z), "=r"(r.w) : "r"(address));
  return r;
}
__device__ __forceinline__ uint2 load_shared8(uint32 address) {
  uint2 r;
  asm volatile("ld.shared.v2.u32 {%0,%1}, [%2];" : "=r"(r.x), "=r"(r.y) : "r"(address));
  return r;
}

// Transposes an 8x8 matrix of 16-bit elements that is spread over the warp.
__device__ __forceinline__ uint32 transpose8x8(uint32 x) {
  uint32 r;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(r) : "r"(x));
  return r;
}

__device__ __forceinline__ float exp2_approx(float x) {
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}
__device__ __forceinline__ float log2_approx(float x) {
  float r;
  asm("lg2.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}
__device__ __forceinline__ float reciprocal(float x) {
  float r;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}

// Adds 1; what this thread and, through a barrier before it, its CTA wrote is seen by who reads a later count.
__device__ __forceinline__ uint32 arrive_at(uint32* counter) {
  uint32 old;
  asm volatile("atom.add.acq_rel.gpu.global.u32 %0, [%1], 1;" : "=r"(old) : "l"(counter) : "memory");
  return old;
}

__device__ __forceinline__ int64 global_time_ns() {
  int64 t;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(t));
  return t;
}
__device__ __forceinline__ int sm_id() {
  int id;
  asm volatile("mov.u32 %0, %smid;" : "=r"(id));
  return id;
}

}  // namespace warpbook
