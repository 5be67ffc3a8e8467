// A kernel that can be launched: a loaded image, its entry, and how its CTAs look.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cuda/context.h"
#include "cuda/health.h"

namespace warpbook::cuda {

struct ProgramOptions {
  std::string name;
  std::string entry;
  int threads = 0;
  int shared_bytes = 0;
  bool cooperative = false;
  bool pdl = false;
};

struct ProgramInfo {
  int registers = 0;
  int shared_bytes = 0;
  int local_bytes = 0;
  int max_ctas_per_sm = 0;
};

class Program {
 public:
  // Loads the image at once (nothing is left for the first launch, which may be a capture). Throws Misuse UNSUPPORTED
  // for an image that this GPU can't run, or a CTA that doesn't fit on an SM.
  Program(ContextPtr context, Health& health, ProgramOptions options, const uint8_t* image, size_t num_image_bytes);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  const ProgramOptions& options() const { return options_; }
  const ProgramInfo& info() const { return info_; }
  const std::shared_ptr<const std::string>& name() const { return name_; }
  CUfunction function() const { return function_; }

  // Throws Misuse unless the grid and the size of the parameters fit.
  void require_launch(const std::array<uint32_t, 3>& grid, size_t num_params_bytes) const;

  // Enqueues a launch whose parameters are copied meanwhile; the driver's answer.
  CUresult launch(CUstream stream, const std::array<uint32_t, 3>& grid, void* params) const;
  // Replaces grid and parameters of a node that is a launch of this program; the driver's answer.
  CUresult update(CUgraphExec exec, CUgraphNode node, const std::array<uint32_t, 3>& grid, void* params) const;

 private:
  void load(Health& health, const uint8_t* image, size_t num_image_bytes);
  void find_params_bytes();

  ContextPtr context_;
  const ProgramOptions options_;
  const std::shared_ptr<const std::string> name_;
  ProgramInfo info_;
  CUmodule module_ = nullptr;
  CUfunction function_ = nullptr;
  // Size of the kernel's one parameter, 0 for a kernel without; -1 where the driver is too old to say.
  int64_t params_bytes_ = -1;
};

using ProgramPtr = std::shared_ptr<const Program>;

}  // namespace warpbook::cuda
