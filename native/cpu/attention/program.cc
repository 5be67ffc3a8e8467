// The attention program: hands the work tiles of a packed Schedule to virtual CTAs, and merges the partial states of
// a group when its last tile has arrived. Knows the schedule; the arithmetic is in the kernels.
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <string>

#include "cpu/attention/attention.h"
#include "cpu/attention/kernels.h"
#include "cpu/attention/schedule_view.h"
#include "cpu/attention/scratch.h"

namespace warpbook::cpu {

namespace {

// Words after the arrival counters of the merge groups.
constexpr int kQueueHead = 0;

int64_t now_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

[[noreturn]] void refuse(const std::string& what) { throw std::invalid_argument("attention: " + what); }

void check(const AttentionParams& params) {
  if (params.head_dim <= 0 || params.head_dim % 8 != 0) {
    refuse("head_dim is " + std::to_string(params.head_dim) + "; wanted a positive multiple of 8");
  }
  if (params.q_dtype < DTYPE_FLOAT32 || params.q_dtype > DTYPE_BFLOAT16) {
    refuse("q_dtype is code " + std::to_string(params.q_dtype) + "; wanted float32, float16 or bfloat16");
  }
  if (params.kv_dtype < DTYPE_FLOAT32 || params.kv_dtype > DTYPE_FLOAT8_E5M2) {
    refuse("kv_dtype is code " + std::to_string(params.kv_dtype) +
           "; wanted float32, float16, bfloat16, float8_e4m3fn or float8_e5m2");
  }
  if (params.page_size <= 0) refuse("page_size is " + std::to_string(params.page_size) + "; wanted at least 1");
  if (params.num_kv_heads <= 0 || params.num_qo_heads % params.num_kv_heads != 0) {
    refuse("num_qo_heads " + std::to_string(params.num_qo_heads) + " is not a multiple of num_kv_heads " +
           std::to_string(params.num_kv_heads));
  }
}

// One launch. Its member functions run on several threads at once; all they share is the device memory.
class AttentionLaunch {
 public:
  explicit AttentionLaunch(const AttentionParams& params)
      : params_(params), view_(params), kernels_(select_kernels()),
        group_size_(params.num_qo_heads / params.num_kv_heads), counters_(static_cast<uint32_t*>(params.counters)) {}

  void run(const Launch& launch) {
    const int64_t num_ctas = view_.header(HEADER_NUM_CTAS);
    const int64_t grid = launch.grid[0];
    if (view_.header(HEADER_DISPATCH) == DISPATCH_QUEUE) {
      uint32_t* head = counters_ + params_.max_merge_groups + kQueueHead;
      launch.parallel.run(grid, [&](int64_t cta, int worker) { drain_queue(head, static_cast<int>(cta), worker); });
      __atomic_store_n(head, 0u, __ATOMIC_RELAXED);
    } else {
      // A virtual SM holds one CTA, so its queue (DISPATCH_SM_QUEUE) is that CTA's own range. A grid smaller than
      // the schedule's takes the surplus ranges in further rounds.
      launch.parallel.run(grid < num_ctas ? grid : num_ctas, [&](int64_t first, int worker) {
        for (int64_t cta = first; cta < num_ctas; cta += grid) drain_range(static_cast<int>(cta), worker);
      });
    }
    merge_empty_groups();
  }

 private:
  struct Place {
    int cta;
    int worker;
  };

  void drain_range(int cta, int worker) {
    const int32_t* indptr = view_.cta_indptr();
    const int end = indptr[cta + 1];
    for (int tile = indptr[cta]; tile < end; ++tile) {
      run_tile(tile, tile + 1 < end ? tile + 1 : -1, {cta, worker});
    }
  }

  void drain_queue(uint32_t* head, int cta, int worker) {
    const uint32_t num_tiles = static_cast<uint32_t>(view_.header(HEADER_NUM_TILES));
    for (;;) {
      const uint32_t tile = __atomic_fetch_add(head, 1u, __ATOMIC_RELAXED);
      if (tile >= num_tiles) return;
      run_tile(static_cast<int>(tile), -1, {cta, worker});
    }
  }

  // `following`: the tile that this CTA will run next, or -1 if that is not known.
  void run_tile(int index, int following, Place place) {
    const int64_t start = params_.trace != nullptr ? now_ns() : 0;
    const int32_t* tile = view_.tile(index);
    attend_tile(tile, following < 0 ? nullptr : view_.tile(following));
    if (params_.trace != nullptr) trace(index, index, TRACE_PHASE_TILE, place, start);

    if (tile[TILE_PARTIAL_SLOT] < 0) return;
    for (int i = 0; i < tile[TILE_MERGE_GROUP_COUNT]; ++i) arrive(tile[TILE_MERGE_GROUP] + i, place);
  }

  static KeyRange key_range(const int32_t* tile) {
    return {tile[TILE_KV_HEAD], tile[TILE_PAGE_START], tile[TILE_KV_START], tile[TILE_KV_END]};
  }

