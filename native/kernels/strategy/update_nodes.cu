// update_nodes: changes the graph that it stands in. Behind a planner it gives every launch of attention a CTA for each tile of the
// work list, up to as many as the list was dealt out to, and switches the merge behind each of them on or off. For that it takes merging away from attention, whose
// last CTA would do it otherwise.
#include "schedule_layout.h"
#include "step_params.h"

extern "C" __global__ void __launch_bounds__(256) update_nodes(const __grid_constant__ warpbook::UpdateNodesParams params) {
  using namespace warpbook;
  int* image = static_cast<int*>(params.workspace);
  int* state = static_cast<int*>(params.state);
  const int tid = static_cast<int>(threadIdx.x);
  const int num_tiles = image[HEADER_NUM_TILES];
  const int num_ctas = min(num_tiles, image[HEADER_NUM_CTAS]);
  const int num_groups = image[HEADER_NUM_MERGE_GROUPS];
  const auto* nodes = static_cast<const cudaGraphDeviceNode_t*>(params.nodes);
  cudaError_t error = cudaSuccess;
  if (tid < params.num_layers) {
    error = cudaGraphKernelNodeSetGridDim(nodes[tid], dim3(max(num_ctas, 1), 1, 1));
  } else if (tid < 2 * params.num_layers) {
    error = cudaGraphKernelNodeSetEnabled(nodes[tid], num_groups > 0);
    if (error == cudaSuccess && num_groups > 0) error = cudaGraphKernelNodeSetGridDim(nodes[tid], dim3(num_groups, 1, 1));
  }
  if (error != cudaSuccess) atomicCAS(state + STEP_WORD_LAUNCH_ERROR, 0, static_cast<int>(error));
  if (num_groups > 0) {
    for (int tile = tid; tile < num_tiles; tile += 256) {
      image[params.tiles_offset + static_cast<long long>(tile) * WB_TILE_STRIDE + TILE_MERGE_GROUP_COUNT] = 0;
    }
  }
  __syncthreads();
  if (tid != 0) return;
  image[HEADER_NUM_MERGE_GROUPS] = 0;
  state[STEP_WORD_NUM_MERGE_GROUPS] = num_groups;
  state[STEP_WORD_NUM_CTAS] = num_ctas;
}
