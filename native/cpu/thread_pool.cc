#include "cpu/thread_pool.h"

#include <algorithm>

#include "cpu/spin.h"

namespace warpbook::cpu {

// Lives on the stack of the thread that called run(): it leaves `jobs_` and is left by every helper before that
// thread returns.
struct ThreadPool::Job {
  const int64_t count;
  const std::function<void(int64_t, int)>& body;
  std::atomic<int64_t> next{0};
  std::atomic<int> num_helpers{0};
  std::mutex error_mutex;
  std::exception_ptr error;

  Job(int64_t count, const std::function<void(int64_t, int)>& body) : count(count), body(body) {}
  bool exhausted() const { return next.load(std::memory_order_relaxed) >= count; }
};

ThreadPool::ThreadPool(int num_workers) : num_workers_(std::max(num_workers, 1)) {
  threads_.reserve(num_workers_ - 1);
  try {
    for (int worker = 1; worker < num_workers_; ++worker) {
      threads_.emplace_back([this, worker] { help(worker); });
    }
  } catch (...) {
    // The system has no thread left; those that it gave have to end before their handles go.
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  work_added_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::cancel() { cancelled_ = true; }

void ThreadPool::run(int64_t count, const std::function<void(int64_t, int)>& body) {
  if (count <= 0) return;
  Job job(count, body);
  const bool shared = count > 1 && num_workers_ > 1;
  if (shared) {
    int num_to_wake;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      jobs_.push_back(&job);
      num_jobs_added_.fetch_add(1, std::memory_order_release);
      num_to_wake = static_cast<int>(std::min<int64_t>(num_sleeping_, count - 1));
    }
    for (int i = 0; i < num_to_wake; ++i) work_added_.notify_one();
  }

  work(job, 0, cancelled_);

  if (shared) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      jobs_.erase(std::find(jobs_.begin(), jobs_.end(), &job));
    }
    const auto left = [&job] { return job.num_helpers.load(std::memory_order_acquire) == 0; };
    if (!spin_until(left)) {
      std::unique_lock<std::mutex> lock(mutex_);
      job_left_.wait(lock, left);
    }
  }
  if (job.error) std::rethrow_exception(job.error);
  if (cancelled_) throw Cancelled();
}

void ThreadPool::work(Job& job, int worker, const std::atomic<bool>& cancelled) {
  try {
    while (!cancelled.load(std::memory_order_relaxed)) {
      const int64_t index = job.next.fetch_add(1, std::memory_order_relaxed);
      if (index >= job.count) return;
      job.body(index, worker);
    }
  } catch (...) {
    std::lock_guard<std::mutex> lock(job.error_mutex);
    if (!job.error) job.error = std::current_exception();
    job.next.store(job.count, std::memory_order_relaxed);
  }
}

ThreadPool::Job* ThreadPool::open_job() const {
  for (Job* job : jobs_) {
    if (!job->exhausted()) return job;
  }
  return nullptr;
}

void ThreadPool::help(int worker) {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_) {
    if (Job* job = open_job()) {
      job->num_helpers.fetch_add(1, std::memory_order_relaxed);
      lock.unlock();
      work(*job, worker, cancelled_);
      // After the last decrement the job may be gone; only the pool is touched.
      const bool last = job->num_helpers.fetch_sub(1, std::memory_order_acq_rel) == 1;
      lock.lock();
      if (last) job_left_.notify_all();
      continue;
    }
    const uint64_t seen = num_jobs_added_.load(std::memory_order_relaxed);
    lock.unlock();
    spin_until([&] { return num_jobs_added_.load(std::memory_order_acquire) != seen || stopping_; });
    lock.lock();
    ++num_sleeping_;
    work_added_.wait(lock, [this] { return stopping_ || open_job() != nullptr; });
    --num_sleeping_;
  }
}

}  // namespace warpbook::cpu
