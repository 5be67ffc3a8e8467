// What the rooms of the fake CUDA driver share: its objects, its memory, its failures. See fake_driver.cc.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cuda/driver_types.h"

namespace fake {

using Clock = std::chrono::steady_clock;

constexpr size_t kMemoryBytes = size_t{256} << 20;

extern std::atomic<int> sticky_error;
extern std::atomic<size_t> used_bytes;
extern std::atomic<size_t> reserved_bytes;
// cuInit's.
extern std::thread::id main_thread;

int environment(const char* name, int otherwise);
// The injected failure of `function`, once for each value of FAKE_CUDA_FAIL; CUDA_SUCCESS otherwise.
CUresult injected(const char* function);

#define FAKE_ENTER                                              \
  if (CUresult wished = fake::injected(__func__)) return wished; \
  if (int sticky = fake::sticky_error.load()) return sticky

struct Completion {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  Clock::time_point time;

  void reach() {
    std::lock_guard<std::mutex> lock(mutex);
    done = true;
    time = Clock::now();
    changed.notify_all();
  }
  void wait() {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [this] { return done; });
  }
};

struct Capture;

struct LaunchShape {
  unsigned grid[3];
  unsigned block[3];
  unsigned shared_bytes;
  // 1: cooperative, 2: programmatic dependent launch.
  unsigned flags;
  unsigned cluster_size;
};

// What a kernel of that name does.
void run_kernel(const std::string& entry, const LaunchShape& shape, const std::vector<uint8_t>& params);

// Enqueues, or captures.
void add_work(CUstream stream, std::function<void()> work, CUfunction function = nullptr);
// In a capture: the node that was added last.
CUgraphNode last_node(CUstream stream);

}  // namespace fake

// What kernels know a launch by that they may change.
struct CUgraphDeviceUpdatableNode_st {
  // 0: as captured.
  std::atomic<unsigned> grid{0};
  std::atomic<bool> enabled{true};
};

struct CUgraphNode_st {
  CUgraphNode_st();
  ~CUgraphNode_st();
  std::function<void()> work;
  CUfunction function = nullptr;
  // As in LaunchShape.
  unsigned flags = 0;
  std::shared_ptr<CUgraphDeviceUpdatableNode_st> updatable;
  bool conditional = false;
  // The bodies that the driver made for it.
  std::vector<CUgraph> bodies;
  // Of a child graph: a copy of its own.
  std::unique_ptr<CUgraph_st> child;
};

namespace fake {

// A conditional node's value, which its handle points to.
struct Conditional {
  unsigned default_value;
  std::atomic<unsigned> value;
};

}  // namespace fake

struct CUgraph_st {
  std::vector<std::unique_ptr<CUgraphNode_st>> nodes;
  std::vector<std::pair<CUgraphNode, CUgraphNode>> edges;
  // Of the graph and of all graphs in it.
  std::vector<std::shared_ptr<fake::Conditional>> conditionals;
  // Bodies belong to it.
  std::vector<std::unique_ptr<CUgraph_st>> bodies;
  int num_execs = 0;
};

// Nodes are those of the graph that it was made from.
struct CUgraphExec_st {
  std::vector<CUgraphNode> order;
  std::vector<std::pair<CUgraphNode, CUgraphNode>> edges;
  std::map<CUgraphNode, std::function<void()>> work;
  std::map<CUgraphNode, CUfunction> functions;
  std::map<CUgraphNode, unsigned> flags;
  std::set<CUgraphNode> disabled;
  std::vector<std::shared_ptr<fake::Conditional>> conditionals;
  bool device_launch = false;

  // Everything that a launch does now.
  std::function<void()> all();
};

namespace fake {

struct Capture {
  CUgraph graph = new CUgraph_st;
  CUstream origin = nullptr;
  std::set<CUstream> streams;
  bool ended = false;
};

}  // namespace fake

struct CUevent_st {
  std::mutex mutex;
  std::shared_ptr<fake::Completion> latest;
  std::shared_ptr<fake::Capture> capture;
  std::vector<CUgraphNode> captured_nodes;

  std::shared_ptr<fake::Completion> record() {
    std::lock_guard<std::mutex> lock(mutex);
    return latest;
  }
};

struct CUstream_st {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> queue;
  bool busy = false;
  bool closing = false;
  std::thread thread;
  std::shared_ptr<fake::Capture> capture;
  std::vector<CUgraphNode> frontier;

  CUstream_st() : thread([this] { loop(); }) {}
  void push(std::function<void()> work) {
    std::lock_guard<std::mutex> lock(mutex);
    queue.push_back(std::move(work));
    changed.notify_all();
  }
  bool drained() {
    std::lock_guard<std::mutex> lock(mutex);
    return queue.empty() && !busy;
  }
  void synchronize() {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [this] { return queue.empty() && !busy; });
  }
  void loop() {
    std::unique_lock<std::mutex> lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return !queue.empty() || closing; });
      if (queue.empty()) break;
      auto work = std::move(queue.front());
      queue.pop_front();
      busy = true;
      lock.unlock();
      work();
      lock.lock();
      busy = false;
      changed.notify_all();
    }
  }
};

struct CUfunc_st {
  std::string entry;
  struct Parameter {
    size_t offset, size;
  };
  std::vector<Parameter> params;
  int registers = 0, local_bytes = 0, shared_bytes = 0, max_threads = 1024;
  int max_dynamic_shared = 48 * 1024;
  unsigned max_cluster_size = 8;
};

