// Paged attention for few query rows, driven by a Schedule in device memory: a persistent grid drains the list of work
// tiles. Each warp (or team of warps, where there are many rows) streams its own blocks of keys and values through a private
// ring in shared memory, with no barrier of the CTA in the main loop; the teams' states meet once per tile. The schedule and
// the page ids are read before griddepcontrol.wait, queries, keys and values after it: only the latter may be written by the
// kernel before.
//
// Tiles with more than kRows query rows take several passes over their keys.
#include "attention/kv_cursor.cuh"
#include "attention/merge_groups.cuh"
#include "attention/wide_row_state.cuh"

namespace warpbook {

template <bool kFillsRows> struct StateOf { using Type = RowState; };
template <> struct StateOf<true> { using Type = WideRowState; };

struct SharedMemory {
  // Rings first: their rows need alignment of 128 bytes.
  char rings[kTeams * kStages * kStageBytes];
  StageInfo infos[kTeams * kStages * kStepBlocks];
  // Every team's output, not yet divided, and its softmax.
  float output[kTeams][kRows][kOutputPitch];
  RowSoftmax softmax[kTeams][kRows];
  PendingGroup pending[kPending];
  // Every warp's copy, so that no barrier is needed.
  RowContext rows[kWarps][kRowsPerWarp];
  // Queue dispatch: the tile after the current one.
  int queued;
};

static_assert(sizeof(SharedMemory) <= WB_SHARED_MEMORY_BYTES, "the table of variants asks for less shared memory");

class Decode {
 public:
  __device__ Decode(const AttentionParams& params, SharedMemory& shared)
      : params_(params), shared_(shared), lane_(threadIdx.x & 31), warp_(threadIdx.x >> 5),
        team_{warp_ / kTeamWarps, warp_ % kTeamWarps}, view_(params), rule_(params),
        queries_(params, view_, team_.member * kRowsPerWarp, lane_), cursor_(params, view_, team_, lane_),
        groups_(params, view_, shared.pending, warp_, lane_),
        ring_(static_cast<uint32>(__cvta_generic_to_shared(shared.rings)) + team_.index * kStages * kStageBytes) {}

  __device__ __forceinline__ void run() {
    launch_dependents();
    const int header = lane_ < WB_HEADER_WORDS ? view_.header(lane_) : 0;
    int range = lane_ < 2 ? view_.cta_indptr()[blockIdx.x + lane_] : 0;
    const int num_ctas = __shfl_sync(kAllLanes, header, HEADER_NUM_CTAS);
    const int num_groups = __shfl_sync(kAllLanes, header, HEADER_NUM_MERGE_GROUPS);
    num_tiles_ = __shfl_sync(kAllLanes, header, HEADER_NUM_TILES);
    queue_ = __shfl_sync(kAllLanes, header, HEADER_DISPATCH) == DISPATCH_QUEUE;
    const int first_slot_count = groups_.request_slot_count(num_groups);
    // A grid smaller than the schedule's takes the surplus ranges in further rounds.
    for (int cta = blockIdx.x; cta < (queue_ ? gridDim.x : num_ctas); cta += gridDim.x) {
      if (cta != blockIdx.x && lane_ < 2) range = view_.cta_indptr()[cta + lane_];
      const int begin = queue_ ? cta : __shfl_sync(kAllLanes, range, 0);
      const int end = queue_ ? min(cta + 1, num_tiles_) : __shfl_sync(kAllLanes, range, 1);
      if (begin < end) drain(begin, end - begin);
      if (kShared && !queue_ && cta + gridDim.x < num_ctas) sync_cta();  // pending groups may still be read
    }
    wait_once();
    groups_.write_empty_groups(first_slot_count, num_groups);
    if (unlikely(queue_)) close_queue();
  }

