// A stream of the driver's, and how far it has come: operations are counted when they are enqueued, and markers (event
// records with the number of the operation ahead of them) tell how many have finished without waiting.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "cuda/context.h"
#include "cuda/event.h"
#include "cuda/health.h"

namespace warpbook::cuda {

class Stream {
 public:
  Stream(ContextPtr context, Health& health, Clock& clock, std::string name);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  CUstream raw() const { return stream_; }
  const std::string& name() const { return name_; }

  // An operation has been enqueued. `launched` names a program, kept for the message of a failure.
  void count(std::shared_ptr<const std::string> launched = nullptr);
  // A record behind what has been given to the driver so far, counted or not. nullptr where the device is lost.
  RecordPtr checkpoint();
  // A record behind everything counted so far: the last one where nothing came since. nullptr where the device is lost.
  RecordPtr mark();
  // Enqueues a record as an operation of the caller's. nullptr where the device is lost.
  RecordPtr record();

  // Never waits. Exact when the stream has drained; in between it may lag behind until it is asked again. Everything
  // counts as finished where the device is lost.
  int64_t num_completed();
  bool idle() { return num_completed() == num_enqueued_; }

  // "stream '3', after launches of attention, fill": the latest launches that may still be running.
  std::string describe() const;

 private:
  struct Marker {
    int64_t operation;
    RecordPtr record;
  };
  struct RecentLaunch {
    int64_t operation = 0;
    std::shared_ptr<const std::string> program;
  };

  ContextPtr context_;
  Health& health_;
  Clock& clock_;
  const std::string name_;
  CUstream stream_ = nullptr;
  int64_t num_enqueued_ = 0;
  int64_t num_completed_ = 0;
  std::deque<Marker> markers_;
  // A ring, the latest overwriting the oldest.
  std::array<RecentLaunch, 8> launches_;
  size_t next_launch_ = 0;
};

}  // namespace warpbook::cuda
