#include "cuda/stream.h"

#include <utility>

namespace warpbook::cuda {

namespace {

// Markers are looked at when somebody asks; a caller that records and never asks must not make the list grow.
constexpr size_t kManyMarkers = 256;

}  // namespace

Stream::Stream(ContextPtr context, Health& health, Clock& clock, std::string name)
    : context_(std::move(context)), health_(health), clock_(clock), name_(std::move(name)) {
  health_.check(context_->driver.cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING), "cuStreamCreate",
                "making stream '" + name_ + "'");
}

// The driver lets what is enqueued finish.
Stream::~Stream() {
  if (context_->abandoned() || stream_ == nullptr) return;
  context_->make_current();
  context_->driver.cuStreamDestroy(stream_);
}

void Stream::count(std::shared_ptr<const std::string> launched) {
  ++num_enqueued_;
  if (!launched) return;
  launches_[next_launch_] = {num_enqueued_, std::move(launched)};
  next_launch_ = (next_launch_ + 1) % launches_.size();
}

RecordPtr Stream::checkpoint() {
  RecordPtr record;
  if (!health_.ok()) return record;
  const CUresult result = clock_.record(stream_, &record);
  if (result != CUDA_SUCCESS) health_.check(result, "cuEventRecord", "recording an event on " + describe());
  return record;
}

RecordPtr Stream::mark() {
  if (!markers_.empty() && markers_.back().operation == num_enqueued_) return markers_.back().record;
  RecordPtr record = checkpoint();
  if (record) markers_.push_back({num_enqueued_, record});
  return record;
}

RecordPtr Stream::record() {
  RecordPtr record = checkpoint();
  count();
  if (!record) return nullptr;
  markers_.push_back({num_enqueued_, record});
  if (markers_.size() > kManyMarkers) num_completed();
  return record;
}

int64_t Stream::num_completed() {
  if (!health_.ok()) {
    markers_.clear();
    num_completed_ = num_enqueued_;
  }
  const Driver& driver = context_->driver;
  // Where the stream has come this far all are reached: one question instead of one for each.
  if (markers_.size() > 1 && driver.cuEventQuery(markers_.back().record->event) == CUDA_SUCCESS) {
    num_completed_ = markers_.back().operation;
    markers_.clear();
  }
  while (!markers_.empty()) {
    const CUresult result = driver.cuEventQuery(markers_.front().record->event);
    if (result == CUDA_ERROR_NOT_READY) break;
    if (result != CUDA_SUCCESS) {
      health_.fail(result, "cuEventQuery", "asking how far " + describe() + " has come");
      return num_completed_ = num_enqueued_;
    }
    num_completed_ = markers_.front().operation;
    markers_.pop_front();
  }
  // Work behind the last marker: one more marker, so that the answer gets there.
  if (markers_.empty() && num_completed_ < num_enqueued_) {
    const CUresult result = driver.cuStreamQuery(stream_);
    if (result == CUDA_SUCCESS) {
      num_completed_ = num_enqueued_;
    } else if (result != CUDA_ERROR_NOT_READY) {
      health_.fail(result, "cuStreamQuery", "asking how far " + describe() + " has come");
      num_completed_ = num_enqueued_;
    } else {
      mark();
    }
  }
  return num_completed_;
}

std::string Stream::describe() const {
  std::string text = "stream '" + name_ + "'";
  std::string programs;
  for (size_t i = 0; i < launches_.size(); ++i) {
    const RecentLaunch& launch = launches_[(next_launch_ + i) % launches_.size()];
    if (!launch.program || launch.operation <= num_completed_) continue;
    programs += (programs.empty() ? "" : ", ") + *launch.program;
  }
  return programs.empty() ? text : text + " (its latest launches: " + programs + ")";
}

}  // namespace warpbook::cuda
