// The CUDA device's part that enqueues work; device_graphs.cc has graphs, device.cc the rest.
#include <algorithm>
#include <cstring>
#include <utility>

#include "cuda/device.h"

namespace warpbook::cuda {

namespace {

using cpu::Misuse;

// Transfers between host and GPU go in parts of this size.
constexpr size_t kPartBytes = BouncePool::kMaxBlockBytes;

std::string describe(const GraphNode& node) {
  if (node.kind == NodeKind::kCopy) return "copying " + std::to_string(node.num_bytes) + " bytes";
  if (node.kind == NodeKind::kFill) return "filling " + std::to_string(node.num_bytes) + " bytes";
  return "launching '" + *node.program->label() + "' with a grid of " + std::to_string(node.grid[0]) + " x " +
         std::to_string(node.grid[1]) + " x " + std::to_string(node.grid[2]) + " CTAs";
}

GraphNode copy_node(size_t num_bytes) {
  GraphNode node;
  node.kind = NodeKind::kCopy;
  node.num_bytes = num_bytes;
  return node;
}

}  // namespace

class Device::Steps {
 public:
  Steps(Device& device, StreamSlot& slot, const GraphNode& node)
      : driver(device.context_->driver), stream(slot.stream->raw()), device_(device), slot_(slot), node_(node) {}

  // False where the device is lost.
  bool operator()(CUresult result, const char* call) const {
    if (result == CUDA_SUCCESS && slot_.capture) result = slot_.capture->note(stream);
    if (result == CUDA_SUCCESS) return true;
    return device_.health_.check(result, call, describe(node_) + " on " + slot_.stream->describe());
  }

  const Driver& driver;
  const CUstream stream;

