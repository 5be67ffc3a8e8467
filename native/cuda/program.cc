#include "cuda/program.h"

#include <algorithm>
#include <utility>

#include "cpu/misuse.h"

namespace warpbook::cuda {

namespace {

using cpu::Misuse;

constexpr size_t kLogBytes = 8192;
constexpr uint32_t kMaxGrid[3] = {2147483647, 65535, 65535};
constexpr uint32_t kMaxThreads[3] = {1024, 1024, 64};
// Larger clusters run on some GPUs only, and the driver wants to hear that this is known.
constexpr int kPortableClusterSize = 8;

std::string times(const std::array<uint32_t, 3>& extents) {
  return std::to_string(extents[0]) + " x " + std::to_string(extents[1]) + " x " + std::to_string(extents[2]);
}

uint64_t volume(const std::array<uint32_t, 3>& extents) {
  return uint64_t{extents[0]} * extents[1] * extents[2];
}

// A launch's attributes, and the configuration that points to them.
struct LaunchConfig {
  LaunchConfig(CUstream stream, const std::array<uint32_t, 3>& grid, const CtaShape& shape) {
    unsigned count = 0;
    if (shape.cooperative) {
      attributes[count].id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
      attributes[count++].value.cooperative = 1;
    }
    if (shape.pdl) {
      attributes[count].id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
      attributes[count++].value.programmaticStreamSerializationAllowed = 1;
    }
    if (shape.cluster_size > 1) {
      attributes[count].id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
      attributes[count++].value.clusterDim = {static_cast<unsigned>(shape.cluster_size), 1, 1};
    }
    if (shape.device_updatable) {
      attributes[count].id = CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE;
      attributes[count++].value.deviceUpdatableKernelNode.deviceUpdatable = 1;
    }
    config = {grid[0],          grid[1],          grid[2],
              shape.threads[0], shape.threads[1], shape.threads[2],
              static_cast<unsigned>(shape.shared_bytes), stream, attributes, count};
  }
  LaunchConfig(const LaunchConfig&) = delete;
  LaunchConfig& operator=(const LaunchConfig&) = delete;

