// The one table of programs that the CPU device can launch. To add one: declare it in the header of its directory
// and append its address here.
#include <cstring>

#include "cpu/attention/append_kv.h"
#include "cpu/attention/attention.h"
#include "cpu/attention/merge_states.h"
#include "cpu/attention/plan_tiles.h"
#include "cpu/ops/ops.h"
#include "cpu/program.h"
#include "cpu/programs.h"
#include "cpu/roof/roof.h"
#include "cpu/strategy/step.h"

namespace warpbook::cpu {

namespace {

void run_noop(const Launch&, const void*) {}

// Does nothing, in order: what launch overheads are measured with.
const Program noop_program{"noop", 0, run_noop};

const Program* const kPrograms[] = {
    &noop_program,
    &advance_step_program,
    &append_kv_program,
    &attention_program,
    &chunk_tiles_program,
    &hold_stream_program,
    &multiply_add_program,
    &stream_read_program,
    &merge_states_program,
    &plan_tiles_program,
    &project_heads_program,
    &scatter_words_program,
    &tensor_arange_program,
    &tensor_compare_program,
    &tensor_copy_program,
    &tensor_fill_program,
    &tensor_random_program,
};

}  // namespace

const Program* find_program(const char* name) {
  for (const Program* program : kPrograms) {
    if (std::strcmp(program->name, name) == 0) return program;
  }
  return nullptr;
}

std::vector<const Program*> all_programs() { return {std::begin(kPrograms), std::end(kPrograms)}; }

}  // namespace warpbook::cpu
