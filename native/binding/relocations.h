// The relocations of a launch, as JavaScript hands them over.
#pragma once

#include <vector>

#include "binding/arguments.h"
#include "cpu/device.h"

namespace warpbook::binding {

// Argument `index` holds triples of doubles (offset, buffer, byte offset), one typed array instead of 3 n property
// reads; the next argument says how many of them count.
inline std::vector<cpu::Relocation> relocations(const Arguments& arguments, size_t index) {
  const Numbers triples = arguments.numbers(index, "relocations");
  const int64_t count =
      arguments.integer(index + 1, "number of relocations", 0, static_cast<int64_t>(triples.size / 3));
  std::vector<cpu::Relocation> relocations;
  relocations.reserve(count);
  for (int64_t i = 0; i < count; ++i) {
    const double* triple = triples.data + 3 * i;
    if (!(triple[0] >= 0 && triple[2] >= 0)) arguments.refuse(index, "relocations", "offsets of at least 0");
    relocations.push_back({static_cast<size_t>(triple[0]), static_cast<cpu::Handle>(triple[1]),
                           static_cast<size_t>(triple[2])});
  }
  return relocations;
}

}  // namespace warpbook::binding
