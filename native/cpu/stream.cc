#include "cpu/stream.h"

#include <exception>
#include <utility>

#include "cpu/spin.h"
#include "cpu/thread_pool.h"

namespace warpbook::cpu {

Stream::Stream(Health& health, std::string name) : health_(health), name_(std::move(name)) {
  thread_ = std::thread([this] { loop(); });
}

Stream::~Stream() {
  close();
  thread_.join();
}

void Stream::enqueue(std::unique_ptr<Command> command) {
  num_unfinished_.fetch_add(1, std::memory_order_relaxed);
  bool wake;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    commands_.push_back(std::move(command));
    has_commands_.store(true, std::memory_order_release);
    wake = sleeping_;
  }
  if (wake) added_.notify_one();
}

bool Stream::run_if_idle(const std::function<void()>& body) {
  if (!idle() || !health_.ok()) return false;
  body();
  num_completed_.fetch_add(1, std::memory_order_release);
  return true;
}

void Stream::close() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
  }
  added_.notify_one();
}

void Stream::run(Command& command) {
  if (!health_.ok()) return;
  try {
    command.run();
  } catch (const Cancelled&) {
    // Teardown, not a failure: nobody is left who could ask.
  } catch (const std::exception& error) {
    health_.fail(command.describe() + " on stream '" + name_ + "'", error.what());
  } catch (...) {
    health_.fail(command.describe() + " on stream '" + name_ + "'", "an exception of an unknown type");
  }
}

void Stream::loop() {
  std::deque<std::unique_ptr<Command>> batch;
  for (;;) {
    spin_until([this] { return has_commands_.load(std::memory_order_acquire) || closing_; });
    {
      std::unique_lock<std::mutex> lock(mutex_);
      sleeping_ = true;
      added_.wait(lock, [this] { return !commands_.empty() || closing_; });
      sleeping_ = false;
      if (commands_.empty()) return;
      batch.swap(commands_);
      has_commands_.store(false, std::memory_order_relaxed);
    }
    while (!batch.empty()) {
      std::unique_ptr<Command> command = std::move(batch.front());
      batch.pop_front();
      run(*command);
      if (command->is_operation()) num_completed_.fetch_add(1, std::memory_order_release);
      num_unfinished_.fetch_sub(1, std::memory_order_release);
      command->settle();
    }
  }
}

}  // namespace warpbook::cpu
