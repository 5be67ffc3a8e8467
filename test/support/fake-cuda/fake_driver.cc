// A CUDA driver without a GPU: the functions of native/cuda/driver_functions.h over host memory, for tests of the layer
// above. Streams are queues with threads of their own, so work really is asynchronous.
//
// Kernels are named in an image of text, "fake-cubin" and then lines "entry params_bytes registers local_bytes
// shared_bytes max_threads"; what each does is in run_kernel(). The environment, read on cuInit's thread, steers it:
//   FAKE_CUDA_VERSION, FAKE_CUDA_DEVICES   what the driver claims to be
//   FAKE_CUDA_FAIL=function=error          the next call of that function fails so, once
// It has 256 MiB; an allocation beyond them fails.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "cuda/driver_types.h"

namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kMemoryBytes = size_t{256} << 20;
constexpr int kInt32Code = 5;

std::atomic<int> sticky_error{0};
std::atomic<size_t> used_bytes{0};
std::atomic<size_t> reserved_bytes{0};
std::thread::id main_thread;
std::mutex failure_mutex;
std::string consumed_failure;

// The injected failure of `function`, once for each value of the variable.
CUresult injected(const char* function) {
  if (std::this_thread::get_id() != main_thread) return CUDA_SUCCESS;
  const char* wish = std::getenv("FAKE_CUDA_FAIL");
  if (wish == nullptr || consumed_failure == wish) return CUDA_SUCCESS;
  const char* equals = std::strchr(wish, '=');
  if (equals == nullptr || std::string(wish, equals) != function) return CUDA_SUCCESS;
  consumed_failure = wish;
  return std::atoi(equals + 1);
}

#define FAKE_ENTER                                                  \
  if (CUresult wished = injected(__func__)) return wished;          \
  if (int sticky = sticky_error.load()) return sticky

struct Completion {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  Clock::time_point time;

  void reach() {
    std::lock_guard<std::mutex> lock(mutex);
    done = true;
    time = Clock::now();
    changed.notify_all();
  }
  void wait() {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [this] { return done; });
  }
};

struct FakeCapture;

}  // namespace

struct CUgraphNode_st {
  std::function<void()> work;
  CUfunction function = nullptr;
};

struct CUgraph_st {
  std::vector<std::unique_ptr<CUgraphNode_st>> nodes;
  std::vector<std::pair<CUgraphNode, CUgraphNode>> edges;
};

struct CUgraphExec_st {
  std::vector<CUgraphNode> order;
  std::map<CUgraphNode, std::function<void()>> work;
  std::map<CUgraphNode, CUfunction> functions;
};

namespace {

struct FakeCapture {
  CUgraph graph = new CUgraph_st;
  CUstream origin = nullptr;
  std::set<CUstream> streams;
  bool ended = false;
};

}  // namespace

struct CUevent_st {
  std::mutex mutex;
  std::shared_ptr<Completion> latest;
  std::shared_ptr<FakeCapture> capture;
  std::vector<CUgraphNode> captured_nodes;

  std::shared_ptr<Completion> record() {
    std::lock_guard<std::mutex> lock(mutex);
    return latest;
  }
};

struct CUstream_st {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> queue;
  bool busy = false;
  bool closing = false;
  std::thread thread;
  std::shared_ptr<FakeCapture> capture;
  std::vector<CUgraphNode> frontier;

  CUstream_st() : thread([this] { loop(); }) {}
  void push(std::function<void()> work) {
    std::lock_guard<std::mutex> lock(mutex);
    queue.push_back(std::move(work));
    changed.notify_all();
  }
  bool drained() {
    std::lock_guard<std::mutex> lock(mutex);
    return queue.empty() && !busy;
  }
  void synchronize() {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [this] { return queue.empty() && !busy; });
  }
  void loop() {
    std::unique_lock<std::mutex> lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return !queue.empty() || closing; });
      if (queue.empty()) break;
      auto work = std::move(queue.front());
      queue.pop_front();
      busy = true;
      lock.unlock();
      work();
      lock.lock();
      busy = false;
      changed.notify_all();
    }
  }
};

struct CUfunc_st {
  std::string entry;
  size_t params_bytes = 0;
  int registers = 0, local_bytes = 0, shared_bytes = 0, max_threads = 1024;
  int max_dynamic_shared = 48 * 1024;
};