 private:
  __device__ __forceinline__ KvStage stage(int index) {
    const uint32 keys = ring_ + index * kStageBytes;
    return {keys, keys + kSlabBytes, &shared_.infos[(team_.index * kStages + index) * kStepBlocks]};
  }

  // Everything before this reads plan data alone.
  __device__ __forceinline__ void wait_once() {
    if (waited_) return;
    wait_for_predecessor();
    waited_ = true;
    if (kTraced) start_ = global_time_ns();
  }

  __device__ __forceinline__ void drain(int first_tile, int num_tiles) {
    TileRecord record = load_record(view_, first_tile, lane_);
    cursor_.start(first_tile, num_tiles, record);
    int tile = first_tile;
    for (int ordinal = 0; ordinal < num_tiles; ++ordinal) {
      if (kTraced) start_ = global_time_ns();
      groups_.prefetch(record, unlikely(queue_) ? kPending : num_tiles - ordinal - 1);
      int next_tile = unlikely(queue_) ? draw() : tile + 1;
      TileRecord next_record = record;
      if (!queue_ && ordinal + 1 < num_tiles) next_record = load_record(view_, next_tile, lane_);
      const TileKeys keys(record);
      const int num_blocks = steps_of_team(count_blocks(view_, keys), team_.index);
      const int num_steps = (num_blocks + kStepBlocks - 1) / kStepBlocks;
      const int num_passes = (record.get(TILE_ROW_COUNT) + kRows - 1) / kRows;
      const int num_groups = record.get(TILE_PARTIAL_SLOT) < 0 ? 0 : record.get(TILE_MERGE_GROUP_COUNT);
      // Whether they are announced before the states are written: a single one, or, where merges are shared, several too.
      const bool early = kShared ? num_groups <= groups_.room() : num_groups <= 1;
      bool elected = false;
      for (int pass = 0; pass < num_passes; ++pass) {
        // The ring runs on across the tiles that are known; those of a queue come one by one.
        const bool fill = pass == 0 && (ordinal == 0 || queue_);
        describe_rows(record, keys, pass);
        state_.reset();
        attend(record, num_steps, fill);
        // The next queries first: they arrive while the warps' states are put together.
        const bool last = pass + 1 == num_passes;
        if (!last || (!queue_ && ordinal + 1 < num_tiles)) {
          queries_.resolve({last ? next_record.word : record.word}, last ? 0 : pass + 1);
          queries_.request();
        }
        state_.reduce_sums();
        if (last) {
          if constexpr (kShared) {
            if (early) groups_.announce(record, 0, num_groups);
          } else if (num_groups == 1) {
            groups_.announce(record, 0);
          }
          elected = groups_.any() && early && (is_end(ordinal, num_tiles) || groups_.is_full());
        }
        const int num_rows = min(record.get(TILE_ROW_COUNT) - pass * kRows, kRows);
        share_state(num_rows);
        if (unlikely(last && queue_)) {
          next_tile = shared_.queued;
          if (next_tile < num_tiles_) {
            ++num_tiles;
            cursor_.add_queued(next_tile);
            next_record = load_record(view_, next_tile, lane_);
          }
        }
        // The answers arrive while the states are written; the states of whoever counted before are nearly there.
        if (elected) groups_.elect();
        write_result(record, pass * kRows, num_rows);
      }
      const bool more = ordinal + 1 < num_tiles;
      int group = early ? num_groups : 0;
      do {
        if constexpr (kShared) {
          if (const int count = min(num_groups - group, groups_.room()); count > 0) {
            groups_.announce(record, group, count);
            group += count;
            sync_cta();
          }
        } else {
          while (group < num_groups && !groups_.is_full()) groups_.announce(record, group++);
        }
        const bool due = groups_.is_full() || (!more && group >= num_groups);
        if (!due || !groups_.any()) continue;
        if (!elected) groups_.elect();
        elected = false;
        groups_.merge_complete(more || group < num_groups);
      } while (group < num_groups);
      if (kTraced && threadIdx.x == 0) write_trace(params_, tile, tile, TRACE_PHASE_TILE, start_);
      record = next_record;
      tile = next_tile;
    }
  }