 private:
  Device& device_;
  StreamSlot& slot_;
  const GraphNode& node_;
};

template <typename Body>
void Device::enqueue(Handle stream, GraphNode node, const Body& body) {
  require_open();
  StreamSlot& slot = streams_.get(stream);
  const std::shared_ptr<Capture> capture = slot.capture;
  if (capture) capture->add(node);
  if (health_.ok()) {
    const Steps steps(*this, slot, node);
    try {
      body(steps);
      if (capture && health_.ok() && capture->last_is_empty()) {
        health_.check(capture->note_empty(steps.stream), "cuGraphAddEmptyNode", describe(node));
      }
    } catch (...) {
      if (capture) capture->drop_last();
      throw;
    }
  }
  if (!capture) slot.stream->count(node.program ? node.program->label() : nullptr);
}

void Device::write(Handle stream, Handle buffer, size_t byte_offset, const uint8_t* bytes, size_t num_bytes) {
  Stream& target = eager_stream(stream, "write");
  const CUdeviceptr destination = address(buffer, byte_offset, num_bytes);
  enqueue(stream, copy_node(num_bytes), [&](const Steps& step) {
    for (size_t done = 0; done < num_bytes; done += kPartBytes) {
      const size_t part = std::min(num_bytes - done, kPartBytes);
      const BouncePool::Block block = bounce_->take(part);
      std::memcpy(block.data, bytes + done, part);
      const bool ok =
          step(step.driver.cuMemcpyHtoDAsync(destination + done, block.data, part, step.stream), "cuMemcpyHtoDAsync");
      RecordPtr record = ok ? target.checkpoint() : nullptr;
      if (!record) return bounce_->give_back(block);
      bounce_->give_back_behind(block, std::move(record));
    }
  });
}

void Device::write_from_staging(Handle stream, Handle buffer, size_t byte_offset, Handle staging,
                                size_t staging_offset, size_t num_bytes) {
  eager_stream(stream, "write_from_staging");
  const PinnedPtr& source = staging_.get(staging);
  if (staging_offset > source->size() || num_bytes > source->size() - staging_offset) {
    throw Misuse("got bytes [" + std::to_string(staging_offset) + ", " + std::to_string(staging_offset + num_bytes) +
                 ") of staging memory " + std::to_string(staging) + ", which has " + std::to_string(source->size()) +
                 " bytes; wanted a range within it");
  }
  const CUdeviceptr target = address(buffer, byte_offset, num_bytes);
  const uint8_t* bytes = source->data() + staging_offset;
  enqueue(stream, copy_node(num_bytes), [&](const Steps& step) {
    if (num_bytes == 0) return;
    step(step.driver.cuMemcpyHtoDAsync(target, bytes, num_bytes, step.stream), "cuMemcpyHtoDAsync");
  });
}

void Device::copy(Handle stream, Handle target, size_t target_offset, Handle source, size_t source_offset,
                  size_t num_bytes) {
  require_open();
  const CUdeviceptr to = address(target, target_offset, num_bytes);
  const CUdeviceptr from = address(source, source_offset, num_bytes);
  enqueue(stream, copy_node(num_bytes), [&](const Steps& step) {
    if (num_bytes == 0) return;
    step(step.driver.cuMemcpyDtoDAsync(to, from, num_bytes, step.stream), "cuMemcpyDtoDAsync");
  });
}

void Device::fill(Handle stream, Handle buffer, size_t byte_offset, size_t num_bytes, const uint8_t* pattern,
                  size_t pattern_bytes) {
  require_open();
  if (pattern_bytes != 1 && pattern_bytes != 2 && pattern_bytes != 4 && pattern_bytes != 8) {
    throw Misuse("got a pattern of " + std::to_string(pattern_bytes) + " bytes; wanted 1, 2, 4 or 8");
  }
  if (num_bytes % pattern_bytes != 0) {
    throw Misuse("got a fill of " + std::to_string(num_bytes) + " bytes with a pattern of " +
                 std::to_string(pattern_bytes) + "; wanted whole patterns");
  }
  const CUdeviceptr target = address(buffer, byte_offset, num_bytes);
  uint8_t repeated[8];
  for (size_t i = 0; i < sizeof repeated; ++i) repeated[i] = pattern[i % pattern_bytes];
  uint32_t words[2];
  std::memcpy(words, repeated, sizeof words);
  uint16_t half = 0;
  std::memcpy(&half, repeated, sizeof half);
  const auto aligned = [&](size_t to) { return target % to == 0 && num_bytes % to == 0; };

  GraphNode node;
  node.kind = NodeKind::kFill;
  node.num_bytes = num_bytes;
  enqueue(stream, std::move(node), [&](const Steps& step) {
    const Driver& driver = step.driver;
    if (num_bytes == 0) return;
    if (aligned(4) && words[0] == words[1]) {
      step(driver.cuMemsetD32Async(target, words[0], num_bytes / 4, step.stream), "cuMemsetD32Async");
    } else if (aligned(4) && pattern_bytes == 8) {
      // Every other word, twice.
      for (size_t i = 0; i < 2; ++i) {
        const CUresult result = driver.cuMemsetD2D32Async(target + 4 * i, 8, words[i], 1, num_bytes / 8, step.stream);
        if (!step(result, "cuMemsetD2D32Async")) return;
      }
    } else if (pattern_bytes == 1) {
      step(driver.cuMemsetD8Async(target, pattern[0], num_bytes, step.stream), "cuMemsetD8Async");
    } else if (pattern_bytes == 2 && aligned(2)) {
      step(driver.cuMemsetD16Async(target, half, num_bytes / 2, step.stream), "cuMemsetD16Async");
    } else {
      // A pattern at an odd place: each of its bytes for itself.
      for (size_t i = 0; i < pattern_bytes; ++i) {
        const CUresult result = driver.cuMemsetD2D8Async(target + i, pattern_bytes, pattern[i], 1,
                                                         num_bytes / pattern_bytes, step.stream);
        if (!step(result, "cuMemsetD2D8Async")) return;
      }
    }
  });
}

uint8_t* Device::relocate(const LaunchArguments& arguments) {
  params_.assign(arguments.params, arguments.params + arguments.num_params_bytes);
  for (const Relocation& relocation : arguments.relocations) {
    // One past the end is legal: it is where an empty part of a buffer starts.
    const CUdeviceptr pointer = address(relocation.buffer, relocation.byte_offset, 0);
    if (params_.size() < sizeof pointer || relocation.offset > params_.size() - sizeof pointer) {
      throw Misuse("got a relocation at offset " + std::to_string(relocation.offset) + " of " +
                   std::to_string(params_.size()) + " parameter bytes; wanted 8 bytes within them");
    }
    std::memcpy(params_.data() + relocation.offset, &pointer, sizeof pointer);
  }
  return params_.data();
}

void Device::require_updatable(bool capturing) const {
  if (!capturing) {
    throw Misuse("got a launch that the device may update outside of a capture; wanted it in one, where it becomes a node");
  }
  constexpr int kWanted = 12040;
  if (context_->driver.version >= kWanted) return;
  throw Misuse("Got a node that the device may update with a driver for CUDA " +
                   version_text(context_->driver.version) + "; wanted one for CUDA " + version_text(kWanted) +
                   " or newer. Update NVIDIA's driver.",
               "UNSUPPORTED");
}

void Device::launch(Handle stream, const LaunchArguments& arguments) {
  require_open();
  GraphNode node;
  node.program = programs_.get(arguments.program);
  node.grid = arguments.grid;
  const CtaShape shape = node.program->resolve(health_, arguments.grid, arguments.cta, arguments.num_params_bytes);
  uint8_t* params = relocate(arguments);
  Program& program = *node.program;
  const std::shared_ptr<Capture> capture = streams_.get(stream).capture;
  if (shape.device_updatable) require_updatable(capture != nullptr);
  enqueue(stream, std::move(node), [&](const Steps& step) {
    CUgraphDeviceNode device_node = nullptr;
    const CUresult result = program.launch(step.stream, arguments.grid, shape, params, &device_node);
    if (result == CUDA_SUCCESS && capture) capture->set_device_handle(reinterpret_cast<uint64_t>(device_node));
    step(result, "cuLaunchKernelEx");
  });
}

void Device::read(Handle stream, Handle buffer, size_t byte_offset, size_t num_bytes, OnBytes done) {
  Stream& target = eager_stream(stream, "read");
  const CUdeviceptr source = address(buffer, byte_offset, num_bytes);
  // Shared by the parts, on the waiter's thread; the last one to arrive settles.
  struct Result {
    MemoryPtr bytes;
    size_t num_missing;
    OnBytes done;
    std::string code, error;
  };
  auto result = std::make_shared<Result>();
  result->done = std::move(done);
  result->num_missing = std::max<size_t>(1, (num_bytes + kPartBytes - 1) / kPartBytes);
  const auto arrive = [this, result](BouncePool::Block block, size_t offset, size_t part) {
    if (block.data != nullptr) {
      if (health_.ok()) std::memcpy(result->bytes->data() + offset, block.data, part);
      bounce_->give_back(block);
    }
    if (--result->num_missing > 0) return;
    if (!health_.ok()) {
      result->done(health_.code(), health_.message(), nullptr);
    } else if (!result->code.empty()) {
      result->done(result->code, result->error, nullptr);
    } else {
      result->done("", "", std::move(result->bytes));
    }
  };
  size_t num_waited_for = 0;
  const size_t num_parts = result->num_missing;
  const std::string what = "a read on " + target.describe();
  // The caller has its promise already: what goes wrong from here on is told through it.
  try {
    result->bytes = std::make_shared<cpu::Memory>(num_bytes);
    enqueue(stream, copy_node(num_bytes), [&](const Steps& step) {
      for (size_t at = 0; at < num_bytes; at += kPartBytes) {
        const size_t part = std::min(num_bytes - at, kPartBytes);
        const BouncePool::Block block = bounce_->take(part);
        const CUresult copied = step.driver.cuMemcpyDtoHAsync(block.data, source + at, part, step.stream);
        RecordPtr record = step(copied, "cuMemcpyDtoHAsync") ? target.checkpoint() : nullptr;
        if (!record) return bounce_->give_back(block);
        waiter_->add(std::move(record), what, [=] { arrive(block, at, part); });
        ++num_waited_for;
      }
    });
  } catch (const Misuse& misuse) {
    result->code = misuse.code;
    result->error = misuse.what();
    target.count();
  } catch (const std::bad_alloc&) {
    result->code = "OUT_OF_MEMORY";
    result->error = "The host has no " + std::to_string(num_bytes) + " bytes left for a read; read a part.";
    target.count();
  }
  // Parts that could not be enqueued arrive without bytes, behind those that could.
  RecordPtr behind = num_waited_for < num_parts ? target.mark() : nullptr;
  for (; num_waited_for < num_parts; ++num_waited_for) waiter_->add(behind, what, [=] { arrive({}, 0, 0); });
}

}  // namespace warpbook::cuda
