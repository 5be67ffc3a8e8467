// The context that everything of a device lives in. Objects hold it, so that it outlives them.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "cuda/driver.h"

namespace warpbook::cuda {

// What a GPU is.
struct DeviceFacts {
  int ordinal = 0;
  std::string name;
  size_t total_bytes = 0;
  int num_sms = 0;
  int max_threads_per_sm = 0;
  int major = 0;
  int minor = 0;
  // Largest dynamic shared memory of a CTA.
  int max_shared_bytes = 0;
  bool has_pools = false;
  // Where it is plugged in, as the driver's other libraries know it: "00000000:1b:00.0".
  std::string pci_bus_id;
};

// Every GPU that the driver offers.
std::vector<DeviceFacts> list_devices(const Driver& driver);

// The GPU's primary context, retained: a second open device of the same GPU shares it, where contexts of their own
// would take turns on the GPU instead of sharing it.
class Context {
 public:
  // Throws Misuse UNSUPPORTED for an ordinal that the driver doesn't have.
  Context(const Driver& driver, int ordinal);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // Before driver calls on a thread; cheap where it is current already.
  void make_current() const { driver.cuCtxSetCurrent(context_); }

  // The GPU hangs, and calls that release could wait for ever: from here on nothing is released; the process' end
  // does it.
  void abandon() { abandoned_ = true; }
  bool abandoned() const { return abandoned_; }
  CUcontext raw() const { return context_; }

  const Driver& driver;
  const DeviceFacts facts;

 private:
  CUdevice device_ = 0;
  CUcontext context_ = nullptr;
  std::atomic<bool> abandoned_{false};
};

using ContextPtr = std::shared_ptr<Context>;

}  // namespace warpbook::cuda
