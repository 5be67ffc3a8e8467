// What the attention program asks of the vectorised code, once per instruction set. The same source (attend.h,
// merge.h) is compiled for each; kernels_<isa>.cc holds the compiled functions, select_kernels() picks.
//
// Files that are compiled for a wider instruction set than the baseline use no inline function or template of the
// standard library: the linker keeps one copy of such a function, and it might be the one that old processors
// cannot run.
#pragma once

#include <cstdint>

#include "attention_params.h"

namespace warpbook::cpu {

// Rows that are attended together; a tile with more is done in several passes over its keys.
constexpr int kMaxRows = 64;
// Keys whose products are summed before they are added to the running sums.
constexpr int kBlockKeys = 64;

// One query row, resolved from the schedule.
struct RowRef {
  int32_t token;
  int32_t head;
  // In the coordinates of the keys' positions; used by masks and ALiBi.
  int32_t position;
};

// Keys of one KV head of one sequence.
struct KeyRange {
  int kv_head;
  int page_start;
  int kv_start;
  int kv_end;
};

// At most kMaxRows rows of one KV head against ranges of one KV sequence.
struct AttendJob {
  const AttentionParams* params;
  const RowRef* rows;
  int num_rows;
  // Restricted to `num_segments` sub-ranges (WB_SEGMENT_STRIDE words each, tokens of the sequence); a segment's
  // `masked` says whether the mask applies.
  KeyRange range;
  const int32_t* segments;
  int num_segments;
  // Position of key 0 of the sequence.
  int position_offset;
  // Incremented for each page index that is out of range.
  int32_t* status;
  // What the same thread will attend to next, to be fetched ahead; null if unknown.
  const KeyRange* upcoming;
  // First row of the partial state to write, or -1: write o and lse.
  int partial_slot;
};

struct MergeJob {
  const AttentionParams* params;
  const RowRef* rows;
  int num_rows;
  // Partial row of the job's first row, for each slot: row i of slot s is slots[s] + first_row + i.
  const int32_t* slots;
  int num_slots;
  int first_row;
};

struct Scratch;

struct AttentionKernels {
  void (*attend)(const AttendJob& job, const Scratch& scratch);
  void (*merge)(const MergeJob& job, const Scratch& scratch);
};

extern const AttentionKernels portable_kernels;
#if defined(__x86_64__)
extern const AttentionKernels avx2_kernels;
extern const AttentionKernels avx512_kernels;
extern const AttentionKernels avx512_bf16_kernels;
#endif

// The kernels for instruction_set().
const AttentionKernels& select_kernels();

}  // namespace warpbook::cpu
