// Attention by its definition, in float64: what every CUDA kernel is measured against where JavaScript would take hours.
// One CTA for each query row and head, one warp for each key in turn: the largest logit first, then the sum. No tiles, no
// schedule, no rescaling, and nothing included from the kernels under test. It is itself checked against the reference in
// src/attention/reference.ts.

struct alignas(16) ReferenceParams {
  const void* q;           // [numQoTokens, numQoHeads, headDim]
  const void* k;
  const void* v;
  const int* kv_indices;
  const int* kv_indptr;    // [batchSize + 1], into kv_indices
  const int* kv_lens;      // [batchSize]
  const int* qo_indptr;    // [batchSize + 1]
  const float* sinks;      // [numQoHeads] or null
  const float* alibi_slopes;
  float* o;                // [numQoTokens, numQoHeads, headDim]
  float* lse;              // [numQoTokens, numQoHeads]
  long long q_stride_token;
  long long q_stride_head;
  long long kv_stride_page;
  long long kv_stride_token;
  long long kv_stride_head;
  int batch_size;
  int q_dtype;             // see Dtype
  int kv_dtype;
  int head_dim;            // at most 512, a multiple of 8
  int num_qo_heads;
  int num_kv_heads;
  int page_size;
  int causal;
  int window_left;         // -1: none
  float sm_scale;
  float logits_soft_cap;   // 0: none
  float k_scale;
  float v_scale;
};

namespace {

constexpr int kWarps = 8;
constexpr int kMaxDimsPerLane = 16;

// By the library's codes of element types (src/tensor/dtype.ts).
enum Dtype { kFloat32 = 0, kFloat16 = 1, kBfloat16 = 2, kFloat8E4m3 = 3, kFloat8E5m2 = 4 };

__device__ float half_bits(unsigned short bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}

__device__ double load(const void* base, long long index, int dtype) {
  switch (dtype) {
    case kFloat32: return static_cast<const float*>(base)[index];
    case kFloat16: return half_bits(static_cast<const unsigned short*>(base)[index]);
    case kBfloat16: return __uint_as_float(static_cast<unsigned>(static_cast<const unsigned short*>(base)[index]) << 16);
    case kFloat8E5m2: return half_bits(static_cast<unsigned short>(static_cast<const unsigned char*>(base)[index] << 8));
    default: {
      // e4m3: exponent bias 7, no infinity, NaN where all bits but the sign are set.
      const unsigned bits = static_cast<const unsigned char*>(base)[index];
      const int exponent = (bits >> 3) & 15, mantissa = bits & 7;
      double magnitude = exponent == 0 ? ldexp(static_cast<double>(mantissa), -9)
                                       : ldexp(static_cast<double>(8 + mantissa), exponent - 10);
      if (exponent == 15 && mantissa == 7) magnitude = __longlong_as_double(0x7ff8000000000000ll);
      return bits & 128 ? -magnitude : magnitude;
    }
  }
}

struct Row {
  const ReferenceParams& p;
  int request, head, lane;
  long long position;
  double query[kMaxDimsPerLane];

  __device__ long long key_offset(long long key) const {
    const int page = p.kv_indices[p.kv_indptr[request] + key / p.page_size];
    return page * p.kv_stride_page + key % p.page_size * p.kv_stride_token +
           head / (p.num_qo_heads / p.num_kv_heads) * p.kv_stride_head;
  }

  // Of one key, the same in every lane of the warp.
  __device__ double logit(long long key) const {
    const long long offset = key_offset(key);
    double dot = 0;
#pragma unroll
    for (int i = 0; i < kMaxDimsPerLane; ++i) {
      const int d = i * 32 + lane;
      if (d < p.head_dim) dot += query[i] * load(p.k, offset + d, p.kv_dtype);
    }
    for (int mask = 16; mask > 0; mask >>= 1) dot += __shfl_xor_sync(~0u, dot, mask);
    double value = dot * p.k_scale * p.sm_scale;
    if (p.logits_soft_cap > 0) value = p.logits_soft_cap * tanh(value / p.logits_soft_cap);
    if (p.alibi_slopes) value += static_cast<double>(p.alibi_slopes[head]) * static_cast<double>(key - position);
    return value;
  }
};

}  // namespace

extern "C" __global__ void reference_attention(const __grid_constant__ ReferenceParams p) {
  __shared__ double largest_of[kWarps];
  __shared__ double sum_of[kWarps];
  __shared__ double output_of[kWarps][32 * kMaxDimsPerLane];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const long long token = blockIdx.x / p.num_qo_heads;
  const int head = blockIdx.x % p.num_qo_heads;
  const double minus_infinity = -__longlong_as_double(0x7ff0000000000000ll);

  int request = 0;
  while (request < p.batch_size && p.qo_indptr[request + 1] <= token) ++request;
  if (request == p.batch_size) return;
  const long long kv_len = p.kv_lens[request];
  const long long qo_len = p.qo_indptr[request + 1] - p.qo_indptr[request];
  const long long position = kv_len - qo_len + (token - p.qo_indptr[request]);
  const long long end = p.causal ? min(kv_len, position + 1) : kv_len;
  const long long start = p.window_left < 0 ? 0 : max(0ll, position - p.window_left);

  Row row{p, request, head, lane, position, {}};
#pragma unroll
  for (int i = 0; i < kMaxDimsPerLane; ++i) {
    const int d = i * 32 + lane;
    if (d < p.head_dim) row.query[i] = load(p.q, token * p.q_stride_token + head * p.q_stride_head + d, p.q_dtype);
  }

  double largest = p.sinks ? static_cast<double>(p.sinks[head]) : minus_infinity;
  for (long long key = start + warp; key < end; key += kWarps) largest = fmax(largest, row.logit(key));
  largest_of[warp] = largest;
  __syncthreads();
  for (int w = 0; w < kWarps; ++w) largest = fmax(largest, largest_of[w]);

  double sum = 0;
  double output[kMaxDimsPerLane] = {};
  for (long long key = start + warp; key < end; key += kWarps) {
    const double weight = exp(row.logit(key) - largest);
    const long long offset = row.key_offset(key);
    sum += weight;
#pragma unroll
    for (int i = 0; i < kMaxDimsPerLane; ++i) {
      const int d = i * 32 + lane;
      if (d < p.head_dim) output[i] += weight * load(p.v, offset + d, p.kv_dtype);
    }
  }
  sum_of[warp] = sum;
#pragma unroll
  for (int i = 0; i < kMaxDimsPerLane; ++i) output_of[warp][i * 32 + lane] = output[i];
  __syncthreads();

  sum = p.sinks ? exp(p.sinks[head] - largest) : 0;
  for (int w = 0; w < kWarps; ++w) sum += sum_of[w];
  const long long out_row = token * p.num_qo_heads + head;
  const bool empty = !(largest > minus_infinity);
  for (int d = threadIdx.x; d < p.head_dim; d += blockDim.x) {
    double total = 0;
    for (int w = 0; w < kWarps; ++w) total += output_of[w][d];
    p.o[out_row * p.head_dim + d] = empty ? 0.f : static_cast<float>(total * p.v_scale / sum);
  }
  if (threadIdx.x == 0) p.lse[out_row] = static_cast<float>(empty ? minus_infinity : largest + log(sum));
}
