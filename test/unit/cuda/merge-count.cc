// Tiles of a merge group start and arrive in random order, as CTAs of a GPU would: every row must be merged by exactly one of
// them, nobody may be told to wait for a tile that has not started, and the word must be back at zero.
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "attention/merge_count.cuh"

using namespace warpbook;

namespace {

[[noreturn]] void fail(int trial, const char* what) {
  std::printf("trial %d: %s\n", trial, what);
  std::exit(1);
}

enum State { kWaiting, kRunning, kArrived };

}  // namespace

int main() {
  std::mt19937 random(1);
  long early = 0;
  for (int trial = 0; trial < 200000; ++trial) {
    const bool large = trial % 1000 == 0;
    const int num_tiles = large ? 995 + random() % 40 : 1 + random() % (trial % 3 ? 20 : 3);
    const bool all_counted = random() % 4 != 0;
    const int first_row = random() % 64;
    const unsigned most_running = 1 + random() % num_tiles;
    std::vector<int> merged(1 + random() % 40);
    std::vector<State> states(num_tiles, kWaiting);
    std::vector<uint32> started(num_tiles, kNotStarted);
    uint32 word = 0;
    unsigned running = 0;
    for (int left = num_tiles; left > 0;) {
      const int tile = random() % num_tiles;
      if (states[tile] == kWaiting && running < most_running) {
        if (counts_starts(num_tiles) && (all_counted || random() % 2)) {
          started[tile] = word;
          word += kOneStart;
        }
        states[tile] = kRunning;
        ++running;
      } else if (states[tile] == kRunning) {
        const uint32 adds = arrival_of(started[tile], num_tiles);
        const MergeShare share(MergeShare(word + adds - 1, num_tiles).pack());
        const bool none = MergeShare(word + adds - 1, num_tiles).pack() == 0;
        word += adds;
        states[tile] = kArrived;
        --running;
        --left;
        if (none) continue;
        if (share.part == 0) {
          if (left > 0) fail(trial, "a tile takes itself for the last");
          word = 0;
        } else {
          ++early;
          for (State state : states) {
            if (state == kWaiting) fail(trial, "would wait for a tile that has not started");
          }
        }
        for (size_t row = 0; row < merged.size(); ++row) merged[row] += share.has(first_row + static_cast<int>(row));
      }
    }
    if (word != 0) fail(trial, "the word is not back at zero");
    for (int times : merged) {
      if (times != 1) fail(trial, "a row is not merged once");
    }
  }
  std::printf("%ld\n", early);
}
