#include "cuda/waiter.h"

#include <chrono>
#include <utility>

namespace warpbook::cuda {

namespace {

// How long after the last news the thread keeps asking without a pause, and the pauses that follow.
constexpr int64_t kSpinNs = 200'000;
constexpr int64_t kShortPausesNs = 10'000'000;
constexpr auto kShortPause = std::chrono::microseconds(20);
constexpr auto kLongPause = std::chrono::microseconds(250);

}  // namespace

Waiter::~Waiter() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  added_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Waiter::add(RecordPtr record, std::string what, Settle settle) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    incoming_.push_back({std::move(record), std::move(what), std::move(settle)});
    if (!thread_.joinable()) thread_ = std::thread([this] { loop(); });
  }
  added_.notify_one();
}

bool Waiter::reached(const Job& job) {
  if (!health_.ok() || !job.record) return true;
  const CUresult result = context_->driver.cuEventQuery(job.record->event);
  if (result == CUDA_ERROR_NOT_READY) return false;
  if (result != CUDA_SUCCESS) health_.fail(result, "cuEventQuery", "waiting for " + job.what);
  return true;
}

void Waiter::loop() {
  context_->make_current();
  std::list<Job> waiting;
  int64_t news_ns = steady_ns();
  for (;;) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      if (waiting.empty()) added_.wait(lock, [this] { return !incoming_.empty() || stopping_; });
      if (waiting.empty() && incoming_.empty()) return;
      if (!incoming_.empty()) news_ns = steady_ns();
      for (Job& job : incoming_) waiting.push_back(std::move(job));
      incoming_.clear();
    }
    bool settled = false;
    for (auto job = waiting.begin(); job != waiting.end();) {
      if (!reached(*job)) {
        ++job;
        continue;
      }
      job->settle();
      job = waiting.erase(job);
      settled = true;
    }
    if (settled) {
      news_ns = steady_ns();
      continue;
    }
    const int64_t quiet_ns = steady_ns() - news_ns;
    if (quiet_ns < kSpinNs) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(quiet_ns < kShortPausesNs ? kShortPause : kLongPause);
    }
  }
}

}  // namespace warpbook::cuda