struct CUmod_st {
  std::map<std::string, std::unique_ptr<CUfunc_st>> functions;
};

struct CUctx_st {};
struct CUmemPoolHandle_st {};

namespace {

CUctx_st the_context;
CUmemPoolHandle_st the_pool;
std::mutex memory_mutex;
std::map<CUdeviceptr, size_t> allocations;

struct LaunchShape {
  unsigned grid[3];
  unsigned block[3];
  unsigned shared_bytes;
  unsigned flags;
};

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
  } else if (entry == "report") {
    std::memcpy(reinterpret_cast<void*>(address), &shape, sizeof shape);
  } else if (entry == "wait_word") {
    const auto* word = reinterpret_cast<std::atomic<uint32_t>*>(address);
    while (word->load() == 0 && sticky_error.load() == 0) std::this_thread::sleep_for(std::chrono::microseconds(50));
  } else if (entry == "fault") {
    sticky_error = CUDA_ERROR_ILLEGAL_ADDRESS;
  }
}

// Enqueues, or captures.
void add_work(CUstream stream, std::function<void()> work, CUfunction function = nullptr) {
  if (!stream->capture) return stream->push(std::move(work));
  auto& graph = *stream->capture->graph;
  graph.nodes.push_back(std::make_unique<CUgraphNode_st>());
  CUgraphNode node = graph.nodes.back().get();
  node->work = std::move(work);
  node->function = function;
  for (CUgraphNode source : stream->frontier) graph.edges.emplace_back(source, node);
  stream->frontier = {node};
}

template <typename T>
void fill(CUdeviceptr target, size_t pitch, T value, size_t width, size_t height) {
  for (size_t row = 0; row < height; ++row) {
    for (size_t i = 0; i < width; ++i) {
      std::memcpy(reinterpret_cast<uint8_t*>(target) + row * pitch + i * sizeof(T), &value, sizeof value);
    }
  }
}

CUresult allocate(CUdeviceptr* address, size_t bytes) {
  std::lock_guard<std::mutex> lock(memory_mutex);
  if (used_bytes + bytes > kMemoryBytes) return CUDA_ERROR_OUT_OF_MEMORY;
  *address = reinterpret_cast<CUdeviceptr>(std::aligned_alloc(256, (bytes + 255) / 256 * 256));
  std::memset(reinterpret_cast<void*>(*address), 0xcd, bytes);
  allocations[*address] = bytes;
  used_bytes += bytes;
  reserved_bytes = std::max(reserved_bytes.load(), used_bytes.load());
  return CUDA_SUCCESS;
}

void release(CUdeviceptr address) {
  std::lock_guard<std::mutex> lock(memory_mutex);
  const auto it = allocations.find(address);
  if (it == allocations.end()) std::abort();
  used_bytes -= it->second;
  allocations.erase(it);
  std::free(reinterpret_cast<void*>(address));
}

int environment(const char* name, int otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::atoi(value);
}

}  // namespace

