#include "cuda/device.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

namespace warpbook::cuda {

namespace {

using cpu::Misuse;

constexpr auto kTeardownLimit = std::chrono::seconds(2);
constexpr auto kTeardownPause = std::chrono::microseconds(200);

}  // namespace

Device::Device(int ordinal)
    : context_(std::make_shared<Context>(cuda::driver(), ordinal)),
      health_(context_->driver),
      events_pool_(std::make_shared<EventPool>(context_)) {
  clock_ = std::make_unique<Clock>(context_, health_, events_pool_);
  memory_ = std::make_unique<MemoryPool>(context_, health_);
  bounce_ = std::make_unique<BouncePool>(context_, health_);
  waiter_ = std::make_unique<Waiter>(context_, health_);
  require_healthy();
}

Device::~Device() { cancel(); }

// Every call passes here first: another device of this thread may have made its context current.
void Device::require_open() const {
  if (closed_) throw Misuse("got a call on a closed device; wanted an open one", "DISPOSED");
  context_->make_current();
}

void Device::require_healthy() const {
  if (!health_.ok()) throw Misuse(health_.message(), health_.code());
}

size_t Device::free_bytes() {
  require_open();
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  health_.check(context_->driver.cuMemGetInfo(&free_bytes, &total_bytes), "cuMemGetInfo", "asking for free memory");
  return free_bytes;
}

LiveCounts Device::live_counts() {
  const auto count = [](size_t size) { return static_cast<int64_t>(size); };
  return {count(buffers_.size()), buffer_bytes_, count(staging_.size()), count(streams_.size()),
          count(events_.size()), count(graphs_.size()), count(execs_.size())};
}

ProgramInfo Device::load_program(Handle program, ProgramOptions options, const uint8_t* image,
                                 size_t num_image_bytes) {
  require_open();
  require_healthy();
  auto loaded = std::make_shared<Program>(context_, health_, std::move(options), image, num_image_bytes);
  const ProgramInfo info = loaded->info();
  programs_.add(program, std::move(loaded));
  return info;
}

// Behind what is enqueued: the driver must not take code away that still runs.
void Device::unload_program(Handle program) {
  if (closed_) return;
  require_open();
  memory_->release(std::shared_ptr<const void>(programs_.take(program)), pending_records());
}

int Device::ctas_per_sm(Handle program, const CtaOverrides& cta) {
  require_open();
  require_healthy();
  return programs_.get(program)->ctas_per_sm(health_, cta);
}

// --- memory ---------------------------------------------------------------------------------------------------------

void Device::allocate(Handle buffer, size_t num_bytes) {
  require_open();
  buffers_.require_free(buffer);
  buffers_.add(buffer, health_.ok() ? memory_->allocate(num_bytes) : DeviceMemory{0, num_bytes});
  buffer_bytes_ += static_cast<int64_t>(num_bytes);
}

void Device::free(Handle buffer) {
  if (closed_) return;
  require_open();
  const DeviceMemory memory = buffers_.take(buffer);
  buffer_bytes_ -= static_cast<int64_t>(memory.num_bytes);
  memory_->release(memory, pending_records());
}

PinnedPtr Device::create_staging(Handle staging, size_t num_bytes) {
  require_open();
  require_healthy();
  staging_.require_free(staging);
  auto memory = std::make_shared<PinnedMemory>(context_, health_, num_bytes);
  staging_.add(staging, memory);
  return memory;
}

void Device::destroy_staging(Handle staging) {
  if (closed_) return;
  require_open();
  PinnedPtr memory = staging_.take(staging);
  memory_->release(std::move(memory), pending_records());
}

// What has to be reached before memory that anything enqueued so far may use can be given back.
std::vector<RecordPtr> Device::pending_records() {
  std::vector<RecordPtr> records;
  if (!health_.ok()) return records;
  for (auto& [handle, slot] : streams_.all()) {
    if (slot.stream->idle()) continue;
    // A stream that is being captured was marked when the capture began, and has had no operation since.
    if (RecordPtr record = slot.stream->mark()) records.push_back(std::move(record));
  }
  const auto reached = [this](const RecordPtr& record) {
    return context_->driver.cuEventQuery(record->event) != CUDA_ERROR_NOT_READY;
  };
  closed_streams_.erase(std::remove_if(closed_streams_.begin(), closed_streams_.end(), reached), closed_streams_.end());
  records.insert(records.end(), closed_streams_.begin(), closed_streams_.end());
  return records;
}

CUdeviceptr Device::address(Handle buffer, size_t byte_offset, size_t num_bytes) {
  const DeviceMemory& memory = buffers_.get(buffer);
  if (byte_offset > memory.num_bytes || num_bytes > memory.num_bytes - byte_offset) {
    throw Misuse("got bytes [" + std::to_string(byte_offset) + ", " + std::to_string(byte_offset + num_bytes) +
                 ") of buffer " + std::to_string(buffer) + ", which has " + std::to_string(memory.num_bytes) +
                 " bytes; wanted a range within it");
  }
  return memory.address + byte_offset;
}

// --- streams and events ---------------------------------------------------------------------------------------------

void Device::create_stream(Handle stream) {
  require_open();
  streams_.require_free(stream);
  streams_.add(stream, {std::make_unique<Stream>(context_, health_, *clock_, std::to_string(stream)), nullptr});
}

void Device::destroy_stream(Handle stream) {
  if (closed_) return;
  require_open();
  if (streams_.get(stream).capture) throw Misuse("got destroy_stream for a stream that is being captured");
  const std::unique_ptr<Stream> closing = streams_.take(stream).stream;
  if (closing->idle()) return;
  if (RecordPtr record = closing->mark()) closed_streams_.push_back(std::move(record));
}

int64_t Device::num_completed(Handle stream) {
  require_open();
  return streams_.get(stream).stream->num_completed();
}

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
  waiter_->add(target.mark(), target.describe(), [this, done = std::move(done)] {
    if (health_.ok()) {
      done("", "", steady_ns());
    } else {
      done(health_.code(), health_.message(), 0);
    }
  });
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
  if (!slot.capture) {
    target = {slot.stream->record(), nullptr, true};
    return;
  }
  RecordPtr record = slot.stream->checkpoint();
  require_healthy();
  target = {std::move(record), slot.capture, true};
}

