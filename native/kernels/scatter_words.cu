// scatter_words: applies a delta to an int32 table, pair by pair: what changed of a page list, wherever it lies.
//
// Never calls griddepcontrol.launch_dependents: attention reads page ids before griddepcontrol.wait.
#include "pdl.cuh"
#include "plan_params.h"

extern "C" __global__ void __launch_bounds__(256) scatter_words(const __grid_constant__ warpbook::ScatterWordsParams params) {
  warpbook::wait_for_predecessor();
  const int stride = static_cast<int>(gridDim.x * blockDim.x);
  for (int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); i < params.num_pairs; i += stride) {
    const int2 pair = static_cast<const int2*>(params.pairs)[i];
    if (pair.x >= 0 && pair.x < params.num_words) static_cast<int*>(params.target)[pair.x] = pair.y;
  }
}