extern "C" {

CUresult cuInit(unsigned) {
  main_thread = std::this_thread::get_id();
  return environment("FAKE_CUDA_DEVICES", 2) == 0 ? CUDA_ERROR_NO_DEVICE : CUDA_SUCCESS;
}
CUresult cuDriverGetVersion(int* version) {
  *version = environment("FAKE_CUDA_VERSION", 13000);
  return CUDA_SUCCESS;
}
CUresult cuGetErrorName(CUresult error, const char** name) {
  switch (error) {
    case CUDA_ERROR_INVALID_VALUE: *name = "CUDA_ERROR_INVALID_VALUE"; break;
    case CUDA_ERROR_OUT_OF_MEMORY: *name = "CUDA_ERROR_OUT_OF_MEMORY"; break;
    case CUDA_ERROR_NO_DEVICE: *name = "CUDA_ERROR_NO_DEVICE"; break;
    case CUDA_ERROR_NO_BINARY_FOR_GPU: *name = "CUDA_ERROR_NO_BINARY_FOR_GPU"; break;
    case CUDA_ERROR_NOT_FOUND: *name = "CUDA_ERROR_NOT_FOUND"; break;
    case CUDA_ERROR_ILLEGAL_ADDRESS: *name = "CUDA_ERROR_ILLEGAL_ADDRESS"; break;
    case CUDA_ERROR_STREAM_CAPTURE_UNJOINED: *name = "CUDA_ERROR_STREAM_CAPTURE_UNJOINED"; break;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}
CUresult cuGetErrorString(CUresult error, const char** text) {
  *text = error == CUDA_ERROR_ILLEGAL_ADDRESS ? "an illegal memory access was encountered" : nullptr;
  return CUDA_SUCCESS;
}
CUresult cuDeviceGetCount(int* count) {
  *count = environment("FAKE_CUDA_DEVICES", 2);
  return CUDA_SUCCESS;
}
CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  *device = ordinal;
  return CUDA_SUCCESS;
}
CUresult cuDeviceGetName(char* name, int length, CUdevice device) {
  std::snprintf(name, length, "Fake GPU %d", device);
  return CUDA_SUCCESS;
}
CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice) {
  *bytes = kMemoryBytes;
  return CUDA_SUCCESS;
}
CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute which, CUdevice) {
  switch (which) {
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 132; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = 9; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = 0; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = 232448; break;
    case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED: *value = 1; break;
    case CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID: *value = 0; break;
    case CU_DEVICE_ATTRIBUTE_PCI_BUS_ID: *value = 27; break;
    case CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID: *value = 0; break;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) {
  FAKE_ENTER;
  *context = &the_context;
  return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice) { return CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext) { return CUDA_SUCCESS; }

CUresult cuMemGetInfo_v2(size_t* free_bytes, size_t* total_bytes) {
  FAKE_ENTER;
  *free_bytes = kMemoryBytes - used_bytes;
  *total_bytes = kMemoryBytes;
  return CUDA_SUCCESS;
}
CUresult cuMemAlloc_v2(CUdeviceptr* address, size_t bytes) {
  FAKE_ENTER;
  return allocate(address, bytes);
}
CUresult cuMemFree_v2(CUdeviceptr address) {
  release(address);
  return CUDA_SUCCESS;
}
CUresult cuMemPoolCreate(CUmemoryPool* pool, const CUmemPoolProps* properties) {
  FAKE_ENTER;
  if (properties->location.type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_INVALID_VALUE;
  *pool = &the_pool;
  return CUDA_SUCCESS;
}
CUresult cuMemPoolDestroy(CUmemoryPool) { return CUDA_SUCCESS; }
CUresult cuMemPoolSetAttribute(CUmemoryPool, CUmemPool_attribute, void*) { return CUDA_SUCCESS; }
CUresult cuMemPoolGetAttribute(CUmemoryPool, CUmemPool_attribute which, void* value) {
  *static_cast<uint64_t*>(value) = which == CU_MEMPOOL_ATTR_USED_MEM_CURRENT ? used_bytes : reserved_bytes;
  return CUDA_SUCCESS;
}
CUresult cuMemPoolTrimTo(CUmemoryPool, size_t) {
  reserved_bytes = used_bytes.load();
  return CUDA_SUCCESS;
}
CUresult cuMemAllocFromPoolAsync(CUdeviceptr* address, size_t bytes, CUmemoryPool, CUstream) {
  FAKE_ENTER;
  return allocate(address, bytes);
}
CUresult cuMemFreeAsync(CUdeviceptr address, CUstream stream) {
  FAKE_ENTER;
  stream->push([address] { release(address); });
  return CUDA_SUCCESS;
}
CUresult cuMemHostAlloc(void** address, size_t bytes, unsigned) {
  FAKE_ENTER;
  *address = std::malloc(bytes);
  return CUDA_SUCCESS;
}
CUresult cuMemFreeHost(void* address) {
  std::free(address);
  return CUDA_SUCCESS;
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr target, const void* source, size_t bytes, CUstream stream) {
  FAKE_ENTER;
  add_work(stream, [=] { std::memcpy(reinterpret_cast<void*>(target), source, bytes); });
  return CUDA_SUCCESS;
}
CUresult cuMemcpyDtoHAsync_v2(void* target, CUdeviceptr source, size_t bytes, CUstream stream) {
  FAKE_ENTER;
  add_work(stream, [=] { std::memcpy(target, reinterpret_cast<void*>(source), bytes); });
  return CUDA_SUCCESS;
}
CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr target, CUdeviceptr source, size_t bytes, CUstream stream) {
  FAKE_ENTER;
  add_work(stream, [=] { std::memmove(reinterpret_cast<void*>(target), reinterpret_cast<void*>(source), bytes); });
  return CUDA_SUCCESS;
}
CUresult cuMemsetD8Async(CUdeviceptr target, unsigned char value, size_t count, CUstream stream) {
  FAKE_ENTER;
  add_work(stream, [=] { fill(target, 0, value, count, 1); });
  return CUDA_SUCCESS;
}
CUresult cuMemsetD16Async(CUdeviceptr target, unsigned short value, size_t count, CUstream stream) {
  if (target % 2 != 0) return CUDA_ERROR_INVALID_VALUE;
  add_work(stream, [=] { fill(target, 0, value, count, 1); });
  return CUDA_SUCCESS;
}
CUresult cuMemsetD32Async(CUdeviceptr target, unsigned value, size_t count, CUstream stream) {
  FAKE_ENTER;
  if (target % 4 != 0) return CUDA_ERROR_INVALID_VALUE;
  add_work(stream, [=] { fill(target, 0, value, count, 1); });
  return CUDA_SUCCESS;
}
CUresult cuMemsetD2D8Async(CUdeviceptr target, size_t pitch, unsigned char value, size_t width, size_t height,
                           CUstream stream) {
  add_work(stream, [=] { fill(target, pitch, value, width, height); });
  return CUDA_SUCCESS;
}
CUresult cuMemsetD2D32Async(CUdeviceptr target, size_t pitch, unsigned value, size_t width, size_t height,
                            CUstream stream) {
  if (target % 4 != 0 || pitch % 4 != 0) return CUDA_ERROR_INVALID_VALUE;
  add_work(stream, [=] { fill(target, pitch, value, width, height); });
  return CUDA_SUCCESS;
}

CUresult cuStreamCreate(CUstream* stream, unsigned) {
  FAKE_ENTER;
  *stream = new CUstream_st;
  return CUDA_SUCCESS;
}
CUresult cuStreamDestroy_v2(CUstream stream) {
  {
    std::lock_guard<std::mutex> lock(stream->mutex);
    stream->closing = true;
    stream->changed.notify_all();
  }
  // As the driver's: what is enqueued still runs.
  std::thread([stream] {
    stream->thread.join();
    delete stream;
  }).detach();
  return CUDA_SUCCESS;
}
CUresult cuStreamQuery(CUstream stream) {
  FAKE_ENTER;
  return stream->drained() ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}
CUresult cuStreamSynchronize(CUstream stream) {
  stream->synchronize();
  return sticky_error.load();
}
CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned) {
  FAKE_ENTER;
  if (event->capture) {
    if (stream->capture && stream->capture != event->capture) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    stream->capture = event->capture;
    stream->capture->streams.insert(stream);
    for (CUgraphNode node : event->captured_nodes) {
      if (std::find(stream->frontier.begin(), stream->frontier.end(), node) == stream->frontier.end()) {
        stream->frontier.push_back(node);
      }
    }
    return CUDA_SUCCESS;
  }
  if (stream->capture) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  std::shared_ptr<Completion> record = event->record();
  if (record) stream->push([record] { record->wait(); });
  return CUDA_SUCCESS;
}

