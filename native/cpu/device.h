// The CPU device: handles in, ordered work out. It owns the thread pool, the streams and everything that the caller
// has named by a handle. All calls come from one thread (the owner); only streams and the pool run beside it.
// It knows no JavaScript: whoever waits gives a callback, which is called from a native thread.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cpu/event.h"
#include "cpu/graph.h"
#include "cpu/handle_table.h"
#include "cpu/health.h"
#include "cpu/memory.h"
#include "cpu/stream.h"
#include "cpu/thread_pool.h"

namespace warpbook::cpu {

struct Relocation {
  size_t offset;
  Handle buffer;
  size_t byte_offset;
};

struct LaunchArguments {
  const Program* program;
  std::array<uint32_t, 3> grid;
  const uint8_t* params;
  size_t num_params_bytes;
  std::vector<Relocation> relocations;
};

// Objects that are alive: what leak tests compare.
struct LiveCounts {
  int64_t buffers, buffer_bytes, staging, streams, events, graphs, execs;
};

class Device {
 public:
  // Called once, from any thread. `error` is empty when everything went well; `code` is one of src/errors.ts.
  using OnTime = std::function<void(const std::string& code, const std::string& error, int64_t time_ns)>;
  using OnBytes = std::function<void(const std::string& code, const std::string& error, MemoryPtr bytes)>;

  explicit Device(int num_threads);
  // Drops what has not started, waits for what has.
  ~Device();

  int num_threads() const { return pool_->num_workers(); }
  LiveCounts live_counts();

  void allocate(Handle buffer, size_t num_bytes);
  void free(Handle buffer);
  MemoryPtr create_staging(Handle staging, size_t num_bytes);
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
  // In a capture: the graph as a node of the one that is captured.
  void add_child_graph(Handle stream, Handle graph);
  void instantiate(Handle graph, Handle exec);
  void destroy_exec(Handle exec);
  void update_node(Handle exec, int node_index, const LaunchArguments& arguments);
  // Work and addresses of the graph's nodes for those of the exec. Empty, or why it can't be.
  std::string update_exec(Handle exec, Handle graph);
  void set_enabled(Handle exec, int node_index, bool enabled);
  // Bytes of the exec's own memory.
  int64_t exec_bytes(Handle exec);
  void upload(Handle exec, Handle stream);
  void replay(Handle exec, Handle stream);

  // The checks of calls that take a callback, for a caller that has to make a promise first: they throw as the call
  // itself would.
  void require_eager(Handle stream, const char* call) { eager_stream(stream, call); }
  void require_recorded(Handle event);
  void require_range(Handle buffer, size_t byte_offset, size_t num_bytes) { address(buffer, byte_offset, num_bytes); }

  // Finishes all work, then releases everything. Idempotent.
  void close();
  // As close(), but drops what has not started: for the teardown of the environment.
  void cancel();

 private:
  // An event's latest record: in time, or as a point of a capture.
  struct Event {
    std::shared_ptr<EventRecord> record;
    std::shared_ptr<Capture> capture;
    std::vector<int> captured_nodes;
  };
  struct StreamSlot {
    std::unique_ptr<Stream> stream;
    std::shared_ptr<Capture> capture;
  };

  // Destroyed by the caller, but still finishing what was enqueued, with its shares of memory freed since; the stream
  // is declared last, so that it ends before they do.
  struct ClosedStream {
    std::vector<MemoryPtr> released;
    std::unique_ptr<Stream> stream;
  };

  Stream& eager_stream(Handle stream, const char* call);
  void enqueue(Handle stream, Work work);
  // Throw Misuse unless the range lies within the memory.
  uint8_t* address_in(HandleTable<MemoryPtr>& table, Handle handle, size_t byte_offset, size_t num_bytes);
  uint8_t* address(Handle buffer, size_t byte_offset, size_t num_bytes);
  ExecNode& exec_node(ExecNodes& nodes, int node_index);
  LaunchWork make_launch(const LaunchArguments& arguments);
  void end_participation(Capture& capture);
  void release_in_order(MemoryPtr memory);
  void reap_closed_streams();
  void require_open() const;

  // Members are destroyed in reverse: streams first, then what their commands refer to.
  Health health_;
  std::unique_ptr<ThreadPool> pool_;
  bool closed_ = false;
  int64_t buffer_bytes_ = 0;
  HandleTable<MemoryPtr> buffers_{"buffer"};
  HandleTable<MemoryPtr> staging_{"staging memory"};
  HandleTable<std::shared_ptr<const Graph>> graphs_{"graph"};
  HandleTable<GraphExec> execs_{"graph exec"};
  HandleTable<Event> events_{"event"};
  HandleTable<StreamSlot> streams_{"stream"};
  std::vector<ClosedStream> closed_streams_;
};

}  // namespace warpbook::cpu
