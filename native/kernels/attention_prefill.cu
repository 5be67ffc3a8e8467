// Attention for any number of query rows, driven by a Schedule in device memory: a persistent grid drains the list of work
// tiles, kTileRows query rows of a tile at a time. The warps share keys and values, each has its own rows. Keys and values are
// copied a step ahead of the arithmetic, across the tiles of a CTA.
//
// Tiles with more than kTileRows query rows take several passes over their keys.
#include "attention/prefill_config.cuh"

#include "attention/merge_groups.cuh"
#include "attention/prefill_loader.cuh"
#include "attention/prefill_rows.cuh"

namespace warpbook {

struct SharedMemory {
  // Tiles first: their rows need alignment.
  char queries[kTileRows * kTileRowBytes];
  char stages[kStagesBytes];
  StepInfo infos[2];
  RowInfo rows[kTileRows];
  RowsRange ranges[kWarps];
  ScoreScale scale;
  LoadPlan plans[kWarps];
  LanePlan lane_plans[kThreads];
  // The tile that is computed and the next one.
  TileWords tiles[kWarps][2];
  int num_groups[kWarps];
  // One past the last tile.
  int end;
  PendingGroup pending[kPending];
  // Queue dispatch: the tile after the current one.
  int queued;
};
static_assert(sizeof(SharedMemory) <= kSharedBytes, "the table of variants must ask for as much");

class Prefill {
 public:
  __device__ Prefill(const AttentionParams& params, SharedMemory& shared)
      : params_(params), shared_(shared), view_(params), tiles_(shared.tiles[threadIdx.x >> 5]),
        loader_(params, view_, shared.plans[threadIdx.x >> 5], shared.lane_plans[threadIdx.x]),
        rows_(params, queries(), shared.rows + (threadIdx.x >> 5) * kWarpRows, shared.scale, threadIdx.x & 31) {}

  __device__ __forceinline__ void run() {
    launch_dependents();
    queue_ = view_.header(HEADER_DISPATCH) == DISPATCH_QUEUE;
    wait_for_predecessor();
    // A grid smaller than the schedule's takes the surplus ranges in further rounds.
#pragma unroll 1
    for (int cta = blockIdx.x; cta < (queue_ ? gridDim.x : view_.header(HEADER_NUM_CTAS)); cta += gridDim.x) {
      const int begin = queue_ ? cta : view_.cta_indptr()[cta];
      const int end = queue_ ? view_.header(HEADER_NUM_TILES) : view_.cta_indptr()[cta + 1];
      if (begin < end) drain(begin, end);
    }
    const int num_groups = view_.header(HEADER_NUM_MERGE_GROUPS);
    const MergeGroups groups = merge_groups();
    groups.write_empty_groups(groups.request_slot_count(num_groups), num_groups);
    if (unlikely(queue_)) close_queue();
  }

 private:
  __device__ static uint32 shared_address(const void* pointer) {
    return static_cast<uint32>(__cvta_generic_to_shared(pointer));
  }
  // This warp's query rows.
  __device__ uint32 queries() const {
    return shared_address(shared_.queries) + (thread_again() >> 5) * kWarpRows * kTileRowBytes;
  }
  // Keys and values of a stage as they are computed with.
  __device__ uint32 operands(int stage) const {
    return shared_address(shared_.stages) + (kFloat8 ? 0 : stage * 2 * kKvTileBytes);
  }
  // Where a stage is copied to.
  __device__ uint32 copies(int stage) const {
    return kFloat8 ? shared_address(shared_.stages) + 2 * kKvTileBytes : operands(stage);
  }

  // The tile that is computed and the one that follows it.
  __device__ TileWords& tile() const { return tiles_[current_]; }
  __device__ TileWords& next_tile() const { return tiles_[current_ ^ 1]; }

