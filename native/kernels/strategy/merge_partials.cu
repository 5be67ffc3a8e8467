// merge_partials: puts the partial states of a merge group together, one group a CTA: what attention does itself elsewhere, as a
// kernel of its own, for graphs that switch it on and off. Takes the parameters of the launch that wrote the states, and leaves
// these as that launch wants to find them: unwritten.
#include "attention_params.h"
#include "schedule_layout.h"
#include "tensor/elements.cuh"

extern "C" __global__ void __launch_bounds__(128) merge_partials(const __grid_constant__ warpbook::AttentionParams params) {
  using namespace warpbook;
  const int* image = static_cast<const int*>(params.workspace);
  const int* group = image + params.merge_groups_offset + static_cast<int64>(blockIdx.x) * WB_MERGE_GROUP_STRIDE;
  const int* slots = image + params.merge_slots_offset + group[MERGE_GROUP_SLOT_START];
  const int num_slots = group[MERGE_GROUP_SLOT_COUNT];
  const int num_rows = group[MERGE_GROUP_ROW_COUNT];
  const int group_size = params.num_qo_heads / params.num_kv_heads;
  float* partial_o = static_cast<float*>(params.partial_o);
  float* partial_lse = static_cast<float*>(params.partial_lse);
  const float unwritten = __uint_as_float(0xffffffffu);
  for (int i = 0; i < num_rows; ++i) {
    const int row = group[MERGE_GROUP_ROW_START] + i;
    const int64 token = row / group_size;
    const int64 head = group[MERGE_GROUP_KV_HEAD] * group_size + row % group_size;
    float most = __uint_as_float(0xff800000u);
    for (int s = 0; s < num_slots; ++s) most = fmaxf(most, partial_lse[slots[s] + i]);
    const bool empty = most == __uint_as_float(0xff800000u);
    float sum = 0;
    for (int s = 0; s < num_slots && !empty; ++s) sum += __expf(partial_lse[slots[s] + i] - most);
    const float inverse = empty ? 0.0f : 1.0f / sum;
    for (int dim = static_cast<int>(threadIdx.x); dim < params.head_dim; dim += static_cast<int>(blockDim.x)) {
      float total = 0;
      for (int s = 0; s < num_slots; ++s) {
        float* value = partial_o + static_cast<int64>(slots[s] + i) * params.head_dim + dim;
        if (!empty) total += __expf(partial_lse[slots[s] + i] - most) * *value;
        *value = unwritten;
      }
      const int64 at = token * params.o_stride_token + head * params.o_stride_head + dim;
      const uint32 bits = params.q_dtype == DTYPE_FLOAT16 ? narrow<Float16>(total * inverse) : narrow<Bfloat16>(total * inverse);
      static_cast<unsigned short*>(params.o)[at] = static_cast<unsigned short>(bits);
    }
    __syncthreads();
    for (int s = static_cast<int>(threadIdx.x); s < num_slots; s += static_cast<int>(blockDim.x)) partial_lse[slots[s] + i] = unwritten;
    if (threadIdx.x == 0 && params.lse != nullptr) {
      static_cast<float*>(params.lse)[token * params.num_qo_heads + head] = empty ? most : most + __logf(sum);
    }
  }
}
