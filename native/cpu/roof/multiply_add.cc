// multiply_add: float32 multiply-adds out of registers in the widest vectors that the attention programs use: the roof of
// those programs. Eight chains side by side hide the instruction's latency.
#include <cstdint>
#include <cstring>

#include "cpu/roof/roof.h"
#include "roof_params.h"

namespace warpbook::cpu {

namespace {

constexpr int kChains = 8;

// A register, and a value that the compiler can't know: or it would compute several iterations at once.
#if defined(__x86_64__)
#define WARPBOOK_KEEP(vector) asm volatile("" : "+x"(vector))
#else
#define WARPBOOK_KEEP(vector) asm volatile("" : "+w"(vector))
#endif

// Each pass is kChains x (bytes of Vec / 4) multiply-adds; passes make up for narrow vectors, so that an iteration is the
// same work everywhere. Numbers stay near 1: x -> x * 0.9999 + 0.0001.
template <typename Vec>
inline __attribute__((always_inline)) float multiply_add(int64_t num_iterations) {
  constexpr int kLanes = sizeof(Vec) / sizeof(float);
  constexpr int kPasses = ROOF_CPU_FLOPS_PER_ITERATION / (2 * kChains * kLanes);
  // Variables of their own: elements of an array would live in memory.
  Vec a = Vec{} + 0.1f, b = Vec{} + 0.2f, c = Vec{} + 0.3f, d = Vec{} + 0.4f;
  Vec e = Vec{} + 0.5f, f = Vec{} + 0.6f, g = Vec{} + 0.7f, h = Vec{} + 0.8f;
  const Vec factor = Vec{} + 0.9999f;
  const Vec addend = Vec{} + 0.0001f;
  const auto step = [&](Vec& chain) {
    chain = chain * factor + addend;
    WARPBOOK_KEEP(chain);
  };
  for (int64_t n = 0; n < num_iterations * kPasses; ++n) {
    step(a), step(b), step(c), step(d), step(e), step(f), step(g), step(h);
  }
  const Vec total = (a + b) + (c + d) + (e + f) + (g + h);
  float lanes[kLanes];
  std::memcpy(lanes, &total, sizeof total);
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  return sum;
}

typedef float Vec4 __attribute__((vector_size(16)));

#if defined(__x86_64__)
typedef float Vec8 __attribute__((vector_size(32)));
typedef float Vec16 __attribute__((vector_size(64)));

__attribute__((target("avx2,fma"))) float run_avx2(int64_t num_iterations) { return multiply_add<Vec8>(num_iterations); }
__attribute__((target("avx512f"))) float run_avx512(int64_t num_iterations) {
  return multiply_add<Vec16>(num_iterations);
}
#endif

float run_portable(int64_t num_iterations) { return multiply_add<Vec4>(num_iterations); }

float (*select())(int64_t) {
#if defined(__x86_64__)
  if (std::strcmp(instruction_set(), "avx512") == 0) return run_avx512;
  if (std::strcmp(instruction_set(), "avx2") == 0) return run_avx2;
#endif
  return run_portable;
}

void run(const Launch& launch, const void* raw) {
  const auto& params = *static_cast<const MultiplyAddParams*>(raw);
  float (*const work)(int64_t) = select();
  launch.parallel.run(launch.grid[0], [&](int64_t, int) {
    const float sum = work(params.num_iterations);
    if (sum == 123456.789f) std::memcpy(params.sink, &sum, sizeof sum);
  });
}

}  // namespace

const Program multiply_add_program{"multiply_add", sizeof(MultiplyAddParams), run};

}  // namespace warpbook::cpu
