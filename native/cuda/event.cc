#include "cuda/event.h"

#include <chrono>
#include <cmath>

namespace warpbook::cuda {

namespace {

constexpr int64_t kAnchorLifetimeNs = 50'000'000;
constexpr double kNsPerMs = 1e6;

}  // namespace

int64_t steady_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

EventPool::~EventPool() {
  if (context_->abandoned()) return;
  context_->make_current();
  for (CUevent event : free_) context_->driver.cuEventDestroy(event);
}

CUevent EventPool::take() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!free_.empty()) {
      CUevent event = free_.back();
      free_.pop_back();
      return event;
    }
  }
  CUevent event = nullptr;
  return health_.check(context_->driver.cuEventCreate(&event, CU_EVENT_DEFAULT), "cuEventCreate", "making an event")
             ? event
             : nullptr;
}

void EventPool::give_back(CUevent event) {
  std::lock_guard<std::mutex> lock(mutex_);
  free_.push_back(event);
}

Clock::Clock(ContextPtr context, Health& health, std::shared_ptr<EventPool> pool)
    : context_(std::move(context)), health_(health), pool_(std::move(pool)) {
  const Driver& driver = context_->driver;
  const char* doing = "starting the clock";
  health_.check(driver.cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING), "cuStreamCreate", doing);
  auto first = std::make_shared<Anchor>();
  first->pool = pool_;
  first->event = pool_->take();
  if (health_.check(driver.cuEventRecord(first->event, stream_), "cuEventRecord", doing)) {
    health_.check(driver.cuEventSynchronize(first->event), "cuEventSynchronize", doing);
  }
  first->time_ns = renewed_ns_ = steady_ns();
  anchor_ = std::move(first);
}

Clock::~Clock() {
  if (!context_->abandoned()) context_->driver.cuStreamDestroy(stream_);
}

RecordPtr Clock::make_record() {
  if (!health_.ok()) return nullptr;
  renew_anchor();
  auto record = std::make_shared<EventRecord>();
  record->pool = pool_;
  record->event = pool_->take();
  record->anchor = anchor_;
  return record->event != nullptr ? record : nullptr;
}

// A new anchor only when the last one's time is known, so that a chain of two is the longest.
void Clock::renew_anchor() {
  const int64_t now = steady_ns();
  if (now - renewed_ns_ < kAnchorLifetimeNs) return;
  std::lock_guard<std::mutex> lock(mutex_);
  const Driver& driver = context_->driver;
  if (anchor_->previous && (driver.cuEventQuery(anchor_->event) != CUDA_SUCCESS || !resolve(*anchor_))) return;
  auto next = std::make_shared<Anchor>();
  next->pool = pool_;
  next->event = pool_->take();
  next->previous = anchor_;
  if (next->event == nullptr ||
      !health_.check(driver.cuEventRecord(next->event, stream_), "cuEventRecord", "setting the clock")) {
    return;
  }
  anchor_ = std::move(next);
  renewed_ns_ = now;
}

// With the mutex held. An anchor without a previous one has its time.
bool Clock::resolve(Anchor& anchor) {
  if (!anchor.previous) return true;
  const Driver& driver = context_->driver;
  float milliseconds = 0;
  CUresult result = driver.cuEventSynchronize(anchor.event);
  if (result == CUDA_SUCCESS) {
    result = driver.cuEventElapsedTime(&milliseconds, anchor.previous->event, anchor.event);
  }
  if (result != CUDA_SUCCESS) {
    health_.fail(result, "cuEventElapsedTime", "reading the clock");
    return false;
  }
  anchor.time_ns = anchor.previous->time_ns + std::llround(milliseconds * kNsPerMs);
  anchor.previous = nullptr;
  return true;
}

int64_t Clock::time_ns(const EventRecord& record) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!resolve(*record.anchor)) return 0;
  float milliseconds = 0;
  const CUresult result = context_->driver.cuEventElapsedTime(&milliseconds, record.anchor->event, record.event);
  if (result != CUDA_SUCCESS) {
    health_.fail(result, "cuEventElapsedTime", "reading an event's time");
    return 0;
  }
  return record.anchor->time_ns + std::llround(static_cast<double>(milliseconds) * kNsPerMs);
}

}  // namespace warpbook::cuda
