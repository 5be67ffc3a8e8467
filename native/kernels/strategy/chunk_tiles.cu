// chunk_tiles: the work list of kernels as FlashInfer's were up to v0.0.5, see chunk.h. What is by value in its parameters is
// what such a kernel has by value in its own, and what a graph freezes.
//
// Never calls griddepcontrol.launch_dependents: attention reads its list before griddepcontrol.wait.
#include "pdl.cuh"
#include "strategy/chunk.h"

extern "C" __global__ void __launch_bounds__(256) chunk_tiles(const __grid_constant__ warpbook::ChunkTilesParams params) {
  using namespace warpbook;
  wait_for_predecessor();
  const int tid = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int stride = static_cast<int>(gridDim.x * blockDim.x);
  const int heads = params.num_kv_heads;
  const ChunkPlan plan = read_chunk_plan(params);
  const int num_tiles = plan.num_valid * heads;
  int* image = static_cast<int*>(params.workspace);
  for (int tile = tid; tile < num_tiles; tile += stride) {
    int words[WB_TILE_STRIDE];
    chunk_tile_record(params, plan, tile / heads, tile % heads, words);
    auto* out = reinterpret_cast<int4*>(image + params.tiles_offset + static_cast<long long>(tile) * WB_TILE_STRIDE);
#pragma unroll
    for (int i = 0; i < WB_TILE_STRIDE; i += 4) out[i / 4] = make_int4(words[i], words[i + 1], words[i + 2], words[i + 3]);
  }
  const int num_ctas = params.num_items * heads;
  for (int cta = tid; cta <= num_ctas; cta += stride) image[params.cta_indptr_offset + cta] = min(cta, num_tiles);
  for (int r = tid; r < plan.num_requests; r += stride) {
    const int2 range = static_cast<const int2*>(params.page_ranges)[r];
    reinterpret_cast<int4*>(image + params.kv_sequences_offset)[r] =
        make_int4(range.x, static_cast<const int*>(params.kv_lens)[r], 0, r);
  }
  const int num_groups = params.split ? plan.num_requests * heads : 0;
  for (int group = tid; group < num_groups; group += stride) {
    const int request = group / heads;
    const int head = group % heads;
    const int first = chunk_first(params, request);
    const int count = chunk_first(params, request + 1) - first;
    const int slot = first * heads + head * count;
    auto* out = reinterpret_cast<int4*>(image + params.merge_groups_offset + group * WB_MERGE_GROUP_STRIDE);
    out[0] = make_int4(request * params.group_size, params.group_size, head, slot);
    out[1] = make_int4(max(chunk_slots(params, plan, request), 0), 0, 0, 0);
    for (int i = 0; i < count; ++i) image[params.merge_slots_offset + slot + i] = (slot + i) * params.group_size;
  }
  if (tid != 0) return;
  image[HEADER_NUM_TILES] = num_tiles;
  image[HEADER_NUM_CTAS] = num_ctas;
  image[HEADER_DISPATCH] = DISPATCH_STATIC;
  image[HEADER_NUM_KV_SEQUENCES] = plan.num_requests;
  image[HEADER_NUM_ROWS] = 0;
  image[HEADER_NUM_SEGMENTS] = 0;
  image[HEADER_NUM_MERGE_GROUPS] = num_groups;
  image[HEADER_NUM_MERGE_SLOTS] = params.split ? num_tiles : 0;
  image[HEADER_NUM_PARTIAL_ROWS] = params.split ? num_tiles * params.group_size : 0;
  image[HEADER_BATCH_SIZE] = plan.num_requests;
}
