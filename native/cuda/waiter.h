// The thread that waits for the GPU on behalf of promises. It asks the driver again and again instead of blocking in
// it, so that teardown is never held up by work that doesn't end.
#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cuda/context.h"
#include "cuda/event.h"
#include "cuda/health.h"

namespace warpbook::cuda {

class Waiter {
 public:
  // Called once, on the waiter's thread: the record has been reached, or (look at the health) never will be.
  using Settle = std::function<void()>;

  Waiter(ContextPtr context, Health& health) : context_(std::move(context)), health_(health) {}
  // Settles everything first; who doesn't want to wait for the GPU calls health.cancel() before.
  ~Waiter();

  // `what` completes "while waiting for ..."; a record of nullptr counts as reached.
  void add(RecordPtr record, std::string what, Settle settle);

 private:
  struct Job {
    RecordPtr record;
    std::string what;
    Settle settle;
  };

  void loop();
  bool reached(const Job& job);

  ContextPtr context_;
  Health& health_;
  std::mutex mutex_;
  std::condition_variable added_;
  std::vector<Job> incoming_;
  bool stopping_ = false;
  // Started by the first job.
  std::thread thread_;
};

}  // namespace warpbook::cuda
