// What one build of the prefill kernel is made for: macros of the table of variants (src/attention/prefill-variants.ts) as
// checked constants, beside those that all attention kernels share (config.cuh).
#pragma once

// Of the decode kernel; the headers that both use ask for them.
#define WB_ROW_TILES 1
#define WB_TEAM_WARPS 1
#define WB_STAGES 2
#define WB_STEP_BLOCKS 1
#define WB_WARM_BLOCKS 0
#define WB_GENERAL 1
#include "attention/config.cuh"

namespace warpbook {

// Groups of 16 query rows, the rows of the matrix instruction, that a warp has: two halve what is read from shared memory
// for each instruction.
constexpr int kRowGroups = WB_ROW_GROUPS;
// KV tokens of a stage: what one step of the main loop takes.
constexpr int kStepTokens = WB_STEP_TOKENS;
// Shared memory of the launch.
constexpr int kSharedBytes = WB_SHARED_BYTES;

constexpr int kWarpRows = 16 * kRowGroups;
constexpr int kTileRows = kWarps * kWarpRows;
// Matrix instructions over the head dim, of a product with queries.
constexpr int kKeySteps = kHeadDim / 16;
// Pairs of 8 columns of the output.
constexpr int kOutputPairs = kHeadDim / 16;
// Tokens that a warp copies of each step.
constexpr int kWarpTokens = kStepTokens / kWarps;

static_assert(kRowGroups == 1 || kRowGroups == 2, "16 or 32 query rows a warp");
static_assert(kStepTokens % 32 == 0, "valid tokens are words of 32 bits");
static_assert(kWarpTokens == 8 || kWarpTokens == 16 || kWarpTokens == 32, "a warp copies 8, 16 or 32 tokens");

}  // namespace warpbook
