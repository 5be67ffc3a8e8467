// What one build of the decode kernel is made for: macros of the table of variants (src/attention/kernel-variants.ts)
// as checked constants. Everything else (strides, page size, masks, scales) is read from the launch's parameters.
#pragma once

#include "schedule_layout.h"

namespace warpbook {

constexpr int kQueryDtype = WB_QUERY_DTYPE;
constexpr int kKvDtype = WB_KV_DTYPE;
constexpr int kHeadDim = WB_HEAD_DIM;
constexpr int kWarps = WB_WARPS;
// A team is the warps that share a stream of keys and split the query rows; each team has its own share of the keys.
constexpr int kTeamWarps = WB_TEAM_WARPS;
constexpr int kTeams = kWarps / kTeamWarps;
// Tiles of 8 query rows of a warp.
constexpr int kRowTiles = WB_ROW_TILES;
// Stages of keys and values that each team keeps in flight.
constexpr int kStages = WB_STAGES;
constexpr int kCtasPerSm = WB_CTAS_PER_SM;
// Blocks that each team asks the L2 for while the kernel before is still running.
constexpr int kWarmBlocks = WB_WARM_BLOCKS;

// What a build without it leaves out, to keep the main loop short: page sizes that aren't multiples of a block (ragged keys
// are pages of one token), segments, gathered rows, attention sinks and ALiBi.
constexpr bool kGeneral = WB_GENERAL;
// Writes a trace record for each tile and merge group; such a launch needs `trace`.
constexpr bool kTraced = WB_TRACE;

constexpr int kThreads = kWarps * 32;
constexpr int kRowsPerWarp = 8 * kRowTiles;
// Query rows that share one pass over the keys.
constexpr int kRows = kRowsPerWarp * kTeamWarps;
// The accumulators leave no registers for addresses that could as well be computed again.
constexpr bool kTight = kRowTiles * kHeadDim >= 256;
// KV tokens of a block: the unit in which keys are shared out to teams, and never in two pages where these are aligned.
constexpr int kBlockTokens = 16;
// Blocks of a stage, which is what one step of the main loop takes.
constexpr int kStepBlocks = WB_STEP_BLOCKS;
constexpr bool kFloat8 = kKvDtype == DTYPE_FLOAT8_E4M3FN || kKvDtype == DTYPE_FLOAT8_E5M2;
constexpr int kKvBytes = kFloat8 ? 1 : 2;
// float8 keys and values are widened to float16, which holds them exactly, so queries and weights are float16 there too.
constexpr bool kComputeFloat16 = kFloat8 || kQueryDtype == DTYPE_FLOAT16;
// A warp's 16 rows fill the matrix instruction (wide_row_state.cuh). float8 has to be widened on its way, and stays with the other way round.
constexpr bool kWide = kRowTiles == 2 && !kFloat8;
// Floats from a row to the next of the outputs that the teams exchange: no bank conflicts where they are written.
constexpr int kOutputPitch = kHeadDim + (kWide ? 8 : 4);

static_assert(kQueryDtype == DTYPE_FLOAT16 || kQueryDtype == DTYPE_BFLOAT16, "queries are float16 or bfloat16");
static_assert(kFloat8 || kKvDtype == kQueryDtype, "keys and values are float8, or of the dtype of the queries");
static_assert(kHeadDim == 64 || kHeadDim == 128 || kHeadDim == 256, "head_dim is 64, 128 or 256");
static_assert(kRowTiles == 1 || kRowTiles == 2, "8 or 16 query rows a warp");
static_assert(kWarps % kTeamWarps == 0 && kTeams <= 15, "every team has a barrier of its own, beside the CTA's");
static_assert(kStages >= 1 && kStages <= 16, "stages");
static_assert(kStepBlocks == 1 || kStepBlocks == 2 || kStepBlocks == 4, "1, 2 or 4 blocks a step");

}  // namespace warpbook
