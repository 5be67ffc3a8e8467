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

CUresult EventPool::take(CUevent* event) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!free_.empty()) {
      *event = free_.back();
      free_.pop_back();
      return CUDA_SUCCESS;
    }
  }
  *event = nullptr;
  return context_->driver.cuEventCreate(event, CU_EVENT_DEFAULT);
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
  anchor_ = std::make_shared<Anchor>();
  anchor_->pool = pool_;
  if (health_.check(pool_->take(&anchor_->event), "cuEventCreate", doing) &&
      health_.check(driver.cuEventRecord(anchor_->event, stream_), "cuEventRecord", doing)) {
    health_.check(driver.cuEventSynchronize(anchor_->event), "cuEventSynchronize", doing);
  }
  anchor_->time_ns = renewed_ns_ = steady_ns();
}

Clock::~Clock() {
  if (!context_->abandoned()) context_->driver.cuStreamDestroy(stream_);
}

CUresult Clock::record(CUstream stream, RecordPtr* record) {
  CUresult result = renew_anchor();
  if (result != CUDA_SUCCESS) return result;
  auto made = std::make_shared<EventRecord>();
  made->pool = pool_;
  made->anchor = anchor_;
  result = pool_->take(&made->event);
  if (result == CUDA_SUCCESS) result = context_->driver.cuEventRecord(made->event, stream);
  if (result == CUDA_SUCCESS) *record = std::move(made);
  return result;
}

// A new anchor only when the last one's time is known, so that a chain of two is the longest.
CUresult Clock::renew_anchor() {
  const int64_t now = steady_ns();
  if (now - renewed_ns_ < kAnchorLifetimeNs) return CUDA_SUCCESS;
  std::lock_guard<std::mutex> lock(mutex_);
  const Driver& driver = context_->driver;
  if (anchor_->previous) {
    CUresult result = driver.cuEventQuery(anchor_->event);
    if (result == CUDA_ERROR_NOT_READY) return CUDA_SUCCESS;
    if (result == CUDA_SUCCESS) result = resolve(*anchor_);
    if (result != CUDA_SUCCESS) return result;
  }
  auto next = std::make_shared<Anchor>();
  next->pool = pool_;
  next->previous = anchor_;
  CUresult result = pool_->take(&next->event);
  if (result == CUDA_SUCCESS) result = driver.cuEventRecord(next->event, stream_);
  if (result != CUDA_SUCCESS) return result;
  anchor_ = std::move(next);
  renewed_ns_ = now;
  return CUDA_SUCCESS;
}

// With the mutex held. An anchor without a previous one has its time.
CUresult Clock::resolve(Anchor& anchor) {
  if (!anchor.previous) return CUDA_SUCCESS;
  const Driver& driver = context_->driver;
  float milliseconds = 0;
  CUresult result = driver.cuEventSynchronize(anchor.event);
  if (result == CUDA_SUCCESS) {
    result = driver.cuEventElapsedTime(&milliseconds, anchor.previous->event, anchor.event);
  }
  if (result != CUDA_SUCCESS) return result;
  anchor.time_ns = anchor.previous->time_ns + std::llround(milliseconds * kNsPerMs);
  anchor.previous = nullptr;
  return CUDA_SUCCESS;
}

int64_t Clock::time_ns(const EventRecord& record) {
  std::lock_guard<std::mutex> lock(mutex_);
  float milliseconds = 0;
  CUresult result = resolve(*record.anchor);
  if (result == CUDA_SUCCESS) {
    result = context_->driver.cuEventElapsedTime(&milliseconds, record.anchor->event, record.event);
  }
  if (result != CUDA_SUCCESS) {
    health_.fail(result, "cuEventElapsedTime", "reading an event's time");
    return 0;
  }
  return record.anchor->time_ns + std::llround(milliseconds * kNsPerMs);
}

}  // namespace warpbook::cuda
