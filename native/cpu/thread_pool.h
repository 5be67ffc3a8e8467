// The device's threads: one pool that every stream shares. Knows indices and bodies, nothing of what they compute.
#pragma once

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "cpu/program.h"

namespace warpbook::cpu {

// Thrown out of run() when the device is torn down in the middle of a job.
struct Cancelled : std::runtime_error {
  Cancelled() : std::runtime_error("cancelled: the device is being torn down") {}
};

// The thread that calls run() is always worker 0 of its own job and takes part in it; the pool's threads help as
// workers 1 .. num_workers - 1. So a job never waits for a free thread: two streams, or a body that calls run()
// itself, cannot deadlock, and no two threads ever have the same worker number within one job.
class ThreadPool final : public Parallel {
 public:
  explicit ThreadPool(int num_workers);
  ~ThreadPool() override;

  int num_workers() const override { return num_workers_; }
  void run(int64_t count, const std::function<void(int64_t index, int worker)>& body) override;

  // Running jobs hand out no more indices and throw Cancelled, as do later ones.
  void cancel();

 private:
  struct Job;

  void help(int worker);
  void stop();
  Job* open_job() const;
  static void work(Job& job, int worker, const std::atomic<bool>& cancelled);

  const int num_workers_;
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> stopping_{false};
  // Changes whenever a job is added: what a helper that still spins looks at.
  std::atomic<uint64_t> num_jobs_added_{0};
  std::mutex mutex_;
  std::condition_variable work_added_;
  std::condition_variable job_left_;
  int num_sleeping_ = 0;
  std::vector<Job*> jobs_;
  std::vector<std::thread> threads_;
};

}  // namespace warpbook::cpu
