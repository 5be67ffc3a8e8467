// Results of driver calls: what is a caller's error, and what has poisoned the device for good.
#pragma once

#include <atomic>
#include <mutex>
#include <string>

#include "cuda/driver.h"

namespace warpbook::cuda {

// "CUDA_ERROR_OUT_OF_MEMORY (2), out of memory"
std::string describe_error(const Driver& driver, CUresult result);

// Whether nothing works in the context after it.
bool is_sticky(CUresult result);

class Health {
 public:
  explicit Health(const Driver& driver) : driver_(driver) {}

  // True where the call went well. A sticky error is kept (see fail()) and gives false: the caller drops what it was
  // doing, and the next wait reports it. Any other error is thrown as Misuse: `call` is the driver's function and
  // `doing` completes "while ...".
  bool check(CUresult result, const char* call, const std::string& doing);

  // For a thread that can't throw: every error is kept. Only the first one is; what follows is its consequence.
  void fail(CUresult result, const char* call, const std::string& doing);

  // Teardown: who still waits is told that the device is gone.
  void cancel() { cancelled_ = true; }

  bool ok() const { return !failed_ && !cancelled_; }
  bool failed() const { return failed_; }
  // The code (of src/errors.ts) and the text that waits are rejected with unless ok().
  const char* code() const { return failed_ ? "DEVICE_LOST" : "DISPOSED"; }
  std::string message() const;

 private:
  const Driver& driver_;
  std::atomic<bool> failed_{false};
  std::atomic<bool> cancelled_{false};
  mutable std::mutex mutex_;
  std::string message_;
};

}  // namespace warpbook::cuda