CUresult cuEventCreate(CUevent* event, unsigned) {
  FAKE_ENTER;
  *event = new CUevent_st;
  return CUDA_SUCCESS;
}
CUresult cuEventDestroy_v2(CUevent event) {
  delete event;
  return CUDA_SUCCESS;
}
CUresult cuEventRecord(CUevent event, CUstream stream) {
  FAKE_ENTER;
  if (stream->capture) {
    event->capture = stream->capture;
    event->captured_nodes = stream->frontier;
    return CUDA_SUCCESS;
  }
  event->capture = nullptr;
  auto record = std::make_shared<Completion>();
  {
    std::lock_guard<std::mutex> lock(event->mutex);
    event->latest = record;
  }
  stream->push([record] { record->reach(); });
  return CUDA_SUCCESS;
}
CUresult cuEventQuery(CUevent event) {
  FAKE_ENTER;
  std::shared_ptr<Completion> record = event->record();
  if (!record) return CUDA_SUCCESS;
  std::lock_guard<std::mutex> lock(record->mutex);
  return record->done ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}
CUresult cuEventSynchronize(CUevent event) {
  if (std::shared_ptr<Completion> record = event->record()) record->wait();
  return sticky_error.load();
}
CUresult cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
  FAKE_ENTER;
  *milliseconds = std::chrono::duration<float, std::milli>(end->record()->time - start->record()->time).count();
  return CUDA_SUCCESS;
}

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
  while (text >> function->entry >> function->params_bytes >> function->registers >> function->local_bytes >>
         function->shared_bytes >> function->max_threads) {
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
CUresult cuFuncLoad(CUfunction) { return CUDA_SUCCESS; }
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
  if (which != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) return CUDA_ERROR_INVALID_VALUE;
  function->max_dynamic_shared = value;
  return CUDA_SUCCESS;
}
CUresult cuFuncGetParamInfo(CUfunction function, size_t index, size_t* offset, size_t* size) {
  // Of the kernels here, one has two parameters.
  const size_t num_params = function->entry == "two_params" ? 2 : function->params_bytes > 0 ? 1 : 0;
  if (index >= num_params) return CUDA_ERROR_INVALID_VALUE;
  *offset = 0;
  *size = function->params_bytes;
  return CUDA_SUCCESS;
}
CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* num_ctas, CUfunction function, int threads, size_t shared) {
  const int by_threads = 2048 / threads;
  const int by_shared = static_cast<int>(233472 / std::max<size_t>(1, shared + function->shared_bytes + 1024));
  *num_ctas = std::min({by_threads, by_shared, 32});
  return CUDA_SUCCESS;
}

