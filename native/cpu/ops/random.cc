// tensor_random: element i takes word i % 4 of the Philox block whose counter is the base counter plus i / 4. Built
// with -ffp-contract=off, see philox.h.
#include <algorithm>

#include "cpu/ops/elements.h"
#include "cpu/ops/ops.h"
#include "philox.h"
#include "schedule_layout.h"
#include "tensor_params.h"

namespace warpbook::cpu {

namespace {

PhiloxBlock block_at(const TensorRandomParams& params, int64_t index) {
  const uint64_t low = static_cast<uint64_t>(params.counter_lo) + static_cast<uint64_t>(index);
  const uint64_t carry = low < static_cast<uint64_t>(index) ? 1 : 0;
  const uint64_t high = static_cast<uint64_t>(params.counter_hi) + carry;
  return philox4x32_10({{static_cast<uint32_t>(low), static_cast<uint32_t>(low >> 32), static_cast<uint32_t>(high),
                         static_cast<uint32_t>(high >> 32)}},
                       static_cast<uint64_t>(params.key));
}

// Float32 draws from one block, each rounded after every operation.
void draw(const TensorRandomParams& params, const PhiloxBlock& block, float values[4]) {
  if (params.distribution == RANDOM_UNIFORM) {
    for (int lane = 0; lane < 4; ++lane) {
      const float scaled = unit_float(block.word[lane]) * params.scale;
      // Rounding may reach the open end of the interval.
      values[lane] = std::min(params.offset + scaled, params.ceiling);
    }
    return;
  }
  normal_pair(block.word[0], block.word[1], values[0], values[1]);
  normal_pair(block.word[2], block.word[3], values[2], values[3]);
  for (int lane = 0; lane < 4; ++lane) {
    const float scaled = values[lane] * params.scale;
    values[lane] = params.offset + scaled;
  }
}

void run(const Launch& launch, const void* raw) {
  const auto& params = *static_cast<const TensorRandomParams*>(raw);
  const int64_t size = static_cast<int64_t>(item_size(params.dtype));
  launch.parallel.run(launch.grid[0], [&](int64_t cta, int) {
    const int64_t cta_end = std::min<int64_t>((cta + 1) * TENSOR_ELEMENTS_PER_CTA, params.num_elements);
    for (int64_t begin = cta * TENSOR_ELEMENTS_PER_CTA; begin < cta_end; begin += kMaxRun) {
      const int64_t count = std::min(kMaxRun, cta_end - begin);
      char* const target = static_cast<char*>(params.dst) + begin * size;
      // A run starts at a multiple of 4, so whole blocks are drawn and the surplus of the last one is dropped.
      if (params.distribution == RANDOM_BITS) {
        int64_t words[kMaxRun];
        for (int64_t i = 0; i < count; i += 4) {
          const PhiloxBlock block = block_at(params, (begin + i) / 4);
          for (int lane = 0; lane < 4; ++lane) words[i + lane] = block.word[lane];
        }
        store_integers(params.dtype, words, count, target, 1);
      } else {
        float values[kMaxRun];
        for (int64_t i = 0; i < count; i += 4) draw(params, block_at(params, (begin + i) / 4), values + i);
        store_floats(params.dtype, values, count, target, 1);
      }
    }
  });
}

}  // namespace

const Program tensor_random_program{"tensor_random", sizeof(TensorRandomParams), run};

}  // namespace warpbook::cpu
