// Memory, streams, events, and the end of the device; device_work.cc has what is enqueued and captured.
#include "cpu/device.h"

#include <algorithm>
#include <new>
#include <utility>

#include "cpu/commands.h"

namespace warpbook::cpu {

namespace {

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

uint8_t* Device::address_in(HandleTable<MemoryPtr>& table, Handle handle, size_t byte_offset, size_t num_bytes) {
  const MemoryPtr& memory = table.get(handle);
  const size_t size = memory->size();
  if (byte_offset > size || num_bytes > size - byte_offset) {
    throw Misuse("got bytes [" + std::to_string(byte_offset) + ", " + std::to_string(byte_offset + num_bytes) +
                 ") of " + table.name(handle) + ", which has " + std::to_string(size) +
                 " bytes; wanted a range within it");
  }
  return memory->data() + byte_offset;
}

uint8_t* Device::address(Handle buffer, size_t byte_offset, size_t num_bytes) {
  return address_in(buffers_, buffer, byte_offset, num_bytes);
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
