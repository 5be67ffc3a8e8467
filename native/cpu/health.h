// The device's sticky error: the first failing call, which every later wait reports.
#pragma once

#include <atomic>
#include <mutex>
#include <string>

namespace warpbook::cpu {

class Health {
 public:
  // Only the first failure is kept: what comes after it is mostly its consequence.
  void fail(const std::string& call, const std::string& reason) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (failed_) return;
    message_ = "The CPU device failed in " + call + ": " + reason +
               ". Everything enqueued after that was dropped and the device's memory can't be trusted; dispose the "
               "device and open another one, or restart the kernel.";
    failed_ = true;
  }
  // The code (of src/errors.ts) and the text that waits are rejected with unless ok().
  const char* code() const { return failed_ ? "DEVICE_LOST" : "DISPOSED"; }
  std::string message() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return failed_ ? message_ : "The CPU device was torn down before this was done; wait for it before disposing it.";
  }

  // Teardown: work that has not started is dropped without being an error.
  void cancel() { cancelled_ = true; }
  bool cancelled() const { return cancelled_; }
  bool ok() const { return !failed_ && !cancelled_; }

 private:
  std::atomic<bool> failed_{false};
  std::atomic<bool> cancelled_{false};
  mutable std::mutex mutex_;
  std::string message_;
};

}  // namespace warpbook::cpu
