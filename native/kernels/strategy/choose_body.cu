// choose_body: sets the value of a SWITCH node, to the body that fits the batch; to one that isn't there where none does.
#include "strategy/choose.cuh"

extern "C" __global__ void choose_body(const __grid_constant__ warpbook::ChooseParams params) {
  using namespace warpbook;
  const int choice = choose(params);
  cudaGraphSetConditional(*static_cast<const cudaGraphConditionalHandle*>(params.handles),
                          static_cast<unsigned>(choice < 0 ? params.num_choices : choice));
}
