// The CUDA device: handles in, ordered work out. It owns everything that the caller has named by a handle. All calls
// come from one thread (the owner); only the waiter runs beside it. It mirrors the CPU device (cpu/device.h) call by
// call and knows no JavaScript: whoever waits gives a callback, which is called from a native thread.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cpu/device.h"
#include "cpu/handle_table.h"
#include "cpu/memory.h"
#include "cuda/bounce.h"
#include "cuda/context.h"
#include "cuda/event.h"
#include "cuda/graph.h"
#include "cuda/health.h"
#include "cuda/memory.h"
#include "cuda/program.h"
#include "cuda/stream.h"
#include "cuda/waiter.h"

namespace warpbook::cuda {

using cpu::HandleTable;
using cpu::LiveCounts;
using cpu::MemoryPtr;
using cpu::Relocation;

struct LaunchArguments {
  // As loaded by load_program().
  Handle program = 0;
  std::array<uint32_t, 3> grid{};
  CtaOverrides cta;
  const uint8_t* params = nullptr;
  size_t num_params_bytes = 0;
  std::vector<Relocation> relocations;
};

class Device {
 public:
  using OnTime = cpu::Device::OnTime;
  using OnBytes = cpu::Device::OnBytes;

  // Opens the driver where nobody has yet. Throws Misuse UNSUPPORTED, saying what is missing.
  explicit Device(int ordinal);
  // As cancel().
  ~Device();

  const Driver& driver() const { return context_->driver; }
  const DeviceFacts& facts() const { return context_->facts; }
  // Free on the GPU now, bytes; other processes count too.
  size_t free_bytes();
  LiveCounts live_counts();

  ProgramInfo load_program(Handle program, ProgramOptions options, const uint8_t* image, size_t num_image_bytes);

  // Graphs and launches that were made before keep it.
  void unload_program(Handle program);
  // CTAs of such a shape that fit on an SM at the same time.
  int ctas_per_sm(Handle program, const CtaOverrides& cta);

  void allocate(Handle buffer, size_t num_bytes);
  void free(Handle buffer);
  PinnedPtr create_staging(Handle staging, size_t num_bytes);
  void destroy_staging(Handle staging);

  void create_stream(Handle stream);
  void destroy_stream(Handle stream);
  int64_t num_completed(Handle stream);
  void synchronize(Handle stream, OnTime done);
  void create_event(Handle event);
  void destroy_event(Handle event);
  void record_event(Handle event, Handle stream);
  void wait_event(Handle stream, Handle event);
  void event_time(Handle event, OnTime done);

  void write(Handle stream, Handle buffer, size_t byte_offset, const uint8_t* bytes, size_t num_bytes);
  void write_from_staging(Handle stream, Handle buffer, size_t byte_offset, Handle staging, size_t staging_offset,
                          size_t num_bytes);
  void copy(Handle stream, Handle target, size_t target_offset, Handle source, size_t source_offset, size_t num_bytes);
  void fill(Handle stream, Handle buffer, size_t byte_offset, size_t num_bytes, const uint8_t* pattern,
            size_t pattern_bytes);
  void launch(Handle stream, const LaunchArguments& arguments);
  void read(Handle stream, Handle buffer, size_t byte_offset, size_t num_bytes, OnBytes done);