CUresult cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction function, void** params, void** extra) {
  FAKE_ENTER;
  const unsigned threads = config->blockDimX * config->blockDimY * config->blockDimZ;
  if (config->gridDimX == 0 || threads == 0 || extra != nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (static_cast<int>(threads) > function->max_threads) return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
  if (static_cast<int>(config->sharedMemBytes) > function->max_dynamic_shared) return CUDA_ERROR_INVALID_VALUE;
  LaunchShape shape = {{config->gridDimX, config->gridDimY, config->gridDimZ},
                       {config->blockDimX, config->blockDimY, config->blockDimZ},
                       config->sharedMemBytes,
                       0};
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    const CUlaunchAttribute& attribute = config->attrs[i];
    if (attribute.id == CU_LAUNCH_ATTRIBUTE_COOPERATIVE && attribute.value.cooperative == 1) shape.flags |= 1;
    if (attribute.id == CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION &&
        attribute.value.programmaticStreamSerializationAllowed == 1) {
      shape.flags |= 2;
    }
  }
  const auto* bytes = static_cast<const uint8_t*>(params[0]);
  std::vector<uint8_t> copy(bytes, bytes + function->params_bytes);
  const std::string entry = function->entry;
  add_work(config->hStream, [=] { run_kernel(entry, shape, copy); }, function);
  return CUDA_SUCCESS;
}

