// The planner in one thread: the same work list, word for word, as the host's policy of that name and as the CUDA kernel.
// Knows no policy beyond the four; a list that doesn't fit the workspace is replaced by the one that splits nothing.
//
// A host that plans for a GPU waits for it, and the memory that it writes has just been read by that GPU: so records are made
// once for all heads, and tables are streamed, the tiles in the order of their places.
#include "cpu/attention/plan_tiles.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "cpu/attention/streamed.h"
#include "plan/query_tile.h"

namespace warpbook::cpu {

namespace {

// Used again for the next plan: its lists keep their memory.
class Planner {
 public:
  void run(const PlanTilesParams& params) {
    params_ = params;
    heads_ = params.num_kv_heads;
    masked_ = params.causal != 0 || params.window_left >= 0;
    image_ = static_cast<int32_t*>(params.workspace);
    width_ = 1;
    piece_indptr_.clear();
    piece_starts_.clear();
    groups_.clear();
    if (reinterpret_cast<uintptr_t>(image_) % 16 != 0) {
      throw std::invalid_argument("plan_tiles: the workspace is not aligned; wanted a multiple of 16 bytes");
    }
    read_lengths();
    const bool in_chunks = params_.policy == PLAN_POLICY_BINARY_SEARCH || params_.policy == PLAN_POLICY_ADAPTIVE;
    const bool in_shares = params_.policy == PLAN_POLICY_HEAD_GROUPS || params_.policy == PLAN_POLICY_ADAPTIVE;
    int chunk = 0;
    if (in_chunks && num_tiles() * heads_ < params_.num_ctas) {
      chunk = smallest_chunk_pages() * params_.page_size;
      if (params_.policy == PLAN_POLICY_ADAPTIVE && !is_nearly_even(chunk)) chunk = 0;
    }
    if (chunk > 0) cut_at_chunks(chunk);
    else if (in_shares && heads_ <= params_.num_ctas) cut_in_shares();
    if (piece_indptr_.empty() || !fits()) keep_whole();
    write_header();
    write_sequences();
    write_merge_groups();
    if (groups_.empty()) write_in_order();
    else write_grouped();
    finish_streaming();
  }

 private:
  int64_t num_tiles() const { return static_cast<int64_t>(tiles_.size()); }
  int pieces_of(size_t q) const { return piece_indptr_[q + 1] - piece_indptr_[q]; }

  void read_lengths() {
    const auto* lengths = static_cast<const int32_t*>(params_.kv_lens);
    const auto* asked = static_cast<const int32_t*>(params_.num_requests);
    page_ranges_ = static_cast<const int32_t*>(params_.page_ranges);
    const int wanted = asked != nullptr ? *asked : params_.max_requests;
    const int num_requests = std::clamp(wanted, 0, params_.max_requests);
    if (wanted != num_requests) ++image_[HEADER_BAD_LENGTHS];
    const int per_request = params_.tiles_per_request;
    kv_lens_.resize(num_requests);
    tiles_.resize(static_cast<size_t>(num_requests) * per_request);
    PlanQueryTile* tile = tiles_.data();
    for (int r = 0; r < num_requests; ++r) {
      const int64_t room = static_cast<int64_t>(page_ranges_[2 * r + 1]) * params_.page_size;
      const int kv_len = static_cast<int>(std::min<int64_t>(std::max(lengths[r], 0), room));
      if (kv_len != lengths[r]) ++image_[HEADER_BAD_LENGTHS];
      kv_lens_[r] = kv_len;
      for (int i = 0; i < per_request; ++i) {
        *tile++ = masked_ ? plan_query_tile(params_, r, i, kv_len) : unmasked_tile(r, i, kv_len);
      }
    }
  }

  // plan_query_tile() without its divisions.
  PlanQueryTile unmasked_tile(int request, int index, int kv_len) const {
    const int rows = params_.qo_len * params_.group_size;
    const int row = index * params_.rows_per_tile;
    return {request, request * rows + row, std::min(params_.rows_per_tile, rows - row), 0, kv_len, 0, kv_len};
  }

  // Whole steps in so many tokens.
  int steps(int tokens) const {
    return params_.kv_step_shift >= 0 ? tokens >> params_.kv_step_shift : tokens / params_.kv_step;
  }