  void begin_capture(Handle stream);
  void end_capture(Handle stream, Handle graph);
  void abort_capture(Handle stream);
  void destroy_graph(Handle graph);
  const Graph& graph(Handle graph) { return *graphs_.get(graph); }
  Health& health() { return health_; }
  // In a capture: the graph as a node of the one that is captured.
  void add_child_graph(Handle stream, Handle graph);
  // In a capture: a node that runs bodies as its handle says, which kernels set; it has `default_value` when a replay
  // starts. Throws Misuse UNSUPPORTED where the driver is too old.
  void add_conditional(Handle stream, ConditionKind kind, const std::vector<Handle>& bodies, unsigned default_value);
  // Enqueues the writing of what kernels know a node, or an exec, by: 8 bytes.
  void write_node_handle(Handle stream, Handle buffer, size_t byte_offset, Handle graph, int node_index);
  void write_exec_handle(Handle stream, Handle buffer, size_t byte_offset, Handle exec);
  // `device_launch`: kernels may launch it.
  void instantiate(Handle graph, Handle exec, bool device_launch);
  void destroy_exec(Handle exec);
  void update_node(Handle exec, int node_index, const LaunchArguments& arguments);
  // Work and addresses of the graph's nodes for those of the exec. Empty, or why it can't be.
  std::string update_exec(Handle exec, Handle graph);
  void set_enabled(Handle exec, int node_index, bool enabled);
  // What the GPU's free memory shrank by when the exec was made: other processes' allocations meanwhile count too.
  int64_t exec_bytes(Handle exec) { return execs_.get(exec)->num_bytes; }
  void upload(Handle exec, Handle stream);
  void replay(Handle exec, Handle stream);

  // The checks of calls that take a callback, for a caller that has to make a promise first: they throw as the call
  // itself would.
  void require_eager(Handle stream, const char* call) { eager_stream(stream, call); }
  void require_recorded(Handle event);
  void require_range(Handle buffer, size_t byte_offset, size_t num_bytes) { address(buffer, byte_offset, num_bytes); }

  // Throws DEVICE_LOST where the device is, for calls that have to answer at once.
  void require_healthy() const;

  // Finishes all work, then releases everything. Idempotent.
  void close();
  // As close(), but gives the GPU two seconds only: for the teardown of the environment. What doesn't end is abandoned.
  void cancel();

 private:
  // An event's latest record: in time, or as a point of a capture.
  struct Event {
    RecordPtr record;
    std::shared_ptr<Capture> capture;
    bool recorded = false;
  };
  struct StreamSlot {
    std::unique_ptr<Stream> stream;
    std::shared_ptr<Capture> capture;
  };

  Stream& eager_stream(Handle stream, const char* call);
  CUdeviceptr address(Handle buffer, size_t byte_offset, size_t num_bytes);
  // The parameters with addresses filled in, in memory that the next call reuses.
  uint8_t* relocate(const LaunchArguments& arguments);
  // The driver's part of one operation: checks each call's answer and, in a capture, notes the node it made.
  class Steps;
  // Runs `body(steps)` unless the device is lost, then counts the operation, or keeps the node. A body that makes no
  // call becomes an empty node.
  template <typename Body>
  void enqueue(Handle stream, GraphNode node, const Body& body);
  void end_participation(Capture& capture);
  void require_updatable(bool capturing) const;
  const GraphNode& exec_node(const GraphExec& exec, int node_index);
  std::vector<RecordPtr> pending_records();
  void require_open() const;
  void release_everything();
  bool drained();

  ContextPtr context_;
  Health health_;
  bool closed_ = false;
  int64_t buffer_bytes_ = 0;
  std::vector<uint8_t> params_;
  std::shared_ptr<EventPool> events_pool_;
  std::unique_ptr<Clock> clock_;
  std::unique_ptr<MemoryPool> memory_;
  std::unique_ptr<BouncePool> bounce_;
  std::unique_ptr<Waiter> waiter_;
  HandleTable<ProgramPtr> programs_{"program"};
  HandleTable<DeviceMemory> buffers_{"buffer"};
  HandleTable<PinnedPtr> staging_{"staging memory"};
  HandleTable<std::shared_ptr<Graph>> graphs_{"graph"};
  HandleTable<std::shared_ptr<GraphExec>> execs_{"graph exec"};
  HandleTable<Event> events_{"event"};
  HandleTable<StreamSlot> streams_{"stream"};
  // Of streams that the caller has destroyed and that may still be working.
  std::vector<RecordPtr> closed_streams_;
};

}  // namespace warpbook::cuda
