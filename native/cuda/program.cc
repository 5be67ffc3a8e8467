#include "cuda/program.h"

#include <utility>

#include "cpu/misuse.h"

namespace warpbook::cuda {

namespace {

using cpu::Misuse;

constexpr size_t kLogBytes = 8192;
constexpr uint32_t kMaxGrid[3] = {2147483647, 65535, 65535};

}  // namespace

Program::Program(ContextPtr context, Health& health, ProgramOptions options, const uint8_t* image,
                 size_t num_image_bytes)
    : context_(std::move(context)),
      options_(std::move(options)),
      name_(std::make_shared<const std::string>(options_.name)) {
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
  const std::string doing = "loading program '" + options_.name + "'";
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
  find_params_bytes();

  const auto attribute = [&](CUfunction_attribute which) {
    int value = 0;
    require(driver.cuFuncGetAttribute(&value, which, function_), "cuFuncGetAttribute");
    return value;
  };
  const int max_threads = attribute(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
  if (options_.threads > max_threads) {
    throw Misuse("Got program '" + options_.name + "' with " + std::to_string(options_.threads) +
                     " threads in a CTA; wanted at most " + std::to_string(max_threads) +
                     ", which is what its registers and launch bounds leave. Use fewer threads.",
                 "UNSUPPORTED");
  }
  const int static_bytes = attribute(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES);
  const int most = context_->facts.max_shared_bytes - static_bytes;
  if (options_.shared_bytes > most) {
    throw Misuse("Got program '" + options_.name + "' with " + std::to_string(options_.shared_bytes) +
                     " bytes of dynamic shared memory in a CTA; wanted at most " + std::to_string(most) +
                     " on this GPU (" + std::to_string(context_->facts.max_shared_bytes) +
                     " less " + std::to_string(static_bytes) +
                     " static ones). Use smaller tiles or fewer stages.",
                 "UNSUPPORTED");
  }
  require(driver.cuFuncSetAttribute(function_, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, options_.shared_bytes),
          "cuFuncSetAttribute");
  info_.registers = attribute(CU_FUNC_ATTRIBUTE_NUM_REGS);
  info_.shared_bytes = static_bytes + options_.shared_bytes;
  info_.local_bytes = attribute(CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES);
  require(driver.cuOccupancyMaxActiveBlocksPerMultiprocessor(&info_.max_ctas_per_sm, function_, options_.threads,
                                                             static_cast<size_t>(options_.shared_bytes)),
          "cuOccupancyMaxActiveBlocksPerMultiprocessor");
}

void Program::find_params_bytes() {
  const Driver& driver = context_->driver;
  if (driver.cuFuncGetParamInfo == nullptr) return;
  size_t offset = 0;
  size_t size = 0;
  params_bytes_ = 0;
  if (driver.cuFuncGetParamInfo(function_, 0, &offset, &size) != CUDA_SUCCESS) return;
  params_bytes_ = static_cast<int64_t>(size);
  if (driver.cuFuncGetParamInfo(function_, 1, &offset, &size) != CUDA_SUCCESS) return;
  throw Misuse("Got kernel '" + options_.entry + "' of program '" + options_.name +
                   "' with more than one parameter; wanted one: the parameter struct, by value.",
               "UNSUPPORTED");
}

void Program::require_launch(const std::array<uint32_t, 3>& grid, size_t num_params_bytes) const {
  for (int axis = 0; axis < 3; ++axis) {
    if (grid[axis] >= 1 && grid[axis] <= kMaxGrid[axis]) continue;
    throw Misuse("got a launch of program '" + options_.name + "' with a grid of " + std::to_string(grid[0]) + " x " +
                 std::to_string(grid[1]) + " x " + std::to_string(grid[2]) +
                 " CTAs; wanted at least 1 x 1 x 1 and at most 2147483647 x 65535 x 65535");
  }
  if (params_bytes_ >= 0 && num_params_bytes != static_cast<size_t>(params_bytes_)) {
    throw Misuse("got " + std::to_string(num_params_bytes) + " parameter bytes for program '" + options_.name +
                 "'; wanted " + std::to_string(params_bytes_));
  }
}

CUresult Program::launch(CUstream stream, const std::array<uint32_t, 3>& grid, void* params) const {
  CUlaunchAttribute attributes[2] = {};
  unsigned num_attributes = 0;
  if (options_.cooperative) {
    attributes[num_attributes].id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
    attributes[num_attributes++].value.cooperative = 1;
  }
  if (options_.pdl) {
    attributes[num_attributes].id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    attributes[num_attributes++].value.programmaticStreamSerializationAllowed = 1;
  }
  const CUlaunchConfig config = {
      grid[0], grid[1], grid[2], static_cast<unsigned>(options_.threads), 1, 1,
      static_cast<unsigned>(options_.shared_bytes), stream, attributes, num_attributes};
  void* arguments[] = {params};
  return context_->driver.cuLaunchKernelEx(&config, function_, arguments, nullptr);
}

CUresult Program::update(CUgraphExec exec, CUgraphNode node, const std::array<uint32_t, 3>& grid, void* params) const {
  void* arguments[] = {params};
  CUDA_KERNEL_NODE_PARAMS_v2 node_params{};
  node_params.func = function_;
  node_params.gridDimX = grid[0];
  node_params.gridDimY = grid[1];
  node_params.gridDimZ = grid[2];
  node_params.blockDimX = static_cast<unsigned>(options_.threads);
  node_params.blockDimY = 1;
  node_params.blockDimZ = 1;
  node_params.sharedMemBytes = static_cast<unsigned>(options_.shared_bytes);
  node_params.kernelParams = arguments;
  return context_->driver.cuGraphExecKernelNodeSetParams(exec, node, &node_params);
}

}  // namespace warpbook::cuda