CUresult cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode) {
  FAKE_ENTER;
  if (stream->capture) return CUDA_ERROR_INVALID_VALUE;
  stream->capture = std::make_shared<FakeCapture>();
  stream->capture->origin = stream;
  stream->capture->streams.insert(stream);
  stream->frontier.clear();
  return CUDA_SUCCESS;
}
CUresult cuStreamEndCapture(CUstream stream, CUgraph* graph) {
  const std::shared_ptr<FakeCapture> capture = stream->capture;
  *graph = nullptr;
  if (!capture || capture->origin != stream) return CUDA_ERROR_INVALID_VALUE;
  // Everything without a successor must be what the origin's next node would depend on.
  std::set<CUgraphNode> leaves;
  for (const auto& node : capture->graph->nodes) leaves.insert(node.get());
  for (const auto& edge : capture->graph->edges) leaves.erase(edge.first);
  for (CUgraphNode node : stream->frontier) leaves.erase(node);
  for (CUstream taking_part : capture->streams) {
    taking_part->capture = nullptr;
    taking_part->frontier.clear();
  }
  if (!leaves.empty()) {
    delete capture->graph;
    return CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
  }
  *graph = capture->graph;
  return CUDA_SUCCESS;
}
CUresult cuStreamGetCaptureInfo_v2(CUstream stream, int* status, uint64_t* id, CUgraph* graph,
                                   const CUgraphNode** nodes, size_t* num_nodes) {
  *status = stream->capture ? 1 : 0;
  *id = 1;
  *graph = stream->capture ? stream->capture->graph : nullptr;
  *nodes = stream->frontier.data();
  *num_nodes = stream->frontier.size();
  return CUDA_SUCCESS;
}
CUresult cuStreamGetCaptureInfo_v3(CUstream stream, int* status, uint64_t* id, CUgraph* graph,
                                   const CUgraphNode** nodes, const CUgraphEdgeData** edges, size_t* num_nodes) {
  *edges = nullptr;
  return cuStreamGetCaptureInfo_v2(stream, status, id, graph, nodes, num_nodes);
}
CUresult cuStreamUpdateCaptureDependencies(CUstream stream, CUgraphNode* nodes, size_t num_nodes, unsigned) {
  stream->frontier.assign(nodes, nodes + num_nodes);
  return CUDA_SUCCESS;
}
CUresult cuGraphAddEmptyNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count) {
  graph->nodes.push_back(std::make_unique<CUgraphNode_st>());
  *node = graph->nodes.back().get();
  (*node)->work = [] {};
  for (size_t i = 0; i < count; ++i) graph->edges.emplace_back(dependencies[i], *node);
  return CUDA_SUCCESS;
}
CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode* nodes, size_t* count) {
  if (nodes != nullptr) {
    for (size_t i = 0; i < std::min(*count, graph->nodes.size()); ++i) nodes[i] = graph->nodes[i].get();
  }
  *count = graph->nodes.size();
  return CUDA_SUCCESS;
}
CUresult cuGraphGetEdges_v2(CUgraph graph, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData*, size_t* count) {
  if (from != nullptr) {
    for (size_t i = 0; i < std::min(*count, graph->edges.size()); ++i) {
      from[i] = graph->edges[i].first;
      to[i] = graph->edges[i].second;
    }
  }
  *count = graph->edges.size();
  return CUDA_SUCCESS;
}
CUresult cuGraphGetEdges(CUgraph graph, CUgraphNode* from, CUgraphNode* to, size_t* count) {
  return cuGraphGetEdges_v2(graph, from, to, nullptr, count);
}
CUresult cuGraphDestroy(CUgraph graph) {
  delete graph;
  return CUDA_SUCCESS;
}
CUresult cuGraphInstantiateWithFlags(CUgraphExec* exec, CUgraph graph, unsigned long long) {
  FAKE_ENTER;
  auto made = std::make_unique<CUgraphExec_st>();
  for (const auto& node : graph->nodes) {
    made->order.push_back(node.get());
    made->work[node.get()] = node->work;
    made->functions[node.get()] = node->function;
  }
  *exec = made.release();
  return CUDA_SUCCESS;
}
CUresult cuGraphUpload(CUgraphExec, CUstream) { return CUDA_SUCCESS; }
CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream) {
  FAKE_ENTER;
  std::vector<std::function<void()>> work;
  for (CUgraphNode node : exec->order) work.push_back(exec->work[node]);
  stream->push([work] {
    for (const auto& step : work) step();
  });
  return CUDA_SUCCESS;
}
CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node,
                                           const CUDA_KERNEL_NODE_PARAMS_v2* params) {
  FAKE_ENTER;
  if (exec->functions[node] != params->func) return CUDA_ERROR_INVALID_VALUE;
  const LaunchShape shape = {{params->gridDimX, params->gridDimY, params->gridDimZ},
                             {params->blockDimX, params->blockDimY, params->blockDimZ},
                             params->sharedMemBytes,
                             0};
  const auto* bytes = static_cast<const uint8_t*>(params->kernelParams[0]);
  std::vector<uint8_t> copy(bytes, bytes + params->func->params_bytes);
  const std::string entry = params->func->entry;
  exec->work[node] = [=] { run_kernel(entry, shape, copy); };
  return CUDA_SUCCESS;
}
CUresult cuGraphExecDestroy(CUgraphExec exec) {
  delete exec;
  return CUDA_SUCCESS;
}

}  // extern "C"
