// launch_attention: the launcher kernel of FlashInfer's issue 187. One warp reads the work list in device memory, sees how many
// CTAs have something to do, and launches attention with as many, by dynamic parallelism. It is linked with CUDA's device
// runtime in an image of its own, with its own copy of attention.
#include "attention_decode.cu"
#include "step_params.h"

namespace warpbook {

struct LaunchAttentionParams {
  AttentionParams attention;
  LauncherParams launcher;
};

}  // namespace warpbook

extern "C" __global__ void __launch_bounds__(32)
launch_attention(const __grid_constant__ warpbook::LaunchAttentionParams params) {
  using namespace warpbook;
  const LauncherParams& launcher = params.launcher;
  const int* image = static_cast<const int*>(params.attention.workspace);
  const int* indptr = image + params.attention.cta_indptr_offset;
  const int num_tiles = image[HEADER_NUM_TILES];
  const int num_ctas = image[HEADER_NUM_CTAS];
  // CTAs up to the last one with a tile: the list never falls.
  int used = 0;
  for (int cta = static_cast<int>(threadIdx.x); cta < num_ctas; cta += 32) used += indptr[cta] < num_tiles;
  used = __reduce_add_sync(kAllLanes, used);
  if (threadIdx.x != 0) return;
  if (used == 0 && image[HEADER_NUM_MERGE_GROUPS] > 0) used = 1;
  int* state = static_cast<int*>(launcher.state);
  state[STEP_WORD_NUM_CTAS] = used;
  if (used == 0) return;
  const cudaStream_t stream = launcher.tail ? cudaStreamTailLaunch : cudaStreamFireAndForget;
  attention_decode<<<used, launcher.threads, launcher.shared_bytes, stream>>>(params.attention);
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) atomicCAS(state + STEP_WORD_LAUNCH_ERROR, 0, static_cast<int>(error));
}