  // Tiles [first, end); or of a queue `first`, and those below `end` that are drawn. A tile of more than kTileRows rows comes
  // once for each pass over its keys.
  __device__ __forceinline__ void drain(int first, int end) {
    __syncthreads();  // nobody is still at the tiles of the round before
    if (threadIdx.x == 0) shared_.end = end, shared_.scale = ScoreScale(params_);
    request_tile(first, 0);
    commit_copies();
    bool loaded = false;
    bool more = true;
#pragma unroll 1
    while (more) {
      int64 start = 0;
      if constexpr (kTraced) start = global_time_ns();
      current_ ^= 1;
      if (!loaded) {
        wait_for_copies<0>();
        __syncthreads();
        opened_ = false;
      }
      request_next();
      prepare_rows();
      rows_.reset();
#pragma unroll 1
      for (int step = loaded ? 0 : -1; step < tile().num_steps; ++step) {
        if (step >= 0) {
          wait_for_copies<0>();
          __syncthreads();
          if (step == 0) take_queries();
          widen();
          if (unlikely(tile().draws && (step == 1 || step == 2))) learn_next(step);
        }
        const int stage = stage_;
        load_ahead(step);
        if (step < 0 || !attend(stage)) loader_.copy_runs();
        commit_copies();
        if (unlikely(tile().draws && step == 0) && threadIdx.x == 0) {
          shared_.queued = gridDim.x + atomicAdd(queue_head(), 1u);
        }
      }
      loaded = tile().more;
      if (unlikely(tile().draws && tile().num_steps <= 2)) {
        __syncthreads();
        if (tile().num_steps == 1) learn_next(1);
        learn_next(2);
        commit_copies();
      }
      finish();
      more = tile().more;
      if constexpr (kTraced) {
        if (threadIdx.x == 0 && !repeats()) write_trace(params_, tile().index, tile().index, TRACE_PHASE_TILE, start);
      }
    }
  }

  // The tile's rows need another pass.
  __device__ bool repeats() const { return tile().get(TILE_ROW_COUNT) > tile().first_row + kTileRows; }

  // Brings a tile's record to where the next one belongs; it is there after the next wait.
  __device__ __forceinline__ void request_tile(int index, int first_row) {
    const int lane = thread_again() & 31;
    TileWords& next = next_tile();
    __syncwarp();
    if (lane < WB_TILE_STRIDE / 4) copy_chunk(shared_address(next.words + 4 * lane), view_.tile(index) + 4 * lane);
    if (lane == 0) next.index = index, next.first_row = first_row;
    __syncwarp();
  }

  // The tile's record is there: asks for what follows it, where that is known.
  __device__ __forceinline__ void request_next() {
    const bool again = repeats();
    const bool draws = queue_ && !again;
    const bool more = again || (!draws && tile().index + 1 < shared_.end);
    const int num_steps = count_steps(view_, tile());
    __syncwarp();
    if ((thread_again() & 31) == 0) tile().num_steps = num_steps, tile().more = more, tile().draws = draws;
    __syncwarp();
    if (more) request_tile(again ? tile().index : tile().index + 1, again ? tile().first_row + kTileRows : 0);
  }

  // Of a queue, the next tile becomes known in step 1, and its record is there in step 2.
  __device__ __forceinline__ void learn_next(int step) {
    const bool more = shared_.queued < shared_.end;
    if (step == 1 && more) request_tile(shared_.queued, 0);
    if (step == 2 && (thread_again() & 31) == 0) tile().more = more;
    __syncwarp();
  }

  // Copies the step after `step`, be it the first of the next tile.
  __device__ __forceinline__ void load_ahead(int step) {
    const int num_steps = tile().num_steps;
    const bool crosses = step + 1 == num_steps;
    const bool more = tile().more;
    if (!crosses || more) {
      const TileWords& ahead = crosses ? next_tile() : tile();
      if (!opened_ || (crosses && num_steps == 1)) loader_.open(ahead);
      opened_ = true;
      stage_ ^= 1;
      loader_.copy(ahead, crosses ? 0 : step + 1, copies(stage_), &shared_.infos[stage_]);
    } else {
      loader_.copy_nothing();
    }
    if (step + 2 == num_steps) {
      // The next tile's record is there since the first step.
      opened_ = more && step >= 0;
      if (opened_) loader_.open(next_tile());
    }
  }

  // Finds this warp's rows and requests their queries. Groups of 16 rows go round the warps, so that the rows of a small tile
  // are spread over them.
  __device__ __forceinline__ void prepare_rows() {
    const TileWords& tile = this->tile();
    const int lane = thread_again() & 31;
    const int warp = thread_again() >> 5;
    const int num_rows = min(tile.get(TILE_ROW_COUNT) - tile.first_row, kTileRows);
    const int local = lane & (kWarpRows - 1);
    const int row = ((local >> 4) * kWarps + warp) * 16 + (local & 15);
    const RowRef ref = resolve_row(view_, tile.get(TILE_ROW_START) + tile.first_row + min(row, num_rows - 1),
                                   tile.get(TILE_FLAGS), tile.get(TILE_KV_HEAD), tile.get(TILE_QO_POSITION_BASE));
    const int position = ref.position - view_.kv_sequence(tile.get(TILE_KV_SEQ))[KV_SEQUENCE_POSITION_OFFSET];
    float slope = 0;
    if (params_.alibi_slopes != nullptr) slope = static_cast<const float*>(params_.alibi_slopes)[ref.head] * kLog2e;
    RowInfo* rows = shared_.rows + warp * kWarpRows;
    __syncwarp();
    rows[local] = {row < num_rows ? ref.token : -1, ref.head, position, slope};
    const int first = __reduce_min_sync(kAllLanes, position);
    const int last = __reduce_max_sync(kAllLanes, position);
    if (lane == 0) {
      const bool causal = params_.causal;
      const int window = params_.window_left;
      shared_.ranges[warp] = {window >= 0 ? last - window : -0x7fffffff - 1, causal ? first : 0x7fffffff,
                               window >= 0 ? first - window : -0x7fffffff - 1, causal ? last : 0x7fffffff};
      const int groups = (num_rows + 15) / 16 - warp;
      shared_.num_groups[warp] = max(0, min(kRowGroups, (groups + kWarps - 1) / kWarps));
    }
    __syncwarp();
    copy_queries(rows);
  }

