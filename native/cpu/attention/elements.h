// Element types of tensors as types, so that loads and stores are chosen by overload. Bits only.
#pragma once

#include <cstdint>

namespace warpbook::cpu {

struct Float16 {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};
struct Float8E4M3 {
  uint8_t bits;
};
struct Float8E5M2 {
  uint8_t bits;
};

}  // namespace warpbook::cpu
