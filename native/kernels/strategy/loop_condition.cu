// loop_condition: whether a WHILE node goes round once more: until something asks to stop, and never beyond the step limit.
#include "step_params.h"

extern "C" __global__ void loop_condition(const __grid_constant__ warpbook::LoopConditionParams params) {
  using namespace warpbook;
  const int* state = static_cast<const int*>(params.state);
  const bool more = state[STEP_WORD_STOP] == 0 && state[STEP_WORD_STEP] < state[STEP_WORD_STEP_LIMIT];
  cudaGraphSetConditional(*static_cast<const cudaGraphConditionalHandle*>(params.handle), more ? 1 : 0);
}
