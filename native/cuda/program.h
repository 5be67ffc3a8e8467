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

// How the CTAs of a launch look.
struct CtaShape {
  // {0, 0, 0} for a program whose launches say it each time.
  std::array<uint32_t, 3> threads{};
  // Dynamic.
  int shared_bytes = 0;
  bool cooperative = false;
  bool pdl = false;
  // CTAs of a cluster, neighbours in x; 1: no clusters.
  int cluster_size = 1;
  // Kernels may change the launch's node, see device_handle in graph.h.
  bool device_updatable = false;
};

// What one launch has otherwise than its program; -1 (or 0 threads): as the program.
struct CtaOverrides {
  std::array<int32_t, 3> threads{};
  int32_t shared_bytes = -1;
  int32_t cooperative = -1;
  int32_t pdl = -1;
  int32_t cluster_size = -1;
  int32_t device_updatable = -1;
};

// A kernel of the same image that the program's kernel launches.
struct ChildKernel {
  std::string entry;
  // Dynamic.
  int shared_bytes = 0;
};

struct ProgramOptions {
  // In messages and pictures.
  std::string label;
  std::string entry;
  CtaShape shape;
  // Of the kernel's parameters, where the driver is too old to tell them.
  std::vector<size_t> parameter_offsets;
  // The device can't raise the limit of dynamic shared memory: it is raised here.
  std::vector<ChildKernel> children;
};

struct ProgramParameter {
  size_t offset = 0;
  size_t num_bytes = 0;
};

struct ProgramInfo {
  int registers = 0;
  // Static and dynamic.
  int shared_bytes = 0;
  int static_shared_bytes = 0;
  int local_bytes = 0;
  int max_threads = 0;
  // 0 where the program leaves its threads to the launches.
  int max_ctas_per_sm = 0;
  // Clusters on the whole GPU; 0 without clusters.
  int max_clusters = 0;
  // False where the driver is too old to tell them (before CUDA 12.4).
  bool knows_parameters = false;
  std::vector<ProgramParameter> parameters;
};

class Program {
 public:
  // Loads the image at once (nothing is left for the first launch, which may be a capture). Throws Misuse UNSUPPORTED
  // for an image that this GPU can't run, or a CTA that doesn't fit on an SM.
  Program(ContextPtr context, Health& health, ProgramOptions options, const uint8_t* image, size_t num_image_bytes);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  const ProgramInfo& info() const { return info_; }
  const std::shared_ptr<const std::string>& label() const { return label_; }

  // The shape of a launch. Throws Misuse unless grid, CTAs and the size of the parameters fit.
  CtaShape resolve(Health& health, const std::array<uint32_t, 3>& grid, const CtaOverrides& overrides,
                   size_t num_params_bytes);

  // CTAs of such a shape that fit on an SM at the same time. Throws Misuse as resolve().
  int ctas_per_sm(Health& health, const CtaOverrides& overrides);

  // Enqueues a launch whose parameters are copied meanwhile; the driver's answer. `device_node` gets what kernels know the
  // node by, where they may change it.
  CUresult launch(CUstream stream, const std::array<uint32_t, 3>& grid, const CtaShape& shape, uint8_t* params,
                  CUgraphDeviceNode* device_node);
  // Replaces grid, threads, shared memory and parameters of a node that is a launch of this program; the driver's
  // answer. A node keeps its attributes.
  CUresult update(CUgraphExec exec, CUgraphNode node, const std::array<uint32_t, 3>& grid, const CtaShape& shape,
                  uint8_t* params);

 private:
  void load(Health& health, const uint8_t* image, size_t num_image_bytes);
  void find_parameters();
  void require_cta(const CtaShape& shape) const;
  void allow_children(Health& health);
  void allow_shared(Health& health, int shared_bytes);
  void allow_cluster(Health& health, int cluster_size);
  void** pointers(uint8_t* params);

  ContextPtr context_;
  const ProgramOptions options_;
  const std::shared_ptr<const std::string> label_;
  ProgramInfo info_;
  CUmodule module_ = nullptr;
  CUfunction function_ = nullptr;
  // Where each parameter begins in the block that launches pass, and the block's size: -1 where nobody knows.
  std::vector<size_t> offsets_;
  int64_t params_bytes_ = -1;
  // Dynamic shared memory that the driver has been told to allow.
  int allowed_shared_bytes_ = 0;
  bool allows_large_clusters_ = false;
  std::vector<void*> pointers_;
};

using ProgramPtr = std::shared_ptr<Program>;

}  // namespace warpbook::cuda
