// The work list of kernels as FlashInfer's are up to v0.0.5: requests are cut into chunks of kv_chunk_size tokens, and a CTA
// takes a chunk of one KV head. Shared by the CUDA kernel and the CPU device.
#pragma once

#include "schedule_layout.h"
#include "step_params.h"

#if defined(__CUDACC__)
#define WB_CHUNK_FUNCTION __device__ __forceinline__
#else
#define WB_CHUNK_FUNCTION inline
#endif

namespace warpbook {

// What a launch goes by: by value, or read where there is a pointer.
struct ChunkPlan {
  int num_requests;
  int kv_chunk_size;
  // Chunks that are valid: all up to the last request's, as far as the launch has CTAs and the mask doesn't end them.
  int num_valid;
};

WB_CHUNK_FUNCTION int chunk_first(const ChunkTilesParams& params, int request) {
  const int* indptr = static_cast<const int*>(params.o_indptr);
  return indptr != nullptr ? indptr[request] : request * params.chunks_per_request;
}

WB_CHUNK_FUNCTION ChunkPlan read_chunk_plan(const ChunkTilesParams& params) {
  const int* requests = static_cast<const int*>(params.num_requests_ptr);
  const int* size = static_cast<const int*>(params.kv_chunk_size_ptr);
  ChunkPlan plan;
  const int asked = requests != nullptr ? *requests : params.num_requests;
  plan.num_requests = asked < 0 ? 0 : asked > params.max_requests ? params.max_requests : asked;
  plan.kv_chunk_size = size != nullptr ? *size : params.kv_chunk_size;
  if (plan.kv_chunk_size < 1) plan.kv_chunk_size = 1;
  plan.num_valid = chunk_first(params, plan.num_requests);
  if (plan.num_valid > params.num_items) plan.num_valid = params.num_items;
  return plan;
}

// The request that a valid chunk is of: the last one that starts at or before it.
WB_CHUNK_FUNCTION int chunk_request(const ChunkTilesParams& params, const ChunkPlan& plan, int chunk) {
  int low = 0;
  int high = plan.num_requests;
  while (high - low > 1) {
    const int middle = (low + high) >> 1;
    if (chunk_first(params, middle) <= chunk) low = middle;
    else high = middle;
  }
  return low;
}

// Tile `chunk * num_kv_heads + head`, and the place of its partial rows. A chunk that the mask switches off has no keys.
WB_CHUNK_FUNCTION void chunk_tile_record(const ChunkTilesParams& params, const ChunkPlan& plan, int chunk, int head,
                                         int (&words)[WB_TILE_STRIDE]) {
  const int request = chunk_request(params, plan, chunk);
  const int first = chunk_first(params, request);
  const int count = chunk_first(params, request + 1) - first;
  const int room = static_cast<const int*>(params.page_ranges)[2 * request + 1] * params.page_size;
  const int given = static_cast<const int*>(params.kv_lens)[request];
  const int kv_len = given < 0 ? 0 : given > room ? room : given;
  const int* mask = static_cast<const int*>(params.block_valid_mask);
  const bool valid = mask == nullptr || mask[chunk] != 0;
  const long long start = static_cast<long long>(chunk - first) * plan.kv_chunk_size;
  const long long end = params.split ? start + plan.kv_chunk_size : kv_len;
  words[TILE_TILE_CLASS] = 0;
  words[TILE_KV_HEAD] = head;
  words[TILE_KV_SEQ] = request;
  words[TILE_ROW_START] = request * params.group_size;
  words[TILE_ROW_COUNT] = params.group_size;
  words[TILE_KV_START] = !valid || start > kv_len ? kv_len : static_cast<int>(start);
  words[TILE_KV_END] = !valid || end > kv_len ? kv_len : static_cast<int>(end);
  words[TILE_SEG_START] = 0;
  words[TILE_SEG_COUNT] = 0;
  words[TILE_PARTIAL_SLOT] = params.split ? (first * params.num_kv_heads + head * count + chunk - first) * params.group_size : -1;
  words[TILE_MERGE_GROUP] = params.split ? request * params.num_kv_heads + head : -1;
  words[TILE_FLAGS] = 0;
  words[TILE_REQUEST] = request;
  words[TILE_PAGE_START] = static_cast<const int*>(params.page_ranges)[2 * request];
  words[TILE_QO_POSITION_BASE] = kv_len - (request + 1);
  words[TILE_MERGE_GROUP_COUNT] = params.split ? 1 : 0;
}

// The slots of a merge group, whose chunks may have been cut off by the end of the grid.
WB_CHUNK_FUNCTION int chunk_slots(const ChunkTilesParams& params, const ChunkPlan& plan, int request) {
  const int first = chunk_first(params, request);
  const int end = chunk_first(params, request + 1);
  return (end < plan.num_valid ? end : plan.num_valid) - first;
}

}  // namespace warpbook