  CUlaunchAttribute attributes[4] = {};
  CUlaunchConfig config{};
};

}  // namespace

Program::Program(ContextPtr context, Health& health, ProgramOptions options, const uint8_t* image,
                 size_t num_image_bytes)
    : context_(std::move(context)),
      options_(std::move(options)),
      label_(std::make_shared<const std::string>(options_.label)) {
  try {
    load(health, image, num_image_bytes);
  } catch (...) {
    if (module_ != nullptr) context_->driver.cuModuleUnload(module_);
    throw;
  }
}

Program::~Program() {
  if (context_->abandoned() || module_ == nullptr) return;
  context_->make_current();
  context_->driver.cuModuleUnload(module_);
}

void Program::load(Health& health, const uint8_t* image, size_t num_image_bytes) {
  const Driver& driver = context_->driver;
  const CtaShape& shape = options_.shape;
  const std::string doing = "loading program '" + options_.label + "'";
  const auto require = [&](CUresult result, const char* call) {
    if (!health.check(result, call, doing)) throw Misuse(health.message(), health.code());
  };

  // The driver reads text to its terminating zero: it must find one in any image.
  std::vector<uint8_t> terminated(image, image + num_image_bytes);
  terminated.push_back(0);
  std::vector<char> log(kLogBytes);
  CUjit_option jit_options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* jit_values[] = {log.data(), reinterpret_cast<void*>(kLogBytes)};
  const CUresult loaded = driver.cuModuleLoadDataEx(&module_, terminated.data(), 2, jit_options, jit_values);
  log.back() = '\0';
  const std::string said = log.data();
  if (!health.check(loaded, "cuModuleLoadDataEx", said.empty() ? doing : doing + " (" + said + ")")) {
    throw Misuse(health.message(), health.code());
  }
  require(driver.cuModuleGetFunction(&function_, module_, options_.entry.c_str()), "cuModuleGetFunction");
  if (driver.cuFuncLoad != nullptr) require(driver.cuFuncLoad(function_), "cuFuncLoad");
  find_parameters();

  const auto attribute = [&](CUfunction_attribute which) {
    int value = 0;
    require(driver.cuFuncGetAttribute(&value, which, function_), "cuFuncGetAttribute");
    return value;
  };
  info_.max_threads = attribute(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
  info_.static_shared_bytes = attribute(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES);
  info_.registers = attribute(CU_FUNC_ATTRIBUTE_NUM_REGS);
  info_.shared_bytes = info_.static_shared_bytes + shape.shared_bytes;
  info_.local_bytes = attribute(CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES);
  const bool leaves_threads_open = shape.threads == std::array<uint32_t, 3>{};
  CtaShape checked = shape;
  if (leaves_threads_open) checked.threads = {1, 1, 1};
  require_cta(checked);
  require(driver.cuFuncSetAttribute(function_, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, shape.shared_bytes),
          "cuFuncSetAttribute");
  allowed_shared_bytes_ = shape.shared_bytes;
  allow_cluster(health, shape.cluster_size);
  allow_children(health);
  if (leaves_threads_open) return;
  require(driver.cuOccupancyMaxActiveBlocksPerMultiprocessor(&info_.max_ctas_per_sm, function_,
                                                             static_cast<int>(volume(shape.threads)),
                                                             static_cast<size_t>(shape.shared_bytes)),
          "cuOccupancyMaxActiveBlocksPerMultiprocessor");
  if (shape.cluster_size > 1) {
    const LaunchConfig launch(nullptr, {static_cast<uint32_t>(shape.cluster_size), 1, 1}, shape);
    require(driver.cuOccupancyMaxActiveClusters(&info_.max_clusters, function_, &launch.config),
            "cuOccupancyMaxActiveClusters");
  }
}

void Program::find_parameters() {
  const Driver& driver = context_->driver;
  if (driver.cuFuncGetParamInfo == nullptr) {
    offsets_ = options_.parameter_offsets;
    return;
  }
  info_.knows_parameters = true;
  params_bytes_ = 0;
  ProgramParameter parameter;
  while (driver.cuFuncGetParamInfo(function_, info_.parameters.size(), &parameter.offset, &parameter.num_bytes) ==
         CUDA_SUCCESS) {
    info_.parameters.push_back(parameter);
    offsets_.push_back(parameter.offset);
    params_bytes_ = static_cast<int64_t>(parameter.offset + parameter.num_bytes);
  }
}

void Program::require_cta(const CtaShape& shape) const {
  const auto refuse = [this](const std::string& what, const char* code) {
    throw Misuse("Got program '" + options_.label + "' with " + what, code);
  };
  for (int axis = 0; axis < 3; ++axis) {
    if (shape.threads[axis] >= 1 && shape.threads[axis] <= kMaxThreads[axis]) continue;
    refuse("CTAs of " + times(shape.threads) + " threads; wanted at least 1 x 1 x 1 and at most 1024 x 1024 x 64.",
           "INVALID_ARGUMENT");
  }
  if (volume(shape.threads) > static_cast<uint64_t>(info_.max_threads)) {
    refuse(std::to_string(volume(shape.threads)) + " threads in a CTA; wanted at most " +
               std::to_string(info_.max_threads) +
               ", which is what its registers and launch bounds leave. Use fewer threads.",
           "UNSUPPORTED");
  }
  const int most = context_->facts.max_shared_bytes - info_.static_shared_bytes;
  if (shape.shared_bytes < 0 || shape.shared_bytes > most) {
    refuse(std::to_string(shape.shared_bytes) + " bytes of dynamic shared memory in a CTA; wanted at most " +
               std::to_string(most) + " on this GPU (" + std::to_string(context_->facts.max_shared_bytes) + " less " +
               std::to_string(info_.static_shared_bytes) + " static ones). Use smaller tiles or fewer stages.",
           "UNSUPPORTED");
  }
  if (shape.cluster_size > 1 && context_->facts.major < 9) {
    refuse("clusters of " + std::to_string(shape.cluster_size) +
               " CTAs on a GPU of compute capability " + std::to_string(context_->facts.major) + "." +
               std::to_string(context_->facts.minor) + "; wanted 9.0 or higher. Leave the clusters out.",
           "UNSUPPORTED");
  }
}

void Program::allow_children(Health& health) {
  const Driver& driver = context_->driver;
  for (const ChildKernel& child : options_.children) {
    const std::string doing = "loading '" + child.entry + "', which program '" + options_.label + "' launches";
    const auto require = [&](CUresult result, const char* call) {
      if (!health.check(result, call, doing)) throw Misuse(health.message(), health.code());
    };
    CUfunction function = nullptr;
    require(driver.cuModuleGetFunction(&function, module_, child.entry.c_str()), "cuModuleGetFunction");
    if (driver.cuFuncLoad != nullptr) require(driver.cuFuncLoad(function), "cuFuncLoad");
    require(driver.cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, child.shared_bytes),
            "cuFuncSetAttribute");
  }
}

void Program::allow_shared(Health& health, int shared_bytes) {
  if (shared_bytes <= allowed_shared_bytes_) return;
  if (!health.ok()) return;
  const CUresult result = context_->driver.cuFuncSetAttribute(
      function_, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, shared_bytes);
  if (health.check(result, "cuFuncSetAttribute", "allowing '" + options_.label + "' its shared memory")) {
    allowed_shared_bytes_ = shared_bytes;
  }
}

void Program::allow_cluster(Health& health, int cluster_size) {
  if (cluster_size <= kPortableClusterSize || allows_large_clusters_ || !health.ok()) return;
  const CUresult result =
      context_->driver.cuFuncSetAttribute(function_, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1);
  allows_large_clusters_ = health.check(result, "cuFuncSetAttribute", "allowing '" + options_.label + "' its clusters");
}

CtaShape Program::resolve(Health& health, const std::array<uint32_t, 3>& grid, const CtaOverrides& overrides,
                          size_t num_params_bytes) {
  CtaShape shape = options_.shape;
  bool differs = false;
  if (overrides.threads != std::array<int32_t, 3>{}) {
    for (int axis = 0; axis < 3; ++axis) shape.threads[axis] = static_cast<uint32_t>(overrides.threads[axis]);
    differs = true;
  }
  if (overrides.shared_bytes >= 0) {
    shape.shared_bytes = overrides.shared_bytes;
    differs = true;
  }
  if (overrides.cooperative >= 0) shape.cooperative = overrides.cooperative != 0;
  if (overrides.pdl >= 0) shape.pdl = overrides.pdl != 0;
  if (overrides.cluster_size >= 0) {
    shape.cluster_size = overrides.cluster_size;
    differs = true;
  }
  shape.device_updatable = overrides.device_updatable > 0;
  if (shape.threads == std::array<uint32_t, 3>{}) {
    throw Misuse("got a launch of program '" + options_.label + "' without the number of threads; wanted it, because "
                 "the program was loaded without one");
  }
  if (differs) {
    require_cta(shape);
    allow_shared(health, shape.shared_bytes);
    allow_cluster(health, shape.cluster_size);
  }
  for (int axis = 0; axis < 3; ++axis) {
    if (grid[axis] >= 1 && grid[axis] <= kMaxGrid[axis]) continue;
    throw Misuse("got a launch of program '" + options_.label + "' with a grid of " + times(grid) +
                 " CTAs; wanted at least 1 x 1 x 1 and at most 2147483647 x 65535 x 65535");
  }
  if (shape.cluster_size > 1 && grid[0] % static_cast<uint32_t>(shape.cluster_size) != 0) {
    throw Misuse("got a launch of program '" + options_.label + "' with a grid of " + times(grid) + " CTAs in clusters of " +
                 std::to_string(shape.cluster_size) + "; wanted a multiple of the cluster in x");
  }
  if (params_bytes_ >= 0 && num_params_bytes != static_cast<size_t>(params_bytes_)) {
    throw Misuse("got " + std::to_string(num_params_bytes) + " parameter bytes for program '" + options_.label +
                 "'; wanted " + std::to_string(params_bytes_));
  }
  return shape;
}

int Program::ctas_per_sm(Health& health, const CtaOverrides& overrides) {
  const CtaShape shape = resolve(health, {static_cast<uint32_t>(options_.shape.cluster_size), 1, 1}, overrides, params_bytes_ < 0 ? 0 : params_bytes_);
  int count = 0;
  const CUresult result = context_->driver.cuOccupancyMaxActiveBlocksPerMultiprocessor(
      &count, function_, static_cast<int>(volume(shape.threads)), static_cast<size_t>(shape.shared_bytes));
  if (!health.check(result, "cuOccupancyMaxActiveBlocksPerMultiprocessor",
                    "asking for the occupancy of '" + options_.label + "'")) {
    throw Misuse(health.message(), health.code());
  }
  return count;
}

void** Program::pointers(uint8_t* params) {
  pointers_.clear();
  for (const size_t offset : offsets_) pointers_.push_back(params + offset);
  return pointers_.data();
}

CUresult Program::launch(CUstream stream, const std::array<uint32_t, 3>& grid, const CtaShape& shape,
                         uint8_t* params, CUgraphDeviceNode* device_node) {
  const LaunchConfig launch(stream, grid, shape);
  const CUresult result = context_->driver.cuLaunchKernelEx(&launch.config, function_, pointers(params), nullptr);
  if (shape.device_updatable && launch.config.numAttrs > 0) {
    *device_node = launch.attributes[launch.config.numAttrs - 1].value.deviceUpdatableKernelNode.devNode;
  }
  return result;
}

CUresult Program::update(CUgraphExec exec, CUgraphNode node, const std::array<uint32_t, 3>& grid,
                         const CtaShape& shape, uint8_t* params) {
  CUDA_KERNEL_NODE_PARAMS_v2 node_params{};
  node_params.func = function_;
  node_params.gridDimX = grid[0];
  node_params.gridDimY = grid[1];
  node_params.gridDimZ = grid[2];
  node_params.blockDimX = shape.threads[0];
  node_params.blockDimY = shape.threads[1];
  node_params.blockDimZ = shape.threads[2];
  node_params.sharedMemBytes = static_cast<unsigned>(shape.shared_bytes);
  node_params.kernelParams = pointers(params);
  return context_->driver.cuGraphExecKernelNodeSetParams(exec, node, &node_params);
}

}  // namespace warpbook::cuda