  __device__ __forceinline__ void copy_queries(const RowInfo* rows) {
    const int lane = thread_again() & 31;
    constexpr int kRowsPerCopy = 32 / kTileRowChunks;
    const int chunk = lane % kTileRowChunks;
#pragma unroll 4
    for (int row = lane / kTileRowChunks; row < kWarpRows; row += kRowsPerCopy) {
      const RowInfo info = rows[row];
      const int64 at = max(info.token, 0) * params_.q_stride_token + info.head * params_.q_stride_head;
      copy_chunk_or_zero(queries() + chunk_offset(row, chunk), static_cast<const char*>(params_.q) + 2 * at + chunk * 16,
                         info.token >= 0 ? 16 : 0);
    }
    commit_copies();
  }

  // The queries have come.
  __device__ __forceinline__ void take_queries() {
    const int lane = thread_again() & 31;
    if constexpr (kFloat8 && kQueryDtype == DTYPE_BFLOAT16) {
      constexpr int kRowsPerCopy = 32 / kTileRowChunks;
      const int chunk = lane % kTileRowChunks;
#pragma unroll 4
      for (int row = lane / kTileRowChunks; row < kWarpRows; row += kRowsPerCopy) {
        const uint32 address = queries() + chunk_offset(row, chunk);
        uint4 x = load_shared16(address);
        x = make_uint4(query_operand(x.x), query_operand(x.y), query_operand(x.z), query_operand(x.w));
        store_shared16(address, x);
      }
    }
    __syncwarp();
  }

  // float8: every warp widens the tokens that it has copied, once nobody reads the step before any more.
  __device__ __forceinline__ void widen() {
    if constexpr (kFloat8) {
      __syncwarp();
      widen_tokens(operands(0), copies(0), (thread_again() >> 5) * kWarpTokens, thread_again() & 31,
                   params_.kv_dtype == DTYPE_FLOAT8_E5M2);
      __syncthreads();
    }
  }

  // This warp's rows take a step, and copy the next one in between. False where none of them sees anything of it.
  __device__ __forceinline__ bool attend(int stage) {
    const int warp = thread_again() >> 5;
    const StepInfo& info = shared_.infos[stage];
    const RowsRange& range = shared_.ranges[warp];
    const int num_groups = shared_.num_groups[warp];
    if (num_groups == 0) return false;
    if (info.masked && (info.position > range.max_last || info.position + kStepTokens <= range.min_first)) return false;
    if (kRowGroups == 1 || num_groups == kRowGroups) {
      rows_.attend<kRowGroups>(operands(stage), info, range, loader_);
    } else {
      rows_.attend<1>(operands(stage), info, range, loader_);
    }
    return true;
  }

  // Writes output rows, or the partial state.
  __device__ __forceinline__ void finish() {
    const TileWords& tile = this->tile();
    const int lane = thread_again() & 31;
    const int warp = thread_again() >> 5;
    rows_.reduce_sums();
    const int slot = tile.get(TILE_PARTIAL_SLOT);
    const int num_rows = min(tile.get(TILE_ROW_COUNT) - tile.first_row, kTileRows);
    const int g = lane >> 2;
#pragma unroll
    for (int i = 0; i < kRowGroups; ++i) {
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        const int row = (i * kWarps + warp) * 16 + g + 8 * c;
        const bool there = row < num_rows;
        const RowInfo info = shared_.rows[warp * kWarpRows + i * 16 + g + 8 * c];
        RowSoftmax softmax{rows_.max[i][c], rows_.sum[i][c]};
        if (slot < 0) {
          const float factor = softmax.add_sink(params_, info.head);
          write_final(info, there, i, c, factor * params_.v_scale * softmax.inverse(), softmax.lse());
        } else if (there) {
          const int64 partial = static_cast<int64>(slot) + tile.first_row + row;
          write_partial(partial, i, c, params_.v_scale * softmax.inverse(), softmax.lse());
        }
      }
    }
    if (slot >= 0 && tile.get(TILE_ROW_COUNT) == tile.first_row + num_rows) announce(tile);
  }

