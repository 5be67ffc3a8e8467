// Runs a program at once on the calling thread: for what is computed for the host itself, beside any device.
#pragma once

#include "cpu/program.h"
#include "cpu/work.h"

namespace warpbook::cpu {

class Serial final : public Parallel {
 public:
  int num_workers() const override { return 1; }
  void run(int64_t count, const std::function<void(int64_t index, int worker)>& body) override {
    for (int64_t index = 0; index < count; ++index) body(index, 0);
  }
};

inline void run_serially(const Program& program, const Params& params) {
  Serial serial;
  program.run(Launch{{1, 1, 1}, serial}, params.data());
}

}  // namespace warpbook::cpu