  void cut_in_shares() {
    const int step = params_.kv_step;
    std::vector<int>& units = units_;
    units.resize(tiles_.size());
    int64_t total = 0;
    for (size_t q = 0; q < tiles_.size(); ++q) {
      units[q] = std::max(1, steps(tiles_[q].kv_end + step - 1) - steps(tiles_[q].kv_start));
      total += units[q] + PLAN_TILE_UNITS;
    }
    const int64_t num_shares = params_.num_shares;
    const auto share_end = [&](int64_t share) { return (share + 1) * total / num_shares; };

    width_ = heads_;
    piece_indptr_.reserve(tiles_.size() + 1);
    piece_starts_.reserve(tiles_.size() + num_shares);
    groups_.reserve(tiles_.size() + num_shares);
    piece_indptr_.push_back(0);
    int64_t first_unit = 0;
    int64_t share = 0;
    int64_t end = share_end(0);
    int group = 0;
    for (size_t q = 0; q < tiles_.size(); ++q) {
      const PlanQueryTile& tile = tiles_[q];
      const int64_t end_unit = first_unit + units[q];
      if (end <= first_unit) {
        if (first_unit > 0) ++group;
        while (end <= first_unit) end = share_end(++share);
      }
      add_piece(tile.kv_start, group);
      const int64_t base = steps(tile.kv_start) - first_unit;
      while (end < end_unit) {
        const int64_t cut = end;
        add_piece(static_cast<int>((base + cut) * step), ++group);
        while (end == cut) end = share_end(++share);
      }
      piece_indptr_.push_back(static_cast<int>(piece_starts_.size()));
      first_unit = end_unit + PLAN_TILE_UNITS;
    }
  }

  void add_piece(int start, int group) {
    piece_starts_.push_back(start);
    groups_.push_back(group);
  }

  // adaptive: whether a chunk is hardly longer than a CTA's equal share of all keys.
  bool is_nearly_even(int64_t chunk) const {
    int64_t tokens = 0;
    for (const PlanQueryTile& tile : tiles_) tokens += tile.kv_end - tile.kv_start;
    return (chunk - PLAN_SLACK_STEPS * params_.kv_step) * params_.num_ctas <= tokens * heads_;
  }

  void cut_at_chunks(int chunk) {
    piece_indptr_.push_back(0);
    for (const PlanQueryTile& tile : tiles_) {
      const int count = plan_count_pieces(tile.kv_start, tile.kv_end, chunk);
      for (int i = 0; i < count; ++i) {
        piece_starts_.push_back(i == 0 ? tile.kv_start : (tile.kv_start / chunk + i) * chunk);
      }
      piece_indptr_.push_back(static_cast<int>(piece_starts_.size()));
    }
  }

