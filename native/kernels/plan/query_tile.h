// The query tiles of a batch whose requests all have as many query tokens, and what the policies ask about them: the
// part of the planner that does not depend on how its work is spread. The CPU device and the CUDA kernel include this
// file; src/schedule holds the same rules for the host.
#pragma once

#include "plan_params.h"
#include "schedule_layout.h"

#if defined(__CUDACC__)
#define WB_PLAN_FUNCTION __device__ __forceinline__
#else
#define WB_PLAN_FUNCTION inline
#endif

namespace warpbook {

WB_PLAN_FUNCTION int plan_min(int a, int b) { return a < b ? a : b; }
WB_PLAN_FUNCTION int plan_max(int a, int b) { return a < b ? b : a; }

struct PlanQueryTile {
  int request;
  int row_start;
  int row_count;
  int kv_start;
  int kv_end;
  // Keys [full_start, full_end) are seen by every row.
  int full_start;
  int full_end;
};

// What query token `token` of a request, counted from its first, may see: from and to where.
WB_PLAN_FUNCTION int plan_visible_start(const PlanTilesParams& params, int kv_len, int token) {
  const int position = kv_len - params.qo_len + token;
  if (params.window_left < 0 || position <= params.window_left) return 0;
  return plan_min(position - params.window_left, kv_len);
}
WB_PLAN_FUNCTION int plan_visible_end(const PlanTilesParams& params, int kv_len, int token) {
  if (!params.causal) return kv_len;
  return plan_min(plan_max(kv_len - params.qo_len + token + 1, 0), kv_len);
}

// Tile `index` of a request.
WB_PLAN_FUNCTION PlanQueryTile plan_query_tile(const PlanTilesParams& params, int request, int index, int kv_len) {
  PlanQueryTile tile;
  const int rows = params.qo_len * params.group_size;
  const int row = index * params.rows_per_tile;
  tile.request = request;
  tile.row_start = request * rows + row;
  tile.row_count = plan_min(params.rows_per_tile, rows - row);
  const int first = row / params.group_size;
  const int last = (row + tile.row_count - 1) / params.group_size;
  tile.kv_start = plan_visible_start(params, kv_len, first);
  tile.kv_end = plan_max(tile.kv_start, plan_visible_end(params, kv_len, last));
  tile.full_start = plan_visible_start(params, kv_len, last);
  tile.full_end = plan_visible_end(params, kv_len, first);
  return tile;
}

// Pieces of the range [start, end) that is cut at multiples of `chunk`; an empty one is a piece.
WB_PLAN_FUNCTION int plan_count_pieces(int start, int end, int chunk) {
  return plan_max(1, end / chunk + (end % chunk != 0) - start / chunk);
}

// What a work tile has beyond its query tile.
struct PlanPiece {
  int kv_head;
  int kv_start;
  int kv_end;
  // Both -1 where the query tile is not cut.
  int partial_slot;
  int merge_group;
};

WB_PLAN_FUNCTION void plan_tile_record(const PlanTilesParams& params, const PlanQueryTile& tile, const PlanPiece& piece,
                                       int kv_len, int page_start, int (&words)[WB_TILE_STRIDE]) {
  words[TILE_TILE_CLASS] = 0;
  words[TILE_KV_HEAD] = piece.kv_head;
  words[TILE_KV_SEQ] = tile.request;
  words[TILE_ROW_START] = tile.row_start;
  words[TILE_ROW_COUNT] = tile.row_count;
  words[TILE_KV_START] = piece.kv_start;
  words[TILE_KV_END] = piece.kv_end;
  words[TILE_SEG_START] = 0;
  words[TILE_SEG_COUNT] = 0;
  words[TILE_PARTIAL_SLOT] = piece.partial_slot;
  words[TILE_MERGE_GROUP] = piece.merge_group;
  words[TILE_FLAGS] = piece.kv_start < tile.full_start || piece.kv_end > tile.full_end ? TILE_FLAG_NEEDS_MASK : 0;
  words[TILE_REQUEST] = tile.request;
  words[TILE_PAGE_START] = page_start;
  words[TILE_QO_POSITION_BASE] = kv_len - (tile.request + 1) * params.qo_len;
  words[TILE_MERGE_GROUP_COUNT] = piece.merge_group < 0 ? 0 : 1;
}

}  // namespace warpbook
