// The planner in one thread: the same work list, word for word, as the host's policy of that name and as the CUDA kernel.
// Knows no policy beyond the four; a list that doesn't fit the workspace is replaced by the one that splits nothing.
#include "cpu/attention/plan_tiles.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "plan/query_tile.h"

namespace warpbook::cpu {

namespace {

class Planner {
 public:
  explicit Planner(const PlanTilesParams& params)
      : params_(params), heads_(params.num_kv_heads), image_(static_cast<int32_t*>(params.workspace)) {}

  void run() {
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
    for (int r = 0; r < num_requests; ++r) {
      const int64_t room = static_cast<int64_t>(page_ranges_[2 * r + 1]) * params_.page_size;
      const int kv_len = static_cast<int>(std::min<int64_t>(std::max(lengths[r], 0), room));
      if (kv_len != lengths[r]) ++image_[HEADER_BAD_LENGTHS];
      kv_lens_.push_back(kv_len);
      for (int i = 0; i < per_request; ++i) tiles_.push_back(plan_query_tile(params_, r, i, kv_len));
    }
  }

  void cut_in_shares() {
    const int step = params_.kv_step;
    const auto units = [&](const PlanQueryTile& tile) {
      return std::max(1, (tile.kv_end + step - 1) / step - tile.kv_start / step);
    };
    int64_t total = 0;
    for (const PlanQueryTile& tile : tiles_) total += units(tile) + PLAN_TILE_UNITS;
    const int64_t num_shares = params_.num_shares;
    const auto share_end = [&](int64_t share) { return (share + 1) * total / num_shares; };

    width_ = heads_;
    piece_indptr_.push_back(0);
    int64_t first_unit = 0;
    int64_t share = 0;
    int group = 0;
    for (const PlanQueryTile& tile : tiles_) {
      const int64_t end_unit = first_unit + units(tile);
      if (share_end(share) <= first_unit) {
        if (first_unit > 0) ++group;
        while (share_end(share) <= first_unit) ++share;
      }
      add_piece(tile.kv_start, group);
      const int64_t base = tile.kv_start / step - first_unit;
      while (share_end(share) < end_unit) {
        const int64_t cut = share_end(share);
        add_piece(static_cast<int>((base + cut) * step), ++group);
        while (share_end(share) == cut) ++share;
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
    piece_starts_.clear();
    for (const PlanQueryTile& tile : tiles_) piece_starts_.push_back(tile.kv_start);
    groups_.clear();
    if (num_tiles() * heads_ <= params_.num_ctas) return;
    width_ = params_.group_width;
    deal_longest_first();
  }

  // An item is a query tile and `width` heads of it.
  void deal_longest_first() {
    const int blocks = heads_ / width_;
    const int num_groups = params_.num_groups;
    const auto tokens = [&](int q) { return tiles_[q].kv_end - tiles_[q].kv_start; };
    groups_.resize(tiles_.size() * blocks);
    std::vector<int> order(tiles_.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return tokens(a) > tokens(b); });
    if (tokens(order.front()) == tokens(order.back()) || static_cast<int>(groups_.size()) <= num_groups) {
      for (size_t item = 0; item < groups_.size(); ++item) groups_[item] = static_cast<int>(item % num_groups);
      return;
    }
    double total = 0;
    for (int q : order) total += tokens(q) + PLAN_FIXED_TOKENS;
    const double unit = std::max(1.0, total * blocks / PLAN_MAX_GROUP_LOAD);
    std::vector<int64_t> loads(num_groups, 0);
    for (int q : order) {
      const auto load = static_cast<int64_t>(std::floor((tokens(q) + PLAN_FIXED_TOKENS) / unit));
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
    int32_t* out = image_ + params_.kv_sequences_offset;
    for (size_t r = 0; r < kv_lens_.size(); ++r, out += WB_KV_SEQUENCE_STRIDE) {
      out[KV_SEQUENCE_PAGE_START] = page_ranges_[2 * r];
      out[KV_SEQUENCE_KV_LEN] = kv_lens_[r];
      out[KV_SEQUENCE_POSITION_OFFSET] = 0;
      out[KV_SEQUENCE_REQUEST] = static_cast<int>(r);
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
        const int32_t record[WB_MERGE_GROUP_STRIDE] = {tile.row_start, tile.row_count, head, slot, count, 0, 0, 0};
        std::memcpy(out, record, sizeof record);
        for (int i = 0; i < count; ++i, row += tile.row_count) slots[slot++] = row;
      }
    }
  }

  // Tile t on CTA t, in the order of query tile, head, piece.
  void write_in_order() {
    const int total = static_cast<int>(piece_starts_.size()) * heads_;
    int32_t* indptr = image_ + params_.cta_indptr_offset;
    for (int cta = 0; cta <= params_.num_ctas; ++cta) indptr[cta] = std::min(cta, total);
    visit([&](size_t q, int head, int i) { return piece_indptr_[q] * heads_ + head * pieces_of(q) + i; });
  }

  // Group g has the CTAs from g * width on, a head of each of its items in each.
  void write_grouped() {
    const int num_groups = params_.num_ctas / width_;
    const int blocks = heads_ / width_;
    std::vector<int> counts(num_groups, 0), first(num_groups, 0), number(groups_.size());
    for (size_t item = 0; item < groups_.size(); ++item) number[item] = counts[groups_[item]]++;
    std::exclusive_scan(counts.begin(), counts.end(), first.begin(), 0);
    int32_t* indptr = image_ + params_.cta_indptr_offset;
    for (int cta = 0; cta <= params_.num_ctas; ++cta) {
      const int group = cta / width_;
      indptr[cta] = group < num_groups ? first[group] * width_ + cta % width_ * counts[group]
                                       : static_cast<int>(groups_.size()) * width_;
    }
    visit([&](size_t q, int head, int i) {
      const int item = (piece_indptr_[q] + i) * blocks + head / width_;
      const int group = groups_[item];
      return first[group] * width_ + head % width_ * counts[group] + number[item];
    });
  }

  template <typename Place>
  void visit(const Place& place) {
    int row = 0, merge_group = 0;
    for (size_t q = 0; q < tiles_.size(); ++q) {
      const PlanQueryTile& tile = tiles_[q];
      const int count = pieces_of(q);
      const int kv_len = kv_lens_[tile.request];
      for (int head = 0; head < heads_; ++head) {
        for (int i = 0; i < count; ++i) {
          const int piece = piece_indptr_[q] + i;
          PlanPiece out{head, piece_starts_[piece], i + 1 < count ? piece_starts_[piece + 1] : tile.kv_end, -1, -1};
          if (count > 1) {
            out.partial_slot = row;
            out.merge_group = merge_group;
            row += tile.row_count;
          }
          int words[WB_TILE_STRIDE];
          plan_tile_record(params_, tile, out, kv_len, page_ranges_[2 * tile.request], words);
          const int64_t at = params_.tiles_offset + static_cast<int64_t>(place(q, head, i)) * WB_TILE_STRIDE;
          std::memcpy(image_ + at, words, sizeof words);
        }
        merge_group += count > 1;
      }
    }
  }

  const PlanTilesParams& params_;
  const int heads_;
  int32_t* const image_;
  // {first page, pages} of each request.
  const int32_t* page_ranges_ = nullptr;
  std::vector<int> kv_lens_;
  // Query tiles of one KV head, their pieces, and the group that each item goes to; no groups: tile t to CTA t.
  std::vector<PlanQueryTile> tiles_;
  std::vector<int> piece_indptr_;
  std::vector<int> piece_starts_;
  std::vector<int> groups_;
  // Heads of an item.
  int width_ = 1;
};

void run_plan_tiles(const Launch&, const void* params) { Planner(*static_cast<const PlanTilesParams*>(params)).run(); }

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
