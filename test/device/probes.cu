// Kernels for the device tests: each shows one thing that the layer above promises.

struct alignas(16) StoreParams {
  unsigned* word;
  unsigned value;
};

// Grid, CTA, dynamic shared memory: 8 words.
struct alignas(16) ShapeParams {
  unsigned* report;
};

struct alignas(16) ArangeParams {
  int* dst;
  long long count;
  int start;
  int step;
};

extern "C" __global__ void add_word(const __grid_constant__ StoreParams p) { atomicAdd(p.word, p.value); }

extern "C" __global__ void arange(const __grid_constant__ ArangeParams p) {
  const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
  for (long long i = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x; i < p.count; i += stride) {
    p.dst[i] = p.start + static_cast<int>(i) * p.step;
  }
}

extern "C" __global__ void shape(const __grid_constant__ ShapeParams p) {
  unsigned shared_bytes;
  asm("mov.u32 %0, %%dynamic_smem_size;" : "=r"(shared_bytes));
  const unsigned words[8] = {gridDim.x, gridDim.y, gridDim.z, blockDim.x, blockDim.y, blockDim.z, shared_bytes, 1};
  if (blockIdx.x == 0 && blockIdx.y == 0 && blockIdx.z == 0 && threadIdx.x == 0) {
    for (int i = 0; i < 8; ++i) p.report[i] = words[i];
  }
}

// Keeps the stream busy for `value` microseconds.
extern "C" __global__ void spin(const __grid_constant__ StoreParams p) {
  unsigned long long start, now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(start));
  do {
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  } while (now - start < 1000ull * p.value);
  if (threadIdx.x == 0 && blockIdx.x == 0) *p.word = p.value;
}

// Chained by programmatic dependent launch: reads the word only behind the kernel before.
extern "C" __global__ void double_word(const __grid_constant__ StoreParams p) {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
  if (threadIdx.x == 0 && blockIdx.x == 0) *p.word = *p.word * 2 + p.value;
}

extern "C" __global__ void illegal_address(const __grid_constant__ StoreParams p) {
  *reinterpret_cast<volatile unsigned*>(16) = p.value;
}