  // A lane has 2 of each 8 head dims; four lanes exchange theirs, so that each writes 8 in a row.
  __device__ __forceinline__ void write_final(const RowInfo& info, bool there, int i, int c, float scale, float lse) {
    const int lane = thread_again() & 31;
    const int t = lane & 3;
    const RowRef row{info.token, info.head, 0};
    char* target = static_cast<char*>(params_.o) +
                   2 * (row.token * params_.o_stride_token + row.head * params_.o_stride_head + 8 * t);
#pragma unroll
    for (int n = 0; n < kHeadDim / 8; n += 4) {
      uint32 x[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        x[j] = pack_output(rows_.output[i][n + j][2 * c] * scale, rows_.output[i][n + j][2 * c + 1] * scale);
      }
      transpose4x4(x, t);
      if (there) *reinterpret_cast<uint4*>(target + 16 * n) = make_uint4(x[0], x[1], x[2], x[3]);
    }
    if (there && t == 0) write_lse(params_, row, lse);
  }

  // Word j of lane t becomes word t of lane j, in each four lanes.
  __device__ __forceinline__ static void transpose4x4(uint32 (&x)[4], int t) {
#pragma unroll
    for (int bit = 1; bit < 4; bit <<= 1) {
      const bool upper = t & bit;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (j & bit) continue;
        const uint32 mine = upper ? x[j] : x[j + bit];
        const uint32 other = __shfl_xor_sync(kAllLanes, mine, bit);
        (upper ? x[j] : x[j + bit]) = other;
      }
    }
  }

  __device__ __forceinline__ void write_partial(int64 partial, int i, int c, float scale, float lse) {
    const int lane = thread_again() & 31;
    const int t = lane & 3;
    float* target = partial_output(params_, partial) + 2 * t;
#pragma unroll
    for (int n = 0; n < kHeadDim / 8; ++n) {
      publish2(target + 8 * n, make_float2(rows_.output[i][n][2 * c] * scale, rows_.output[i][n][2 * c + 1] * scale));
    }
    if (t == 0) publish(partial_lse(params_, partial), lse);
  }

  // Not ahead of time, as decode does: what is known early costs registers all through the main loop.
  __device__ __forceinline__ void announce(const TileWords& tile) {
    const int lane = thread_again() & 31;
    const TileRecord record{lane < WB_TILE_STRIDE ? tile.words[lane] : 0};
    const int num_groups = tile.get(TILE_MERGE_GROUP_COUNT);
    MergeGroups groups = merge_groups();
#pragma unroll 1
    for (int i = 0; i < num_groups; ++i) {
      groups.prefetch(record, 0);
      groups.announce(record, i);
      groups.elect();
      groups.merge_complete(true);
    }
  }
  __device__ MergeGroups merge_groups() const {
    return {params_, view_, shared_.pending, thread_again() >> 5, thread_again() & 31};
  }

  // The last CTA leaves the queue as the next launch wants to find it.
  __device__ __forceinline__ void close_queue() {
    __syncthreads();
    if (threadIdx.x != 0) return;
    __threadfence();
    if (atomicInc(queue_head() + 1, gridDim.x - 1) == gridDim.x - 1) *queue_head() = 0;
  }
  __device__ uint32* queue_head() const { return static_cast<uint32*>(params_.counters) + params_.max_merge_groups; }

  const AttentionParams& params_;
  SharedMemory& shared_;
  const ScheduleView view_;
  TileWords* const tiles_;
  PrefillLoader loader_;
  PrefillRows rows_;
  // Which of the tiles in shared memory is computed.
  int current_ = 0;
  // The stage that was copied last.
  int stage_ = 0;
  // The loader is on the tile that it will copy a step of.
  bool opened_ = false;
  bool queue_ = false;
};

}  // namespace warpbook

extern "C" __global__ void __launch_bounds__(warpbook::kThreads, warpbook::kCtasPerSm)
attention_prefill(const __grid_constant__ warpbook::AttentionParams params) {
  extern __shared__ __align__(1024) char memory[];
  warpbook::Prefill(params, *reinterpret_cast<warpbook::SharedMemory*>(memory)).run();
}
