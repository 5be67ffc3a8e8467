#include "cpu/strategy/step.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "cpu/ops/elements.h"
#include "strategy/chunk.h"

namespace warpbook::cpu {

namespace {

void run_advance_step(const Launch&, const void* raw) {
  const auto& params = *static_cast<const AdvanceStepParams*>(raw);
  auto* state = static_cast<int32_t*>(params.state);
  const int64_t now = std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
  std::memcpy(state + STEP_WORD_START_NS, &now, sizeof now);
  const int num_requests = std::clamp(state[STEP_WORD_NUM_REQUESTS], 0, params.max_requests);
  for (int r = 0; r < params.max_requests; ++r) {
    const bool running = r < num_requests;
    int32_t& length = static_cast<int32_t*>(params.lengths)[r];
    static_cast<int32_t*>(params.kv_lens)[r] = running ? length + 1 : 0;
    static_cast<int32_t*>(params.next_kv_lens)[r] = running ? length + 2 : 0;
    static_cast<int32_t*>(params.positions)[r] = running ? length : -1;
    static_cast<int32_t*>(params.batch_indices)[r] = running ? r : -1;
    if (!running) continue;
    ++length;
    if (--static_cast<int32_t*>(params.remaining)[r] <= 0) state[STEP_WORD_STOP] = 1;
  }
  ++state[STEP_WORD_STEP];
}

// Heads are dealt to the threads; a row's sums run over the dimensions in order, so the bits depend on nothing else.
void run_project_heads(const Launch& launch, const void* raw) {
  const auto& params = *static_cast<const ProjectHeadsParams*>(raw);
  const int64_t dims = params.head_dim;
  const int num_heads = params.num_qo_heads + 2 * params.num_kv_heads;
  const int group = params.num_qo_heads / params.num_kv_heads;
  const auto size = static_cast<int64_t>(item_size(params.dtype));
  const auto at = [size](const void* base, int64_t element) { return static_cast<const char*>(base) + element * size; };
  launch.parallel.run(num_heads, [&](int64_t head, int) {
    const bool is_query = head < params.num_qo_heads;
    const int64_t kv_head = (head - params.num_qo_heads) % params.num_kv_heads;
    const int64_t source_head = is_query ? head : kv_head * group;
    const int64_t out_head = is_query ? head : kv_head;
    const int64_t out_heads = is_query ? params.num_qo_heads : params.num_kv_heads;
    void* out = is_query ? params.q : head < params.num_qo_heads + params.num_kv_heads ? params.k : params.v;
    std::vector<float> weights(dims * dims), x(dims), residual(dims), sums(dims);
    load_floats(params.dtype, at(params.weights, head * dims * dims), 1, dims * dims, weights.data());
    for (int64_t row = 0; row < params.num_rows; ++row) {
      const int position = static_cast<const int32_t*>(params.positions)[row];
      const int request = static_cast<const int32_t*>(params.batch_indices)[row];
      const int64_t embedding = position < 0 ? 0 : (request * 131 + position * 31) % params.num_embeddings;
      load_floats(params.dtype, at(params.embeddings, (embedding * params.num_qo_heads + source_head) * dims), 1, dims, x.data());
      if (params.residual != nullptr && position >= 0) {
        load_floats(params.dtype, at(params.residual, (row * params.num_qo_heads + source_head) * dims), 1, dims, residual.data());
        for (int64_t i = 0; i < dims; ++i) x[i] += residual[i];
      }
      std::fill(sums.begin(), sums.end(), 0.0f);
      for (int64_t i = 0; i < dims; ++i) {
        const float* row_weights = weights.data() + i * dims;
        for (int64_t d = 0; d < dims; ++d) sums[d] += x[i] * row_weights[d];
      }
      store_floats(params.dtype, sums.data(), dims, const_cast<char*>(at(out, (row * out_heads + out_head) * dims)), 1);
    }
  });
}

// For the GPU's clock alone: here the host and the device share the processors.
void run_hold_stream(const Launch&, const void*) {}

void run_chunk_tiles(const Launch&, const void* raw) {
  const auto& params = *static_cast<const ChunkTilesParams*>(raw);
  const int heads = params.num_kv_heads;
  const ChunkPlan plan = read_chunk_plan(params);
  const int num_tiles = plan.num_valid * heads;
  auto* image = static_cast<int32_t*>(params.workspace);
  for (int tile = 0; tile < num_tiles; ++tile) {
    int words[WB_TILE_STRIDE];
    chunk_tile_record(params, plan, tile / heads, tile % heads, words);
    std::memcpy(image + params.tiles_offset + static_cast<int64_t>(tile) * WB_TILE_STRIDE, words, sizeof words);
  }
  const int num_ctas = params.num_items * heads;
  for (int cta = 0; cta <= num_ctas; ++cta) image[params.cta_indptr_offset + cta] = std::min(cta, num_tiles);
  for (int r = 0; r < plan.num_requests; ++r) {
    const int32_t record[WB_KV_SEQUENCE_STRIDE] = {static_cast<const int32_t*>(params.page_ranges)[2 * r],
                                                   static_cast<const int32_t*>(params.kv_lens)[r], 0, r};
    std::memcpy(image + params.kv_sequences_offset + r * WB_KV_SEQUENCE_STRIDE, record, sizeof record);
  }
  const int num_groups = params.split ? plan.num_requests * heads : 0;
  for (int group = 0; group < num_groups; ++group) {
    const int request = group / heads;
    const int first = chunk_first(params, request);
    const int count = chunk_first(params, request + 1) - first;
    const int slot = first * heads + group % heads * count;
    const int32_t record[WB_MERGE_GROUP_STRIDE] = {request * params.group_size, params.group_size, group % heads, slot,
                                                   std::max(chunk_slots(params, plan, request), 0), 0, 0, 0};
    std::memcpy(image + params.merge_groups_offset + group * WB_MERGE_GROUP_STRIDE, record, sizeof record);
    for (int i = 0; i < count; ++i) image[params.merge_slots_offset + slot + i] = (slot + i) * params.group_size;
  }
  image[HEADER_NUM_TILES] = num_tiles;
  image[HEADER_NUM_CTAS] = num_ctas;
  image[HEADER_DISPATCH] = DISPATCH_STATIC;
  image[HEADER_NUM_KV_SEQUENCES] = plan.num_requests;
  image[HEADER_NUM_ROWS] = 0;
  image[HEADER_NUM_SEGMENTS] = 0;
  image[HEADER_NUM_MERGE_GROUPS] = num_groups;
  image[HEADER_NUM_MERGE_SLOTS] = params.split ? num_tiles : 0;
  image[HEADER_NUM_PARTIAL_ROWS] = params.split ? num_tiles * params.group_size : 0;
  image[HEADER_BATCH_SIZE] = plan.num_requests;
}

}  // namespace

const Program advance_step_program{"advance_step", sizeof(AdvanceStepParams), run_advance_step};
const Program chunk_tiles_program{"chunk_tiles", sizeof(ChunkTilesParams), run_chunk_tiles};
const Program hold_stream_program{"hold_stream", sizeof(HoldStreamParams), run_hold_stream};
const Program project_heads_program{"project_heads", sizeof(ProjectHeadsParams), run_project_heads};

}  // namespace warpbook::cpu
