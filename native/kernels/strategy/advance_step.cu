// advance_step: makes the batch that a step works on out of the lengths that the step before has left: each running request
// gets one token more. In device memory alone, so that a replay needs nothing of the host.
//
// Never calls griddepcontrol.launch_dependents: what comes next reads what this writes.
#include "pdl.cuh"
#include "step_params.h"

extern "C" __global__ void __launch_bounds__(256) advance_step(const __grid_constant__ warpbook::AdvanceStepParams params) {
  using namespace warpbook;
  wait_for_predecessor();
  int* state = static_cast<int*>(params.state);
  if (threadIdx.x == 0) {
    unsigned long long now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    *reinterpret_cast<unsigned long long*>(state + STEP_WORD_START_NS) = now;
  }
  const int asked = state[STEP_WORD_NUM_REQUESTS];
  const int num_requests = min(max(asked, 0), params.max_requests);
  bool finished = false;
  for (int r = static_cast<int>(threadIdx.x); r < params.max_requests; r += static_cast<int>(blockDim.x)) {
    const bool running = r < num_requests;
    int* length = static_cast<int*>(params.lengths) + r;
    int* remaining = static_cast<int*>(params.remaining) + r;
    const int position = *length;
    static_cast<int*>(params.kv_lens)[r] = running ? position + 1 : 0;
    static_cast<int*>(params.next_kv_lens)[r] = running ? position + 2 : 0;
    static_cast<int*>(params.positions)[r] = running ? position : -1;
    static_cast<int*>(params.batch_indices)[r] = running ? r : -1;
    if (!running) continue;
    *length = position + 1;
    finished |= --*remaining <= 0;
  }
  if (finished) state[STEP_WORD_STOP] = 1;
  if (threadIdx.x == 0) ++state[STEP_WORD_STEP];
}
