// The PTX instructions that the attention kernels use, one function each. No CUDA header is needed.
#pragma once

#include "pdl.cuh"

namespace warpbook {

using uint32 = unsigned int;
using int64 = long long;
using uint64 = unsigned long long;

// Keeps what seldom happens out of the way of the straight path.
__device__ __forceinline__ bool unlikely(bool condition) { return __builtin_expect(condition, false); }

// The same number, of which the compiler knows nothing: what is derived from it is computed where it is used instead of
// being kept in registers.
__device__ __forceinline__ int forget(int x) {
  asm volatile("" : "+r"(x));
  return x;
}

constexpr uint32 kAllLanes = 0xffffffffu;

// For data that is read once: it leaves the L2 before everything else.
__device__ __forceinline__ uint64 evict_first_policy() {
  uint64 policy;
  asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}

// 16 bytes from global to shared memory. The L2 fetches `kPrefetch` bytes around it, which must not be more than what
// is contiguous: a longer hint on short rows reads memory that nobody asked for.
template <int kPrefetch>
__device__ __forceinline__ void copy16(uint32 shared, const void* global, uint64 policy) {
  if constexpr (kPrefetch >= 128) {
    asm volatile("cp.async.cg.shared.global.L2::cache_hint.L2::128B [%0], [%1], 16, %2;"
                 ::"r"(shared), "l"(global), "l"(policy) : "memory");
  } else {
    asm volatile("cp.async.cg.shared.global.L2::cache_hint.L2::64B [%0], [%1], 16, %2;"
                 ::"r"(shared), "l"(global), "l"(policy) : "memory");
  }
}
// The same where `bytes` is 16; zeros and no access where it is 0.
__device__ __forceinline__ void copy16_or_zero(uint32 shared, const void* global, int bytes, uint64 policy) {
  asm volatile("cp.async.cg.shared.global.L2::cache_hint [%0], [%1], 16, %2, %3;"
               ::"r"(shared), "l"(global), "r"(bytes), "l"(policy) : "memory");
}
// Asks for kBytes contiguous bytes (a multiple of 16) in the L2. Coherent: who writes there afterwards writes to the L2.
// kBulk: by one bulk request, which takes longer to issue than one of the load unit for each 128 bytes.
template <int kBytes, bool kBulk>
__device__ __forceinline__ void prefetch_l2(const void* global) {
#if __CUDA_ARCH__ >= 900
  if constexpr (kBulk) {
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(global), "n"(kBytes) : "memory");
    return;
  }
#endif
#pragma unroll
  for (int i = 0; i < kBytes; i += 128) {
    asm volatile("prefetch.global.L2 [%0];" ::"l"(static_cast<const char*>(global) + i) : "memory");
  }
}

__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most kPending of the committed groups are in flight.
template <int kPending>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// Barrier `id` (1 to 15) of `threads` threads.
__device__ __forceinline__ void sync_threads(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

__device__ __forceinline__ uint4 load_shared16(uint32 address) {
  uint4 r;
  asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(r.x), "=r"(r.y), "=r"(r.z), "=r"(r.w) : "r"(address));
  return r;
}
__device__ __forceinline__ void store_shared16(uint32 address, const uint4& x) {
  asm volatile("st.shared.v4.u32 [%0], {%1,%2,%3,%4};" ::"r"(address), "r"(x.x), "r"(x.y), "r"(x.z), "r"(x.w) : "memory");
}
__device__ __forceinline__ uint2 load_shared8(uint32 address) {
  uint2 r;
  asm volatile("ld.shared.v2.u32 {%0,%1}, [%2];" : "=r"(r.x), "=r"(r.y) : "r"(address));
  return r;
}

// Four 8x8 matrices of 16-bit elements, each transposed; lane i has the address of row i % 8 of matrix i / 8.
__device__ __forceinline__ void load_transposed(uint32 (&r)[4], uint32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address));
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

// Adds to a counter, answers what it was, and orders nothing else.
__device__ __forceinline__ uint32 count(uint32* counter, uint32 x) {
  uint32 old;
  asm volatile("atom.add.relaxed.gpu.global.u32 %0, [%1], %2;" : "=r"(old) : "l"(counter), "r"(x) : "memory");
  return old;
}

// Words that CTAs hand to each other without further synchronisation: each is seen whole, in any order.
__device__ __forceinline__ void publish(float* target, float x) {
  asm volatile("st.relaxed.gpu.global.f32 [%0], %1;" ::"l"(target), "f"(x) : "memory");
}
__device__ __forceinline__ void publish2(float* target, float2 x) {
  asm volatile("st.relaxed.gpu.global.v2.f32 [%0], {%1,%2};" ::"l"(target), "f"(x.x), "f"(x.y) : "memory");
}
__device__ __forceinline__ void publish4(float* target, float4 x) {
  asm volatile("st.relaxed.gpu.global.v4.f32 [%0], {%1,%2,%3,%4};"
               ::"l"(target), "f"(x.x), "f"(x.y), "f"(x.z), "f"(x.w) : "memory");
}
__device__ __forceinline__ float observe(const float* source) {
  float x;
  asm volatile("ld.relaxed.gpu.global.f32 %0, [%1];" : "=f"(x) : "l"(source));
  return x;
}
template <int kCount>
__device__ __forceinline__ void observe(const float* source, float (&x)[kCount]) {
  static_assert(kCount == 2 || kCount % 4 == 0, "observe");
  if constexpr (kCount == 2) {
    asm volatile("ld.relaxed.gpu.global.v2.f32 {%0,%1}, [%2];" : "=f"(x[0]), "=f"(x[1]) : "l"(source));
  } else {
#pragma unroll
    for (int i = 0; i < kCount; i += 4) {
      asm volatile("ld.relaxed.gpu.global.v4.f32 {%0,%1,%2,%3}, [%4];"
                   : "=f"(x[i]), "=f"(x[i + 1]), "=f"(x[i + 2]), "=f"(x[i + 3]) : "l"(source + i));
    }
  }
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
