// Work beside JavaScript that can't be interrupted, such as a compilation: the environment's end waits for it.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

namespace warpbook::binding {

class BackgroundJobs {
 public:
  // Runs `job` on a thread of its own; it must not throw.
  template <typename Job>
  void start(Job job) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      ++num_running_;
    }
    std::thread([this, job = std::move(job)] {
      job();
      std::lock_guard<std::mutex> lock(mutex_);
      --num_running_;
      ended_.notify_all();
    }).detach();
  }

  void wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    ended_.wait(lock, [this] { return num_running_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  int num_running_ = 0;
};

}  // namespace warpbook::binding