  // Whether a tile is known to be the CTA's last. Of a queue that shows only after share_state().
  __device__ bool is_end(int ordinal, int num_tiles) const { return !queue_ && ordinal + 1 == num_tiles; }

  // Every step refills the stage that it has emptied. Filling the ring is kStages steps ahead of the first key.
  __device__ __forceinline__ void attend(const TileRecord& record, int num_steps, bool fill) {
#pragma unroll 1
    for (int step = fill ? -kStages : 0; step < num_steps; ++step) {
      const KvStage current = stage(slot_);
      if (step >= 0) {
        wait_for_keys(team_);
        if (kWide && step == 0) queries_.arrange();
        state_.attend(current, queries_, rule_, shared_.rows[warp_], team_, lane_);
        groups_.prefetch_slots();
        team_.sync();
      }
      // Gathered rows are looked up while page ids are on their way, all others found behind the requests for keys.
      if (kShared && step == -kStages) queries_.resolve(record, 0);
      NextBlock next[kStepBlocks];
      const bool more = cursor_.prepare(next);
      if (!waited_ && more) cursor_.warm_l2();
      if (!kShared && step == -kStages) queries_.resolve(record, 0);
      wait_once();
      if (step == -kStages) queries_.request();
      if (more) cursor_.copy_keys(next, current);
      if (kValuesLater) commit_copies();
      if (more) cursor_.copy_values(next, current);
      commit_copies();
      if (more) cursor_.look_further();
      slot_ = slot_ + 1 == kStages ? 0 : slot_ + 1;
    }
  }

  // Writes down the rows of a pass, a lane each, where their logits depend on more than the dot product.
  __device__ __forceinline__ void describe_rows(const TileRecord& record, const TileKeys& keys, int pass) {
    const int row_start = record.get(TILE_ROW_START);
    const int row_count = record.get(TILE_ROW_COUNT);
    const int flags = record.get(TILE_FLAGS);
    const int kv_head = record.get(TILE_KV_HEAD);
    const int position_base = record.get(TILE_QO_POSITION_BASE);
    const int kv_seq = record.get(TILE_KV_SEQ);
    if (!unlikely(keys.masked || has_segments(keys) || rule_.alibi)) return;
    // Slopes are no plan data: the kernel before may be writing them.
    if (rule_.alibi) wait_once();
    if (lane_ < kRowsPerWarp) {
      const int offset = view_.kv_sequence(kv_seq)[KV_SEQUENCE_POSITION_OFFSET];
      const int row = min(pass * kRows + team_.member * kRowsPerWarp + lane_, row_count - 1);
      const RowRef ref = resolve_row(view_, row_start + row, flags, kv_head, position_base);
      const float slope = rule_.alibi ? static_cast<const float*>(params_.alibi_slopes)[ref.head] * kLog2e : 0;
      shared_.rows[warp_][lane_] = {ref.position - offset, slope};
    }
    __syncwarp();
  }

  // Puts this warp's state where the others see it. Ends with a barrier.
  __device__ __forceinline__ void share_state(int num_rows) {
    if (shares_) sync_cta();  // everybody has read the states of the tile before
    shares_ = true;
    state_.share(shared_.output[team_.index], shared_.softmax[team_.index], team_.member * kRowsPerWarp, num_rows, lane_);
    if (queue_ && threadIdx.x == 0) shared_.queued = drawn_;
    sync_cta();
  }

