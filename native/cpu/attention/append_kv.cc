// One task a token: each head's row is widened to float32, divided by the pool's scale and rounded to the pool's type, or
// copied bit by bit where both are of one type and the scale is 1. What has no slot is skipped, so padding may hold -1.
#include "cpu/attention/append_kv.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "attention_params.h"
#include "cpu/ops/elements.h"

namespace warpbook::cpu {

namespace {

struct Rows {
  const char* source;
  char* target;
  float scale;
};

void append_row(const AppendKvParams& params, const Rows& rows, int64_t source_at, int64_t target_at) {
  float values[kMaxRun];
  const int64_t source_size = static_cast<int64_t>(item_size(params.dtype));
  const int64_t target_size = static_cast<int64_t>(item_size(params.page_dtype));
  if (params.dtype == params.page_dtype && params.k_scale == 1.0f && params.v_scale == 1.0f) {
    std::memcpy(rows.target + target_at * target_size, rows.source + source_at * source_size,
                static_cast<size_t>(params.head_dim * source_size));
    return;
  }
  for (int64_t d = 0; d < params.head_dim; d += kMaxRun) {
    const int64_t count = std::min<int64_t>(kMaxRun, params.head_dim - d);
    load_floats(params.dtype, rows.source + (source_at + d) * source_size, 1, count, values);
    if (rows.scale != 1.0f) {
      for (int64_t i = 0; i < count; ++i) values[i] /= rows.scale;
    }
    store_floats(params.page_dtype, values, count, rows.target + (target_at + d) * target_size, 1);
  }
}

// Of the token's request and position; -1 where the page table has no such place.
int64_t slot_of_position(const AppendKvParams& params, int64_t token) {
  const int64_t request = static_cast<const int32_t*>(params.batch_indices)[token];
  const int64_t position = static_cast<const int32_t*>(params.positions)[token];
  if (request < 0 || request >= params.batch_size || position < 0) return -1;
  const auto* indptr = static_cast<const int32_t*>(params.kv_indptr) + request;
  const int64_t entry = indptr[0] + position / params.page_size;
  if (entry < 0 || entry >= indptr[1] || entry >= params.num_kv_indices) return -1;
  const int64_t page = static_cast<const int32_t*>(params.kv_indices)[entry];
  return page < 0 ? -1 : page * params.page_size + position % params.page_size;
}

void run_append_kv(const Launch& launch, const void* raw) {
  const auto& params = *static_cast<const AppendKvParams*>(raw);
  const auto* slots = static_cast<const int64_t*>(params.slots);
  const int64_t num_slots = params.num_pages * params.page_size;
  const Rows keys{static_cast<const char*>(params.k), static_cast<char*>(params.k_pages), params.k_scale};
  const Rows values{static_cast<const char*>(params.v), static_cast<char*>(params.v_pages), params.v_scale};
  launch.parallel.run(params.num_tokens, [&](int64_t token, int) {
    const int64_t slot = slots != nullptr ? slots[token] : slot_of_position(params, token);
    if (slot < 0 || slot >= num_slots) return;
    const int64_t page_at = slot / params.page_size * params.page_stride_page + slot % params.page_size * params.page_stride_token;
    for (int64_t head = 0; head < params.num_kv_heads; ++head) {
      const int64_t source_at = token * params.stride_token + head * params.stride_head;
      const int64_t target_at = page_at + head * params.page_stride_head;
      append_row(params, keys, source_at, target_at);
      append_row(params, values, source_at, target_at);
    }
  });
}

}  // namespace

const Program append_kv_program{"append_kv", sizeof(AppendKvParams), run_append_kv};

}  // namespace warpbook::cpu