void Device::wait_event(Handle stream, Handle event) {
  require_open();
  const Event& source = events_.get(event);
  StreamSlot& slot = streams_.get(stream);
  if (source.capture) {
    if (source.capture->ended()) {
      throw Misuse("got wait_event for an event of a capture that has ended; wanted one that was recorded since");
    }
    if (slot.capture && slot.capture != source.capture) {
      throw Misuse("got wait_event between two captures; wanted an event of the same capture");
    }
  } else if (slot.capture) {
    throw Misuse("got wait_event in a capture for an event recorded outside of it; wanted an event of the capture");
  }
  // A stream that joins a capture is marked first; see pending_records().
  if (source.capture && !slot.capture && !slot.stream->idle()) slot.stream->mark();
  // As on the CPU device, waiting for an event that was never recorded is no wait; it still is an operation.
  if (source.record && health_.ok()) {
    const CUresult result = context_->driver.cuStreamWaitEvent(slot.stream->raw(), source.record->event, 0);
    if (result != CUDA_SUCCESS) {
      health_.check(result, "cuStreamWaitEvent", "making " + slot.stream->describe() + " wait for an event");
    }
  }
  if (source.capture) {
    slot.capture = source.capture;
  } else {
    slot.stream->count();
  }
}

void Device::require_recorded(Handle event) {
  require_open();
  const Event& source = events_.get(event);
  if (source.recorded && !source.capture) return;
  throw Misuse("got event_time for event " + std::to_string(event) + ", which has not been recorded outside of a "
               "capture; wanted one that has");
}

void Device::event_time(Handle event, OnTime done) {
  require_recorded(event);
  RecordPtr record = events_.get(event).record;
  waiter_->add(record, "event " + std::to_string(event), [this, record, done = std::move(done)] {
    const int64_t time_ns = health_.ok() && record ? clock_->time_ns(*record) : 0;
    if (health_.ok()) {
      done("", "", time_ns);
    } else {
      done(health_.code(), health_.message(), 0);
    }
  });
}

// --- the end --------------------------------------------------------------------------------------------------------

bool Device::drained() {
  const Driver& driver = context_->driver;
  for (auto& [handle, slot] : streams_.all()) {
    if (driver.cuStreamQuery(slot.stream->raw()) == CUDA_ERROR_NOT_READY) return false;
  }
  return std::none_of(closed_streams_.begin(), closed_streams_.end(), [&](const RecordPtr& record) {
    return driver.cuEventQuery(record->event) == CUDA_ERROR_NOT_READY;
  });
}

void Device::release_everything() {
  waiter_.reset();
  execs_.clear();
  graphs_.clear();
  programs_.clear();
  events_.clear();
  streams_.clear();
  closed_streams_.clear();
  staging_.clear();
  for (auto& [handle, memory] : buffers_.all()) {
    if (!context_->abandoned()) memory_->release(memory, {});
  }
  buffers_.clear();
  buffer_bytes_ = 0;
  bounce_.reset();
  memory_.reset();
  clock_.reset();
}

void Device::close() {
  if (closed_) return;
  context_->make_current();
  closed_ = true;
  const Driver& driver = context_->driver;
  for (auto& [handle, slot] : streams_.all()) {
    if (slot.capture) {
      CUgraph graph = nullptr;
      driver.cuStreamEndCapture(slot.stream->raw(), &graph);
      if (graph != nullptr) driver.cuGraphDestroy(graph);
    }
    driver.cuStreamSynchronize(slot.stream->raw());
  }
  for (const RecordPtr& record : closed_streams_) driver.cuEventSynchronize(record->event);
  release_everything();
}

void Device::cancel() {
  if (closed_) return;
  context_->make_current();
  closed_ = true;
  health_.cancel();
  // The waiter first: it tells everybody who waits that the device is gone.
  waiter_.reset();
  const auto give_up = std::chrono::steady_clock::now() + kTeardownLimit;
  while (!drained() && std::chrono::steady_clock::now() < give_up) std::this_thread::sleep_for(kTeardownPause);
  if (!drained()) context_->abandon();
  release_everything();
}

}  // namespace warpbook::cuda
