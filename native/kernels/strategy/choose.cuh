// Which of several graphs or bodies a batch takes: the smallest that is made for as many requests.
#pragma once

#include "step_params.h"

namespace warpbook {

// -1 where none is large enough; that is an error of the step's.
__device__ __forceinline__ int choose(const ChooseParams& params) {
  int* state = static_cast<int*>(params.state);
  const int* sizes = static_cast<const int*>(params.sizes);
  const int num_requests = state[STEP_WORD_NUM_REQUESTS];
  int choice = 0;
  while (choice < params.num_choices && sizes[choice] < num_requests) ++choice;
  if (choice == params.num_choices) {
    atomicCAS(state + STEP_WORD_LAUNCH_ERROR, 0, STEP_NOTHING_FITS);
    choice = -1;
  }
  state[STEP_WORD_CHOSEN] = choice;
  return choice;
}

}  // namespace warpbook
