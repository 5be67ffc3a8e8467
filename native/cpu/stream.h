// An in-order queue with a thread of its own. Knows commands, not what they do.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "cpu/health.h"

namespace warpbook::cpu {

// One entry of a stream's queue.
struct Command {
  virtual ~Command() = default;
  // Not called once the device has failed or is being torn down.
  virtual void run() {}
  // For the message of the sticky error.
  virtual std::string describe() const = 0;
  // Called always, after run() and after the command has been counted as completed: whoever waits must be told, and
  // must find the stream's counters telling the truth.
  virtual void settle() {}
  // Whether the caller counts it as an operation.
  virtual bool is_operation() const { return true; }
};

class Stream {
 public:
  Stream(Health& health, std::string name);
  // Finishes what is enqueued.
  ~Stream();

  // The device's owner thread only.
  void enqueue(std::unique_ptr<Command> command);
  // If nothing is enqueued or running: runs `body` on the calling thread as one finished operation.
  bool run_if_idle(const std::function<void()>& body);

  int64_t num_completed() const { return num_completed_.load(std::memory_order_acquire); }
  // True when nothing is enqueued or running; it stays so until the owner thread enqueues.
  bool idle() const { return num_unfinished_.load(std::memory_order_acquire) == 0; }
  const std::string& name() const { return name_; }

  // No more commands will come: the thread ends once the queue is empty. Returns at once.
  void close();

 private:
  void loop();
  void run(Command& command);

  Health& health_;
  const std::string name_;
  std::atomic<int64_t> num_completed_{0};
  std::atomic<int64_t> num_unfinished_{0};
  std::atomic<bool> has_commands_{false};
  std::atomic<bool> closing_{false};
  std::mutex mutex_;
  std::condition_variable added_;
  bool sleeping_ = false;
  std::deque<std::unique_ptr<Command>> commands_;
  std::thread thread_;
};

}  // namespace warpbook::cpu
