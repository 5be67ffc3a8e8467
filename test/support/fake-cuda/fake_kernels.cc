// Kernels of the fake driver. They are named in an image of text, "fake-cubin" and then lines "entry params registers
// local_bytes shared_bytes max_threads", where params are sizes such as 8+4+4; what each does is in run_kernel().
#include <algorithm>
#include <cstring>
#include <sstream>

#include "fake_objects.h"

using namespace fake;

struct CUmod_st {
  std::map<std::string, std::unique_ptr<CUfunc_st>> functions;
};

namespace {

constexpr int kInt32Code = 5;

// "8+4+4", each aligned to its size (8 at most); "0" is none.
std::vector<CUfunc_st::Parameter> parse_params(const std::string& sizes) {
  std::vector<CUfunc_st::Parameter> params;
  std::istringstream text(sizes);
  std::string size_text;
  size_t end = 0;
  while (std::getline(text, size_text, '+')) {
    const size_t size = std::stoul(size_text);
    if (size == 0) continue;
    const size_t alignment = std::min<size_t>(8, size);
    const size_t offset = (end + alignment - 1) / alignment * alignment;
    params.push_back({offset, size});
    end = offset + size;
  }
  return params;
}

// The block that the parameters were packed into.
std::vector<uint8_t> gather(const CUfunc_st& function, void** pointers) {
  std::vector<uint8_t> block;
  for (size_t i = 0; i < function.params.size(); ++i) {
    const auto& [offset, size] = function.params[i];
    block.resize(offset + size);
    std::memcpy(block.data() + offset, pointers[i], size);
  }
  return block;
}

CUresult require_cta(const CUfunc_st& function, unsigned threads, unsigned shared_bytes) {
  if (threads == 0) return CUDA_ERROR_INVALID_VALUE;
  if (static_cast<int>(threads) > function.max_threads) return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
  return static_cast<int>(shared_bytes) > function.max_dynamic_shared ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

}  // namespace

namespace fake {

void run_kernel(const std::string& entry, const LaunchShape& shape, const std::vector<uint8_t>& params) {
  if (sticky_error.load() != 0) return;
  uint64_t address = 0;
  if (params.size() >= sizeof address) std::memcpy(&address, params.data(), sizeof address);
  if (entry == "add_u32") {
    uint32_t value = 0;
    std::memcpy(&value, params.data() + 8, sizeof value);
    *reinterpret_cast<uint32_t*>(address) += value * shape.grid[0] * shape.grid[1] * shape.grid[2];
  } else if (entry == "tensor_arange") {
    // native/kernels/tensor_params.h, TensorArangeParams; int32 only.
    int64_t fields[4];
    int dtype = 0;
    std::memcpy(fields, params.data(), sizeof fields);
    std::memcpy(&dtype, params.data() + sizeof fields, sizeof dtype);
    if (dtype != kInt32Code) sticky_error = CUDA_ERROR_ASSERT;
    for (int64_t i = 0; i < fields[1] && dtype == kInt32Code; ++i) {
      reinterpret_cast<int32_t*>(address)[i] = static_cast<int32_t>(fields[2] + i * fields[3]);
    }
  } else if (entry == "scale_f32") {
    // (float* x, float factor, int count)
    float factor = 0;
    int count = 0;
    std::memcpy(&factor, params.data() + 8, sizeof factor);
    std::memcpy(&count, params.data() + 12, sizeof count);
    for (int i = 0; i < count; ++i) reinterpret_cast<float*>(address)[i] *= factor;
  } else if (entry == "report") {
    std::memcpy(reinterpret_cast<void*>(address), &shape, sizeof shape);
  } else if (entry == "wait_word") {
    const auto* word = reinterpret_cast<std::atomic<uint32_t>*>(address);
    while (word->load() == 0 && sticky_error.load() == 0) std::this_thread::sleep_for(std::chrono::microseconds(50));
  } else if (entry == "set_conditional") {
    // (handle*, unsigned value): counts down a word where there is one: (handle*, unsigned value, unsigned* steps)
    uint64_t handle = 0, word = 0;
    uint32_t value = 0;
    std::memcpy(&handle, reinterpret_cast<void*>(address), sizeof handle);
    std::memcpy(&value, params.data() + 8, sizeof value);
    std::memcpy(&word, params.data() + 16, sizeof word);
    if (word != 0) value = ++*reinterpret_cast<uint32_t*>(word) < value ? 1 : 0;
    reinterpret_cast<Conditional*>(handle)->value = value;
  } else if (entry == "launch_exec") {
    // (exec*)
    CUgraphExec exec = nullptr;
    std::memcpy(&exec, reinterpret_cast<void*>(address), sizeof exec);
    if (exec->device_launch) exec->all()();
    else sticky_error = CUDA_ERROR_INVALID_VALUE;
  } else if (entry == "set_grid") {
    // (node*, unsigned grid); 0 switches it off
    CUgraphDeviceNode node = nullptr;
    uint32_t grid = 0;
    std::memcpy(&node, reinterpret_cast<void*>(address), sizeof node);
    std::memcpy(&grid, params.data() + 8, sizeof grid);
    node->enabled = grid != 0;
    if (grid != 0) node->grid = grid;
  } else if (entry == "fault") {
    sticky_error = CUDA_ERROR_ILLEGAL_ADDRESS;
  }
}

}  // namespace fake

extern "C" {

CUresult cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned num_options, CUjit_option* options,
                            void** values) {
  FAKE_ENTER;
  std::istringstream text(static_cast<const char*>(image));
  std::string magic;
  text >> magic;
  if (magic != "fake-cubin") {
    for (unsigned i = 0; i < num_options; ++i) {
      if (options[i] != CU_JIT_ERROR_LOG_BUFFER) continue;
      std::strcpy(static_cast<char*>(values[i]), "device kernel image is invalid");
    }
    return CUDA_ERROR_NO_BINARY_FOR_GPU;
  }
  auto loaded = std::make_unique<CUmod_st>();
  auto function = std::make_unique<CUfunc_st>();
  std::string params;
  while (text >> function->entry >> params >> function->registers >> function->local_bytes >>
         function->shared_bytes >> function->max_threads) {
    function->params = parse_params(params);
    const std::string entry = function->entry;
    loaded->functions[entry] = std::move(function);
    function = std::make_unique<CUfunc_st>();
  }
  *module = loaded.release();
  return CUDA_SUCCESS;
}
CUresult cuModuleUnload(CUmodule module) {
  delete module;
  return CUDA_SUCCESS;
}
CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  const auto it = module->functions.find(name);
  if (it == module->functions.end()) return CUDA_ERROR_NOT_FOUND;
  *function = it->second.get();
  return CUDA_SUCCESS;
}
#ifndef FAKE_CUDA_12_0
CUresult cuFuncLoad(CUfunction) { return CUDA_SUCCESS; }
#endif
CUresult cuFuncGetAttribute(int* value, CUfunction_attribute which, CUfunction function) {
  switch (which) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = function->max_threads; break;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES: *value = function->shared_bytes; break;
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES: *value = function->local_bytes; break;
    case CU_FUNC_ATTRIBUTE_NUM_REGS: *value = function->registers; break;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}
CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute which, int value) {
  if (which == CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED) {
    function->max_cluster_size = 16;
    return CUDA_SUCCESS;
  }
  if (which != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) return CUDA_ERROR_INVALID_VALUE;
  function->max_dynamic_shared = value;
  return CUDA_SUCCESS;
}
#ifndef FAKE_CUDA_12_0
CUresult cuFuncGetParamInfo(CUfunction function, size_t index, size_t* offset, size_t* size) {
  if (index >= function->params.size()) return CUDA_ERROR_INVALID_VALUE;
  *offset = function->params[index].offset;
  *size = function->params[index].size;
  return CUDA_SUCCESS;
}
#endif
CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* num_ctas, CUfunction function, int threads, size_t shared) {
  const int by_threads = 2048 / threads;
  const int by_shared = static_cast<int>(233472 / std::max<size_t>(1, shared + function->shared_bytes + 1024));
  *num_ctas = std::min({by_threads, by_shared, 32});
  return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxActiveClusters(int* num_clusters, CUfunction, const CUlaunchConfig* config) {
  if (config->numAttrs == 0) return CUDA_ERROR_INVALID_VALUE;
  *num_clusters = 132 / static_cast<int>(config->attrs[config->numAttrs - 1].value.clusterDim.x);
  return CUDA_SUCCESS;
}

CUresult cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction function, void** params, void** extra) {
  FAKE_ENTER;
  const unsigned threads = config->blockDimX * config->blockDimY * config->blockDimZ;
  if (config->gridDimX == 0 || extra != nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (CUresult refused = require_cta(*function, threads, config->sharedMemBytes)) return refused;
  LaunchShape shape = {{config->gridDimX, config->gridDimY, config->gridDimZ},
                       {config->blockDimX, config->blockDimY, config->blockDimZ},
                       config->sharedMemBytes,
                       0,
                       1};
  std::shared_ptr<CUgraphDeviceUpdatableNode_st> updatable;
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    const CUlaunchAttribute& attribute = config->attrs[i];
    if (attribute.id == CU_LAUNCH_ATTRIBUTE_COOPERATIVE && attribute.value.cooperative == 1) shape.flags |= 1;
    if (attribute.id == CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION &&
        attribute.value.programmaticStreamSerializationAllowed == 1) {
      shape.flags |= 2;
    }
    if (attribute.id == CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE) {
      if (!config->hStream->capture) return CUDA_ERROR_INVALID_VALUE;
      updatable = std::make_shared<CUgraphDeviceUpdatableNode_st>();
      config->attrs[i].value.deviceUpdatableKernelNode.devNode = updatable.get();
    }
    if (attribute.id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION) shape.cluster_size = attribute.value.clusterDim.x;
  }
  if (shape.cluster_size > function->max_cluster_size) return CUDA_ERROR_INVALID_VALUE;
  const std::vector<uint8_t> copy = gather(*function, params);
  const std::string entry = function->entry;
  const auto work = [=] {
    LaunchShape now = shape;
    if (updatable && !updatable->enabled) return;
    if (updatable && updatable->grid != 0) now.grid[0] = updatable->grid;
    run_kernel(entry, now, copy);
  };
  add_work(config->hStream, work, function);
  if (config->hStream->capture) {
    config->hStream->frontier.front()->flags = shape.flags;
    last_node(config->hStream)->updatable = updatable;
  }
  return CUDA_SUCCESS;
}

CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node,
                                           const CUDA_KERNEL_NODE_PARAMS_v2* params) {
  FAKE_ENTER;
  if (exec->functions[node] != params->func) return CUDA_ERROR_INVALID_VALUE;
  const LaunchShape shape = {{params->gridDimX, params->gridDimY, params->gridDimZ},
                             {params->blockDimX, params->blockDimY, params->blockDimZ},
                             params->sharedMemBytes,
                             0,
                             1};
  const unsigned threads = params->blockDimX * params->blockDimY * params->blockDimZ;
  if (CUresult refused = require_cta(*params->func, threads, params->sharedMemBytes)) return refused;
  const std::vector<uint8_t> copy = gather(*params->func, params->kernelParams);
  const std::string entry = params->func->entry;
  exec->work[node] = [=] { run_kernel(entry, shape, copy); };
  return CUDA_SUCCESS;
}

}  // extern "C"
