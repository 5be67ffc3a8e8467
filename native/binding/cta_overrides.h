// What a launch has otherwise than its program, as JavaScript hands it over.
#pragma once

#include "binding/arguments.h"
#include "cuda/program.h"

namespace warpbook::binding {

// Eight int32: threads in x, y, z (0: the program's), then dynamic shared bytes, cooperative, pdl, CTAs of a cluster (-1: the
// program's), and whether kernels may change the launch's node.
inline cuda::CtaOverrides cta_overrides(const Arguments& arguments, size_t index) {
  const Integers words = arguments.integers(index, "CTA");
  if (words.size != 8) arguments.refuse(index, "CTA", "an Int32Array of 8 words");
  cuda::CtaOverrides overrides;
  overrides.threads = {words.data[0], words.data[1], words.data[2]};
  overrides.shared_bytes = words.data[3];
  overrides.cooperative = words.data[4];
  overrides.pdl = words.data[5];
  overrides.cluster_size = words.data[6];
  overrides.device_updatable = words.data[7];
  return overrides;
}

}  // namespace warpbook::binding
