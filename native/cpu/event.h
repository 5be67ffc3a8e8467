// One record of an event: reached once, with a time. Recording an event again makes a new record, so that a wait
// that was enqueued before keeps waiting for the old one, as on CUDA.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace warpbook::cpu {

inline int64_t steady_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

class EventRecord {
 public:
  using Callback = std::function<void(int64_t time_ns)>;

  void reach() {
    std::vector<Callback> callbacks;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      time_ns_ = steady_ns();
      reached_ = true;
      callbacks.swap(callbacks_);
    }
    condition_.notify_all();
    for (const Callback& callback : callbacks) callback(time_ns_);
  }

  void wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    condition_.wait(lock, [this] { return reached_; });
  }

  // Calls back once, from the thread that reaches the record, or at once where it has been reached.
  void then(Callback callback) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!reached_) {
        callbacks_.push_back(std::move(callback));
        return;
      }
    }
    callback(time_ns_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  std::vector<Callback> callbacks_;
  bool reached_ = false;
  int64_t time_ns_ = 0;
};

}  // namespace warpbook::cpu