  // Merges the teams' states of the shared rows, which are `first_row` and after of the tile, and writes output or partial
  // state.
  __device__ __forceinline__ void write_result(const TileRecord& record, int first_row, int num_rows) {
    const int slot = record.get(TILE_PARTIAL_SLOT);
    const int row_start = record.get(TILE_ROW_START) + first_row;
    const int flags = record.get(TILE_FLAGS);
    const int kv_head = record.get(TILE_KV_HEAD);
#pragma unroll 1
    for (int i = threadIdx.x; i < num_rows * (kHeadDim / 4); i += kThreads) {
      const int row = i / (kHeadDim / 4);
      const int dim = i % (kHeadDim / 4) * 4;
      RowSoftmax softmax{kNoScore, 0};
      float4 total = make_float4(0, 0, 0, 0);
      merge_teams(row, dim, softmax, total);
      const bool final = slot < 0;
      RowRef ref{};
      float scale = params_.v_scale;
      if (final) {
        ref = resolve_row(view_, row_start + row, flags, kv_head, 0);
        scale *= softmax.add_sink(params_, ref.head);
      }
      scale *= softmax.inverse();
      total.x *= scale, total.y *= scale, total.z *= scale, total.w *= scale;
      if (final) {
        write_output4(params_, ref, dim, total);
        if (dim == 0) write_lse(params_, ref, softmax.lse());
      } else {
        const int64 partial = static_cast<int64>(slot) + first_row + row;
        publish4(partial_output(params_, partial) + dim, total);
        if (dim == 0) publish(partial_lse(params_, partial), softmax.lse());
      }
    }
  }

  __device__ __forceinline__ void merge_teams(int row, int dim, RowSoftmax& softmax, float4& total) const {
#pragma unroll
    for (int w = 0; w < kTeams; ++w) softmax.reference = fmaxf(softmax.reference, shared_.softmax[w][row].reference);
#pragma unroll
    for (int w = 0; w < kTeams; ++w) {
      const RowSoftmax state = shared_.softmax[w][row];
      const float factor = exp2_approx(state.reference - softmax.reference);
      const float4 x = *reinterpret_cast<const float4*>(&shared_.output[w][row][dim]);
      softmax.sum += factor * state.sum;
      total.x += factor * x.x, total.y += factor * x.y, total.z += factor * x.z, total.w += factor * x.w;
    }
  }

  // Queue dispatch. The first tile of a CTA is its own number; what it draws comes after those. The draw is on its way
  // while the tile is computed, and becomes known to all in share_state().
  __device__ __forceinline__ int draw() {
    wait_once();
    if (threadIdx.x == 0) drawn_ = gridDim.x + atomicAdd(queue_head(), 1u);
    return 0;
  }
  // The last CTA leaves the queue as the next launch wants to find it.
  __device__ __forceinline__ void close_queue() {
    sync_cta();
    if (threadIdx.x != 0) return;
    __threadfence();
    if (atomicInc(queue_head() + 1, gridDim.x - 1) == gridDim.x - 1) *queue_head() = 0;
  }
  __device__ uint32* queue_head() const { return static_cast<uint32*>(params_.counters) + params_.max_merge_groups; }

  const AttentionParams& params_;
  SharedMemory& shared_;
  const int lane_;
  const int warp_;
  const Team team_;
  const ScheduleView view_;
  const LogitRule rule_;
  Queries queries_;
  KvCursor cursor_;
  MergeGroups groups_;
  StateOf<kWide>::Type state_;
  const uint32 ring_;
  // The stage to be read next.
  int slot_ = 0;
  bool waited_ = false;
  // Shared states may still be read.
  bool shares_ = false;
  // Of the current tile, where a trace is wanted.
  int64 start_ = 0;
  int num_tiles_ = 0;
  bool queue_ = false;
  int drawn_ = 0;
};

}  // namespace warpbook

extern "C" __global__ void __launch_bounds__(warpbook::kThreads, warpbook::kCtasPerSm)
attention_decode(const __grid_constant__ warpbook::AttentionParams params) {
  extern __shared__ __align__(128) char memory[];
  warpbook::Decode(params, *reinterpret_cast<warpbook::SharedMemory*>(memory)).run();
}
