// Event records, and what time it was when they were reached.
//
// Recording an event again makes a new record, as on the CPU device: whoever waits for the old one keeps waiting for
// it. The driver's events are pooled, since making one takes longer than recording it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "cuda/context.h"
#include "cuda/health.h"

namespace warpbook::cuda {

int64_t steady_ns();

// The driver's events; any thread may give one back.
class EventPool {
 public:
  explicit EventPool(ContextPtr context) : context_(std::move(context)) {}
  ~EventPool();

  // The driver's answer; `*event` is nullptr unless it is success.
  CUresult take(CUevent* event);
  void give_back(CUevent event);

 private:
  ContextPtr context_;
  std::mutex mutex_;
  std::vector<CUevent> free_;
};

// A point on the GPU's time line with a known time. The driver tells only differences, as a float32 of milliseconds, so
// times are measured from an anchor close by: after 50 ms the float's step is 4 ns, after an hour 0.25 ms.
struct Anchor {
  std::shared_ptr<EventPool> pool;
  CUevent event = nullptr;
  // The anchor before, released once the time is known.
  std::shared_ptr<Anchor> previous;
  int64_t time_ns = 0;

  ~Anchor() {
    if (event != nullptr) pool->give_back(event);
  }
};

struct EventRecord {
  std::shared_ptr<EventPool> pool;
  CUevent event = nullptr;
  std::shared_ptr<Anchor> anchor;

  ~EventRecord() {
    if (event != nullptr) pool->give_back(event);
  }
};

using RecordPtr = std::shared_ptr<EventRecord>;

class Clock {
 public:
  Clock(ContextPtr context, Health& health, std::shared_ptr<EventPool> pool);
  ~Clock();

  // Records an event on `stream`. The owner's thread only. The driver's answer; `*record` is set on success alone.
  CUresult record(CUstream stream, RecordPtr* record);
  // Of a record that has been reached, nanoseconds on the host's steady clock. Any thread; 0 where the device is lost.
  int64_t time_ns(const EventRecord& record);

 private:
  CUresult renew_anchor();
  CUresult resolve(Anchor& anchor);

  ContextPtr context_;
  Health& health_;
  std::shared_ptr<EventPool> pool_;
  // Nothing else runs here, so an anchor is reached at once.
  CUstream stream_ = nullptr;
  std::mutex mutex_;
  std::shared_ptr<Anchor> anchor_;
  int64_t renewed_ns_ = 0;
};

}  // namespace warpbook::cuda
