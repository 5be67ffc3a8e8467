#include "cpu/device.h"

#include <algorithm>
#include <new>
#include <utility>

#include "cpu/commands.h"

namespace warpbook::cpu {

namespace {

std::string range_error(const char* what, Handle handle, size_t offset, size_t num_bytes, size_t size) {
  return "got bytes [" + std::to_string(offset) + ", " + std::to_string(offset + num_bytes) + ") of " + what + " " +
         std::to_string(handle) + ", which has " + std::to_string(size) + " bytes; wanted a range within it";
}

bool fits(size_t offset, size_t num_bytes, size_t size) { return offset <= size && num_bytes <= size - offset; }

MemoryPtr make_memory(size_t num_bytes) {
  try {
    return std::make_shared<Memory>(num_bytes);
  } catch (const std::bad_alloc&) {
    throw Misuse("the host refused to allocate " + std::to_string(num_bytes) + " bytes; free some memory first",
                 "OUT_OF_MEMORY");
  }
}

}  // namespace

Device::Device(int num_threads) : pool_(std::make_unique<ThreadPool>(num_threads)) {}

Device::~Device() { cancel(); }

void Device::require_open() const {
  if (closed_) throw Misuse("got a call on a closed device; wanted an open one", "DISPOSED");
}

LiveCounts Device::live_counts() {
  const auto count = [](size_t size) { return static_cast<int64_t>(size); };
  return {count(buffers_.size()), buffer_bytes_, count(staging_.size()), count(streams_.size()),
          count(events_.size()), count(graphs_.size()), count(execs_.size())};
}

// --- memory ---------------------------------------------------------------------------------------------------------

void Device::allocate(Handle buffer, size_t num_bytes) {
  require_open();
  buffers_.require_free(buffer);
  buffers_.add(buffer, make_memory(num_bytes));
  buffer_bytes_ += static_cast<int64_t>(num_bytes);
}

void Device::free(Handle buffer) {
  if (closed_) return;
  MemoryPtr memory = buffers_.take(buffer);
  buffer_bytes_ -= static_cast<int64_t>(memory->size());
  release_in_order(std::move(memory));
}

MemoryPtr Device::create_staging(Handle staging, size_t num_bytes) {
  require_open();
  staging_.require_free(staging);
  MemoryPtr memory = make_memory(num_bytes);
  staging_.add(staging, memory);
  return memory;
}

void Device::destroy_staging(Handle staging) {
  if (closed_) return;
  release_in_order(staging_.take(staging));
}

// Every stream that is busy gets a share; the last one to come to it frees the memory.
void Device::release_in_order(MemoryPtr memory) {
  reap_closed_streams();
  for (auto& [handle, slot] : streams_.all()) {
    if (!slot.stream->idle()) slot.stream->enqueue(std::make_unique<ReleaseCommand>(memory));
  }
  for (ClosedStream& closed : closed_streams_) closed.released.push_back(memory);
}

uint8_t* Device::address(Handle buffer, size_t byte_offset, size_t num_bytes) {
  const MemoryPtr& memory = buffers_.get(buffer);
  if (!fits(byte_offset, num_bytes, memory->size())) {
    throw Misuse(range_error("buffer", buffer, byte_offset, num_bytes, memory->size()));
  }
  return memory->data() + byte_offset;
}

// --- streams and events ---------------------------------------------------------------------------------------------

void Device::create_stream(Handle stream) {
  require_open();
  streams_.require_free(stream);
  streams_.add(stream, {std::make_unique<Stream>(health_, std::to_string(stream)), nullptr});
}

void Device::destroy_stream(Handle stream) {
  if (closed_) return;
  if (streams_.get(stream).capture) throw Misuse("got destroy_stream for a stream that is being captured");
  std::unique_ptr<Stream> closing = streams_.take(stream).stream;
  closing->close();
  closed_streams_.push_back({{}, std::move(closing)});
  reap_closed_streams();
}

void Device::reap_closed_streams() {
  const auto finished = [](const ClosedStream& closed) { return closed.stream->idle(); };
  closed_streams_.erase(std::remove_if(closed_streams_.begin(), closed_streams_.end(), finished),
                        closed_streams_.end());
}

int64_t Device::num_completed(Handle stream) { return streams_.get(stream).stream->num_completed(); }

Stream& Device::eager_stream(Handle stream, const char* call) {
  require_open();
  StreamSlot& slot = streams_.get(stream);
  if (slot.capture) {
    throw Misuse(std::string("got ") + call + " on stream " + std::to_string(stream) +
                 ", which is being captured; wanted a stream that is not");
  }
  return *slot.stream;
}

void Device::synchronize(Handle stream, OnTime done) {
  Stream& target = eager_stream(stream, "synchronize");
  target.enqueue(std::make_unique<SynchronizeCommand>(health_, std::move(done)));
}

void Device::create_event(Handle event) {
  require_open();
  events_.add(event, {});
}

void Device::destroy_event(Handle event) {
  if (!closed_) events_.take(event);
}

void Device::record_event(Handle event, Handle stream) {
  require_open();
  Event& target = events_.get(event);
  StreamSlot& slot = streams_.get(stream);
  if (slot.capture) {
    target = {nullptr, slot.capture, slot.capture->frontier(stream)};
    return;
  }
  target = {std::make_shared<EventRecord>(), nullptr, {}};
  slot.stream->enqueue(std::make_unique<RecordCommand>(target.record));
}

void Device::wait_event(Handle stream, Handle event) {
  require_open();
  Event& source = events_.get(event);
  StreamSlot& slot = streams_.get(stream);
  if (source.capture) {
    if (source.capture->ended()) {
      throw Misuse("got wait_event for an event of a capture that has ended; wanted one that was recorded since");
    }
    if (slot.capture && slot.capture != source.capture) {
      throw Misuse("got wait_event between two captures; wanted an event of the same capture");
    }
    slot.capture = source.capture;
    slot.capture->join(stream, source.captured_nodes);
    return;
  }
  if (slot.capture) {
    throw Misuse("got wait_event in a capture for an event recorded outside of it; wanted an event of the capture");
  }
  // As on CUDA, waiting for an event that was never recorded is waiting for nothing; it still is an operation.
  std::shared_ptr<EventRecord> record = source.record;
  if (!record) {
    record = std::make_shared<EventRecord>();
    record->reach();
  }
  slot.stream->enqueue(std::make_unique<WaitCommand>(std::move(record)));
}

void Device::require_recorded(Handle event) {
  require_open();
  if (!events_.get(event).record) {
    throw Misuse("got event_time for event " + std::to_string(event) + ", which has not been recorded outside of a "
                 "capture; wanted one that has");
  }
}

void Device::event_time(Handle event, OnTime done) {
  require_recorded(event);
  events_.get(event).record->then([this, done = std::move(done)](int64_t time_ns) {
    if (!health_.ok()) {
      done(health_.code(), health_.message(), 0);
    } else {
      done("", "", time_ns);
    }
  });
}

// --- work -----------------------------------------------------------------------------------------------------------

void Device::enqueue(Handle stream, Work work) {
  require_open();
  StreamSlot& slot = streams_.get(stream);
  if (slot.capture) {
    slot.capture->add(stream, std::move(work));
  } else {
    slot.stream->enqueue(std::make_unique<WorkCommand>(std::move(work), *pool_));
  }
}

void Device::write(Handle stream, Handle buffer, size_t byte_offset, const uint8_t* bytes, size_t num_bytes) {
  Stream& target = eager_stream(stream, "write");
  uint8_t* destination = address(buffer, byte_offset, num_bytes);
  // The bytes have to be copied now in any case: where nothing is ahead, straight to their place.
  const bool done = target.run_if_idle([&] {
    if (num_bytes > 0) std::memcpy(destination, bytes, num_bytes);
  });
  if (!done) target.enqueue(std::make_unique<WriteCommand>(destination, bytes, num_bytes));
}

void Device::write_from_staging(Handle stream, Handle buffer, size_t byte_offset, Handle staging,
                                size_t staging_offset, size_t num_bytes) {
  eager_stream(stream, "write_from_staging");
  const MemoryPtr& source = staging_.get(staging);
  if (!fits(staging_offset, num_bytes, source->size())) {
    throw Misuse(range_error("staging memory", staging, staging_offset, num_bytes, source->size()));
  }
  enqueue(stream, CopyWork{address(buffer, byte_offset, num_bytes), source->data() + staging_offset, num_bytes});
}

void Device::copy(Handle stream, Handle target, size_t target_offset, Handle source, size_t source_offset,
                  size_t num_bytes) {
  enqueue(stream, CopyWork{address(target, target_offset, num_bytes), address(source, source_offset, num_bytes),
                           num_bytes});
}

void Device::fill(Handle stream, Handle buffer, size_t byte_offset, size_t num_bytes, const uint8_t* pattern,
                  size_t pattern_bytes) {
  if (pattern_bytes != 1 && pattern_bytes != 2 && pattern_bytes != 4 && pattern_bytes != 8) {
    throw Misuse("got a pattern of " + std::to_string(pattern_bytes) + " bytes; wanted 1, 2, 4 or 8");
  }
  if (num_bytes % pattern_bytes != 0) {
    throw Misuse("got a fill of " + std::to_string(num_bytes) + " bytes with a pattern of " +
                 std::to_string(pattern_bytes) + "; wanted whole patterns");
  }
  FillWork work{address(buffer, byte_offset, num_bytes), num_bytes, {}, pattern_bytes};
  std::copy(pattern, pattern + pattern_bytes, work.pattern.begin());
  enqueue(stream, work);
}

LaunchWork Device::make_launch(const LaunchArguments& arguments) {
  const Program& program = *arguments.program;
  if (arguments.num_params_bytes != program.params_bytes) {
    throw Misuse("got " + std::to_string(arguments.num_params_bytes) + " parameter bytes for program '" +
                 program.name + "'; wanted " + std::to_string(program.params_bytes));
  }
  LaunchWork work{&program, arguments.grid, Params(arguments.params, arguments.num_params_bytes)};
  for (const Relocation& relocation : arguments.relocations) {
    // One past the end is legal: it is where an empty part of a buffer starts.
    try {
      work.params.set_address(relocation.offset, address(relocation.buffer, relocation.byte_offset, 0));
    } catch (const std::out_of_range& error) {
      throw Misuse(std::string("got ") + error.what());
    }
  }
  return work;
}

void Device::launch(Handle stream, const LaunchArguments& arguments) { enqueue(stream, make_launch(arguments)); }

void Device::read(Handle stream, Handle buffer, size_t byte_offset, size_t num_bytes, OnBytes done) {
  Stream& target = eager_stream(stream, "read");
  const uint8_t* source = address(buffer, byte_offset, num_bytes);
  target.enqueue(std::make_unique<ReadCommand>(source, num_bytes, health_, std::move(done)));
}

// --- graphs ---------------------------------------------------------------------------------------------------------

void Device::begin_capture(Handle stream) {
  eager_stream(stream, "begin_capture");
  streams_.get(stream).capture = std::make_shared<Capture>(stream);
}

void Device::end_participation(Capture& capture) {
  capture.end();
  for (auto& [handle, slot] : streams_.all()) {
    if (slot.capture.get() == &capture) slot.capture = nullptr;
  }
}

void Device::end_capture(Handle stream, Handle graph) {
  require_open();
  graphs_.require_free(graph);
  const std::shared_ptr<Capture> capture = streams_.get(stream).capture;
  if (!capture || capture->origin() != stream) {
    throw Misuse("got end_capture on stream " + std::to_string(stream) + "; wanted the stream of begin_capture");
  }
  if (const Handle* unjoined = capture->unjoined()) {
    throw Misuse("got end_capture with work on stream " + std::to_string(*unjoined) +
                 " that stream " + std::to_string(stream) + " does not wait for; record an event there and wait for it");
  }
  end_participation(*capture);
  graphs_.add(graph, std::make_unique<Graph>(capture->take_graph()));
}

void Device::abort_capture(Handle stream) {
  if (closed_) return;
  const std::shared_ptr<Capture> capture = streams_.get(stream).capture;
  if (capture) end_participation(*capture);
}

void Device::destroy_graph(Handle graph) {
  if (!closed_) graphs_.take(graph);
}

void Device::instantiate(Handle graph, Handle exec) {
  require_open();
  auto nodes = std::make_shared<ExecNodes>();
  for (const GraphNode& node : graphs_.get(graph)->nodes) nodes->push_back(node.work);
  execs_.add(exec, {std::move(nodes)});
}

void Device::destroy_exec(Handle exec) {
  if (!closed_) execs_.take(exec);
}

void Device::update_node(Handle exec, int node_index, const LaunchArguments& arguments) {
  require_open();
  GraphExec& target = execs_.get(exec);
  if (node_index < 0 || static_cast<size_t>(node_index) >= target.nodes->size()) {
    throw Misuse("got node " + std::to_string(node_index) + " of a graph of " + std::to_string(target.nodes->size()) +
                 " nodes; wanted one of them");
  }
  const auto* launch = std::get_if<LaunchWork>((*target.nodes)[node_index].get());
  if (launch == nullptr || launch->program != arguments.program) {
    throw Misuse("got an update to '" + std::string(arguments.program->name) + "' for a node that is a " +
                 describe(*(*target.nodes)[node_index]) + "; wanted the same program");
  }
  auto nodes = std::make_shared<ExecNodes>(*target.nodes);
  (*nodes)[node_index] = std::make_shared<const Work>(make_launch(arguments));
  target.nodes = std::move(nodes);
}

void Device::replay(Handle exec, Handle stream) {
  Stream& target = eager_stream(stream, "replay");
  target.enqueue(std::make_unique<ReplayCommand>(execs_.get(exec).nodes, *pool_, health_));
}

// --- the end --------------------------------------------------------------------------------------------------------

void Device::close() {
  if (closed_) return;
  closed_ = true;
  // All queues first, so that streams which wait for each other's events finish together.
  for (auto& [handle, slot] : streams_.all()) slot.stream->close();
  streams_.clear();
  closed_streams_.clear();
  events_.clear();
  execs_.clear();
  graphs_.clear();
  staging_.clear();
  buffers_.clear();
  buffer_bytes_ = 0;
  pool_.reset();
}

void Device::cancel() {
  if (closed_) return;
  health_.cancel();
  pool_->cancel();
  close();
}

}  // namespace warpbook::cpu