  void attend_tile(const int32_t* tile, const int32_t* following) {
    AttendJob job{};
    job.params = &params_;
    job.range = key_range(tile);
    job.position_offset = view_.kv_sequence(tile[TILE_KV_SEQ])[KV_SEQUENCE_POSITION_OFFSET];
    const KeyRange upcoming = following != nullptr ? key_range(following) : KeyRange{};
    job.status = view_.status();
    const int32_t whole[WB_SEGMENT_STRIDE] = {
        tile[TILE_KV_START], tile[TILE_KV_END], (tile[TILE_FLAGS] & TILE_FLAG_NEEDS_MASK) != 0, 0};
    const bool segmented = tile[TILE_SEG_COUNT] > 0;
    job.segments = segmented ? view_.segment(tile[TILE_SEG_START]) : whole;
    job.num_segments = segmented ? tile[TILE_SEG_COUNT] : 1;

    const Scratch& scratch = thread_scratch();
    RowRef rows[kMaxRows];
    job.rows = rows;
    for (int first = 0; first < tile[TILE_ROW_COUNT]; first += kMaxRows) {
      job.num_rows = resolve_rows(tile[TILE_ROW_START], first, tile[TILE_ROW_COUNT], tile[TILE_FLAGS],
                                  tile[TILE_KV_HEAD], tile[TILE_QO_POSITION_BASE], rows);
      job.partial_slot = tile[TILE_PARTIAL_SLOT] < 0 ? -1 : tile[TILE_PARTIAL_SLOT] + first;
      const bool last = first + job.num_rows == tile[TILE_ROW_COUNT];
      job.upcoming = !last ? &job.range : following != nullptr ? &upcoming : nullptr;
      kernels_.attend(job, scratch);
    }
  }

  // The last of a group's tiles merges it. The counter is back at zero for the next launch.
  void arrive(int group, Place place) {
    const int32_t* words = view_.merge_group(group);
    const uint32_t arrived = __atomic_add_fetch(counters_ + group, 1u, __ATOMIC_ACQ_REL);
    if (arrived != static_cast<uint32_t>(words[MERGE_GROUP_SLOT_COUNT])) return;
    __atomic_store_n(counters_ + group, 0u, __ATOMIC_RELAXED);
    const int64_t start = params_.trace != nullptr ? now_ns() : 0;
    merge_group(words);
    if (params_.trace != nullptr) trace(params_.max_tiles + group, group, TRACE_PHASE_MERGE, place, start);
  }

  void merge_group(const int32_t* group) {
    MergeJob job{};
    job.params = &params_;
    job.slots = view_.merge_slots() + group[MERGE_GROUP_SLOT_START];
    job.num_slots = group[MERGE_GROUP_SLOT_COUNT];
    const Scratch& scratch = thread_scratch();
    RowRef rows[kMaxRows];
    job.rows = rows;
    for (int first = 0; first < group[MERGE_GROUP_ROW_COUNT]; first += kMaxRows) {
      job.first_row = first;
      job.num_rows = resolve_rows(group[MERGE_GROUP_ROW_START], first, group[MERGE_GROUP_ROW_COUNT],
                                  group[MERGE_GROUP_FLAGS], group[MERGE_GROUP_KV_HEAD], 0, rows);
      kernels_.merge(job, scratch);
    }
  }

  // No tile arrives at a group without slots, yet its rows are named: they are empty.
  void merge_empty_groups() {
    for (int i = 0; i < view_.header(HEADER_NUM_MERGE_GROUPS); ++i) {
      const int32_t* group = view_.merge_group(i);
      if (group[MERGE_GROUP_SLOT_COUNT] == 0) merge_group(group);
    }
  }

  // Resolves up to kMaxRows rows from row_start + first on; returns how many.
  int resolve_rows(int row_start, int first, int row_count, int flags, int kv_head, int position_base,
                   RowRef* rows) const {
    const int count = row_count - first < kMaxRows ? row_count - first : kMaxRows;
    for (int i = 0; i < count; ++i) {
      const int row = row_start + first + i;
      if (flags & TILE_FLAG_GATHER_ROWS) {
        const int32_t* words = view_.row(row);
        const int head = kv_head * group_size_ + words[ROW_QO_HEAD] % group_size_;
        rows[i] = {words[ROW_QO_TOKEN], head, words[ROW_QO_POSITION]};
      } else {
        const int token = row / group_size_;
        rows[i] = {token, kv_head * group_size_ + row % group_size_, token + position_base};
      }
    }
    return count;
  }

  void trace(int record, int item, int phase, Place place, int64_t start) const {
    int32_t* words = static_cast<int32_t*>(params_.trace) + static_cast<int64_t>(record) * WB_TRACE_RECORD_WORDS;
    words[TRACE_CTA] = place.cta;
    words[TRACE_SM] = place.worker;
    words[TRACE_ITEM] = item;
    words[TRACE_PHASE] = phase;
    const int64_t end = now_ns();
    std::memcpy(words + TRACE_START_NS, &start, sizeof start);
    std::memcpy(words + TRACE_END_NS, &end, sizeof end);
  }

  const Scratch& thread_scratch() const {
    thread_local ScratchMemory memory;
    return memory.reserve(params_.head_dim);
  }

  const AttentionParams& params_;
  const ScheduleView view_;
  const AttentionKernels& kernels_;
  const int group_size_;
  uint32_t* const counters_;
};

void run_attention(const Launch& launch, const void* params) {
  const AttentionParams& attention = *static_cast<const AttentionParams*>(params);
  check(attention);
  AttentionLaunch(attention).run(launch);
}

}  // namespace

const Program attention_program{"attention", sizeof(AttentionParams), run_attention};

}  // namespace warpbook::cpu