  int smallest_chunk_pages() const {
    const int page = params_.page_size;
    int longest = 1;
    for (const PlanQueryTile& tile : tiles_) longest = std::max(longest, tile.kv_end);
    int low = std::max(PLAN_MIN_CHUNK_TOKENS / page, 1);
    int high = std::max(low, (longest + page - 1) / page);
    while (low < high) {
      const int middle = (low + high) >> 1;
      int64_t sum = 0;
      for (const PlanQueryTile& tile : tiles_) sum += plan_count_pieces(tile.kv_start, tile.kv_end, middle * page);
      if (sum * heads_ <= params_.num_ctas) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  bool fits() const {
    int64_t splits = 0, slots = 0, rows = 0;
    for (size_t q = 0; q < tiles_.size(); ++q) {
      if (pieces_of(q) == 1) continue;
      ++splits;
      slots += pieces_of(q);
      rows += static_cast<int64_t>(pieces_of(q)) * tiles_[q].row_count;
    }
    const bool fits = static_cast<int64_t>(piece_starts_.size()) * heads_ <= params_.max_tiles &&
                      splits * heads_ <= params_.max_merge_groups && slots * heads_ <= params_.max_merge_slots &&
                      rows * heads_ <= params_.max_partial_rows;
    if (!fits) ++image_[HEADER_UNSPLIT_PLANS];
    return fits;
  }

  void keep_whole() {
    piece_indptr_.resize(tiles_.size() + 1);
    std::iota(piece_indptr_.begin(), piece_indptr_.end(), 0);
    piece_starts_.resize(tiles_.size());
    for (size_t q = 0; q < tiles_.size(); ++q) piece_starts_[q] = tiles_[q].kv_start;
    groups_.clear();
    if (num_tiles() * heads_ <= params_.num_ctas) return;
    width_ = params_.group_width;
    deal_longest_first();
  }

  // An item is a query tile and `width` heads of it.
  void deal_longest_first() {
    const int blocks = heads_ / width_;
    const int num_groups = params_.num_groups;
    const auto tokens = [&](size_t q) { return tiles_[q].kv_end - tiles_[q].kv_start; };
    groups_.resize(tiles_.size() * blocks);
    double total = 0;
    bool alike = true;
    // Sorted as numbers, the longest last, and of equals the first last: tokens above, place from the end below.
    std::vector<int64_t> order(tiles_.size());
    for (size_t q = 0; q < tiles_.size(); ++q) {
      total += tokens(q) + PLAN_FIXED_TOKENS;
      alike = alike && tokens(q) == tokens(0);
      order[q] = (int64_t{tokens(q)} << 32) | static_cast<int64_t>(tiles_.size() - 1 - q);
    }
    if (alike || static_cast<int>(groups_.size()) <= num_groups) {
      for (size_t item = 0; item < groups_.size(); ++item) groups_[item] = static_cast<int>(item % num_groups);
      return;
    }
    std::sort(order.begin(), order.end());
    const double unit = std::max(1.0, total * blocks / PLAN_MAX_GROUP_LOAD);
    // At most PLAN_MAX_GROUP_LOAD in sum.
    std::vector<int> loads(num_groups, 0);
    for (auto key = order.rbegin(); key != order.rend(); ++key) {
      const size_t q = tiles_.size() - 1 - static_cast<size_t>(*key & 0xffffffff);
      const int load = static_cast<int>((tokens(q) + PLAN_FIXED_TOKENS) / unit);
      for (int block = 0; block < blocks; ++block) {
        const auto least = std::min_element(loads.begin(), loads.end());
        groups_[q * blocks + block] = static_cast<int>(least - loads.begin());
        *least += load;
      }
    }
  }

  void write_header() {
    int splits = 0, slots = 0, rows = 0;
    for (size_t q = 0; q < tiles_.size(); ++q) {
      if (pieces_of(q) == 1) continue;
      ++splits;
      slots += pieces_of(q);
      rows += pieces_of(q) * tiles_[q].row_count;
    }
    image_[HEADER_NUM_TILES] = static_cast<int>(piece_starts_.size()) * heads_;
    image_[HEADER_NUM_CTAS] = params_.num_ctas;
    image_[HEADER_DISPATCH] = DISPATCH_STATIC;
    image_[HEADER_NUM_KV_SEQUENCES] = static_cast<int>(kv_lens_.size());
    image_[HEADER_NUM_ROWS] = 0;
    image_[HEADER_NUM_SEGMENTS] = 0;
    image_[HEADER_NUM_MERGE_GROUPS] = splits * heads_;
    image_[HEADER_NUM_MERGE_SLOTS] = slots * heads_;
    image_[HEADER_NUM_PARTIAL_ROWS] = rows * heads_;
    image_[HEADER_BATCH_SIZE] = static_cast<int>(kv_lens_.size());
    image_[HEADER_PLAN_ID] = params_.plan_id;
  }

  void write_sequences() {
    static_assert(KV_SEQUENCE_PAGE_START == 0 && KV_SEQUENCE_KV_LEN == 1 && KV_SEQUENCE_POSITION_OFFSET == 2 &&
                      KV_SEQUENCE_REQUEST == 3, "the fields in this order");
    int32_t* out = image_ + params_.kv_sequences_offset;
    for (size_t r = 0; r < kv_lens_.size(); ++r, out += WB_KV_SEQUENCE_STRIDE) {
      stream_quad(out, Quad{page_ranges_[2 * r], kv_lens_[r], 0, static_cast<int>(r)});
    }
  }

  void write_merge_groups() {
    int32_t* out = image_ + params_.merge_groups_offset;
    int32_t* slots = image_ + params_.merge_slots_offset;
    int slot = 0, row = 0;
    for (size_t q = 0; q < tiles_.size(); ++q) {
      const int count = pieces_of(q);
      if (count == 1) continue;
      const PlanQueryTile& tile = tiles_[q];
      for (int head = 0; head < heads_; ++head, out += WB_MERGE_GROUP_STRIDE) {
        stream_quad(out, Quad{tile.row_start, tile.row_count, head, slot});
        stream_quad(out + 4, Quad{count, 0, 0, 0});
        for (int i = 0; i < count; ++i, row += tile.row_count) slots[slot++] = row;
      }
    }
  }

  // Tile t on CTA t, in the order of query tile, head, piece.
  void write_in_order() {
    const int total = static_cast<int>(piece_starts_.size()) * heads_;
    int32_t* indptr = image_ + params_.cta_indptr_offset;
    for (int cta = 0; cta <= params_.num_ctas; ++cta) indptr[cta] = std::min(cta, total);
    make_tiles();
    int32_t* out = image_ + params_.tiles_offset;
    for (size_t q = 0; q < tiles_.size(); ++q) {
      for (int head = 0; head < heads_; ++head) {
        for (int piece = piece_indptr_[q]; piece < piece_indptr_[q + 1]; ++piece) out = write_tile(pieces_[piece], head, out);
      }
    }
  }

  // Group g has the CTAs from g * width on, a head of each of its items in each.
  void write_grouped() {
    const int num_groups = params_.num_ctas / width_;
    const int blocks = heads_ / width_;
    // Items by group; within one they keep their order.
    std::vector<int>&first = first_items_, &next = next_items_, &items = items_;
    first.assign(num_groups + 1, 0);
    for (int group : groups_) ++first[group + 1];
    std::partial_sum(first.begin(), first.end(), first.begin());
    next = first;
    items.resize(groups_.size());
    for (size_t item = 0; item < groups_.size(); ++item) items[next[groups_[item]]++] = static_cast<int>(item);

    make_tiles();
    int32_t* indptr = image_ + params_.cta_indptr_offset;
    int32_t* out = image_ + params_.tiles_offset;
    int cta = 0, tile = 0;
    for (int group = 0; group < num_groups; ++group) {
      for (int w = 0; w < width_; ++w) {
        indptr[cta++] = tile;
        tile += first[group + 1] - first[group];
        for (int i = first[group]; i < first[group + 1]; ++i) {
          const int piece = blocks == 1 ? items[i] : items[i] / blocks;
          out = write_tile(pieces_[piece], (items[i] - piece * blocks) * width_ + w, out);
        }
      }
    }
    while (cta <= params_.num_ctas) indptr[cta++] = tile;
  }

  // The tiles of a piece: that of head 0, and by how much partial slots differ from head to head; 0 where it is not cut.
  struct PieceTiles {
    int words[WB_TILE_STRIDE];
    int rows_per_head;
  };

  void make_tiles() {
    pieces_.resize(piece_starts_.size());
    int row = 0, merge_group = 0;
    for (size_t q = 0; q < tiles_.size(); ++q) {
      const PlanQueryTile& tile = tiles_[q];
      const int kv_len = kv_lens_[tile.request];
      const int page_start = page_ranges_[2 * tile.request];
      const int begin = piece_indptr_[q], end = piece_indptr_[q + 1];
      const bool cut = end - begin > 1;
      const int rows_per_head = cut ? (end - begin) * tile.row_count : 0;
      for (int piece = begin; piece < end; ++piece) {
        const int kv_end = piece + 1 < end ? piece_starts_[piece + 1] : tile.kv_end;
        const int slot = cut ? row + (piece - begin) * tile.row_count : -1;
        const PlanPiece out{0, piece_starts_[piece], kv_end, slot, cut ? merge_group : -1};
        plan_tile_record(params_, tile, out, kv_len, page_start, pieces_[piece].words);
        pieces_[piece].rows_per_head = rows_per_head;
      }
      row += heads_ * rows_per_head;
      merge_group += cut ? heads_ : 0;
    }
  }

  static int32_t* write_tile(const PieceTiles& piece, int head, int32_t* out) {
    static_assert(TILE_KV_HEAD == 1 && TILE_PARTIAL_SLOT == 9 && TILE_MERGE_GROUP == 10, "what differs from head to head");
    const int cut = piece.rows_per_head > 0 ? head : 0;
    stream_quad(out, load_quad(piece.words) + Quad{0, head, 0, 0});
    stream_quad(out + 4, load_quad(piece.words + 4));
    stream_quad(out + 8, load_quad(piece.words + 8) + Quad{0, cut * piece.rows_per_head, cut, 0});
    stream_quad(out + 12, load_quad(piece.words + 12));
    return out + WB_TILE_STRIDE;
  }

  PlanTilesParams params_{};
  int heads_ = 0;
  bool masked_ = false;
  int32_t* image_ = nullptr;
  // {first page, pages} of each request.
  const int32_t* page_ranges_ = nullptr;
  std::vector<int> kv_lens_;
  // Query tiles of one KV head, their pieces, and the group that each item goes to; no groups: tile t to CTA t.
  std::vector<PlanQueryTile> tiles_;
  std::vector<int> piece_indptr_;
  std::vector<int> piece_starts_;
  std::vector<int> groups_;
  // Of each query tile and KV head, in the policy's units; of groups, items of theirs; records of pieces.
  std::vector<int> units_, first_items_, next_items_, items_;
  std::vector<PieceTiles> pieces_;
  // Heads of an item.
  int width_ = 1;
};

void run_plan_tiles(const Launch&, const void* params) {
  thread_local Planner planner;
  planner.run(*static_cast<const PlanTilesParams*>(params));
}

void run_scatter_words(const Launch&, const void* raw) {
  const auto& params = *static_cast<const ScatterWordsParams*>(raw);
  const auto* pairs = static_cast<const int32_t*>(params.pairs);
  auto* target = static_cast<int32_t*>(params.target);
  for (int64_t i = 0; i < params.num_pairs; ++i) {
    const int32_t index = pairs[2 * i];
    if (index >= 0 && index < params.num_words) target[index] = pairs[2 * i + 1];
  }
}

}  // namespace

const Program plan_tiles_program{"plan_tiles", sizeof(PlanTilesParams), run_plan_tiles};
const Program scatter_words_program{"scatter_words", sizeof(ScatterWordsParams), run_scatter_words};

}  // namespace warpbook::cpu
