// choose_graph: launches one of several graphs from the device, the one that fits the batch, behind this one (a tail launch).
#include "strategy/choose.cuh"

extern "C" __global__ void choose_graph(const __grid_constant__ warpbook::ChooseParams params) {
  using namespace warpbook;
  const int choice = choose(params);
  if (choice < 0) return;
  const cudaError_t error = cudaGraphLaunch(static_cast<const cudaGraphExec_t*>(params.handles)[choice], cudaStreamGraphTailLaunch);
  if (error != cudaSuccess) atomicCAS(static_cast<int*>(params.state) + STEP_WORD_LAUNCH_ERROR, 0, static_cast<int>(error));
}
