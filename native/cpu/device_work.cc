// What is enqueued on the device's streams, and what is captured from them and replayed; see device.h.
#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "cpu/commands.h"
#include "cpu/device.h"

namespace warpbook::cpu {

// --- work -----------------------------------------------------------------------------------------------------------

void Device::enqueue(Handle stream, Work work) {
  require_open();
  StreamSlot& slot = streams_.get(stream);
  if (slot.capture) {
    slot.capture->add(stream, std::move(work));
  } else {
    slot.stream->enqueue(std::make_unique<WorkCommand>(std::move(work), *pool_));
  }
}

void Device::write(Handle stream, Handle buffer, size_t byte_offset, const uint8_t* bytes, size_t num_bytes) {
  Stream& target = eager_stream(stream, "write");
  uint8_t* destination = address(buffer, byte_offset, num_bytes);
  // The bytes have to be copied now in any case: where nothing is ahead, straight to their place.
  const bool done = target.run_if_idle([&] {
    if (num_bytes > 0) std::memcpy(destination, bytes, num_bytes);
  });
  if (!done) target.enqueue(std::make_unique<WriteCommand>(destination, bytes, num_bytes));
}

void Device::write_from_staging(Handle stream, Handle buffer, size_t byte_offset, Handle staging,
                                size_t staging_offset, size_t num_bytes) {
  eager_stream(stream, "write_from_staging");
  const uint8_t* source = address_in(staging_, staging, staging_offset, num_bytes);
  enqueue(stream, CopyWork{address(buffer, byte_offset, num_bytes), source, num_bytes});
}

void Device::copy(Handle stream, Handle target, size_t target_offset, Handle source, size_t source_offset,
                  size_t num_bytes) {
  enqueue(stream, CopyWork{address(target, target_offset, num_bytes), address(source, source_offset, num_bytes),
                           num_bytes});
}

void Device::fill(Handle stream, Handle buffer, size_t byte_offset, size_t num_bytes, const uint8_t* pattern,
                  size_t pattern_bytes) {
  if (pattern_bytes != 1 && pattern_bytes != 2 && pattern_bytes != 4 && pattern_bytes != 8) {
    throw Misuse("got a pattern of " + std::to_string(pattern_bytes) + " bytes; wanted 1, 2, 4 or 8");
  }
  if (num_bytes % pattern_bytes != 0) {
    throw Misuse("got a fill of " + std::to_string(num_bytes) + " bytes with a pattern of " +
                 std::to_string(pattern_bytes) + "; wanted whole patterns");
  }
  FillWork work{address(buffer, byte_offset, num_bytes), num_bytes, {}, pattern_bytes};
  std::copy(pattern, pattern + pattern_bytes, work.pattern.begin());
  enqueue(stream, work);
}

LaunchWork Device::make_launch(const LaunchArguments& arguments) {
  const Program& program = *arguments.program;
  if (arguments.num_params_bytes != program.params_bytes) {
    throw Misuse("got " + std::to_string(arguments.num_params_bytes) + " parameter bytes for program '" +
                 program.name + "'; wanted " + std::to_string(program.params_bytes));
  }
  LaunchWork work{&program, arguments.grid, Params(arguments.params, arguments.num_params_bytes)};
  for (const Relocation& relocation : arguments.relocations) {
    // One past the end is legal: it is where an empty part of a buffer starts.
    try {
      work.params.set_address(relocation.offset, address(relocation.buffer, relocation.byte_offset, 0));
    } catch (const std::out_of_range& error) {
      throw Misuse(std::string("got ") + error.what());
    }
  }
  return work;
}

void Device::launch(Handle stream, const LaunchArguments& arguments) { enqueue(stream, make_launch(arguments)); }

void Device::read(Handle stream, Handle buffer, size_t byte_offset, size_t num_bytes, OnBytes done) {
  Stream& target = eager_stream(stream, "read");
  const uint8_t* source = address(buffer, byte_offset, num_bytes);
  target.enqueue(std::make_unique<ReadCommand>(source, num_bytes, health_, std::move(done)));
}

// --- graphs ---------------------------------------------------------------------------------------------------------

void Device::begin_capture(Handle stream) {
  eager_stream(stream, "begin_capture");
  streams_.get(stream).capture = std::make_shared<Capture>(stream);
}

void Device::end_participation(Capture& capture) {
  capture.end();
  for (auto& [handle, slot] : streams_.all()) {
    if (slot.capture.get() == &capture) slot.capture = nullptr;
  }
}

void Device::end_capture(Handle stream, Handle graph) {
  require_open();
  graphs_.require_free(graph);
  const std::shared_ptr<Capture> capture = streams_.get(stream).capture;
  if (!capture || capture->origin() != stream) {
    throw Misuse("got end_capture on stream " + std::to_string(stream) + "; wanted the stream of begin_capture");
  }
  if (const Handle* unjoined = capture->unjoined()) {
    throw Misuse("got end_capture with work on stream " + std::to_string(*unjoined) + " that stream " +
                 std::to_string(stream) + " does not wait for; record an event there and wait for it");
  }
  end_participation(*capture);
  graphs_.add(graph, std::make_shared<const Graph>(capture->take_graph()));
}

void Device::abort_capture(Handle stream) {
  if (closed_) return;
  const std::shared_ptr<Capture> capture = streams_.get(stream).capture;
  if (capture) end_participation(*capture);
}

void Device::destroy_graph(Handle graph) {
  if (!closed_) graphs_.take(graph);
}

void Device::add_child_graph(Handle stream, Handle graph) {
  if (!streams_.get(stream).capture) {
    throw Misuse("got add_child_graph on stream " + std::to_string(stream) +
                 ", which is not being captured; wanted one that is");
  }
  enqueue(stream, ChildGraphWork{graphs_.get(graph)});
}

void Device::instantiate(Handle graph, Handle exec) {
  require_open();
  auto nodes = std::make_shared<ExecNodes>();
  for (const GraphNode& node : graphs_.get(graph)->nodes) nodes->push_back({node.work});
  execs_.add(exec, {std::move(nodes)});
}

void Device::destroy_exec(Handle exec) {
  if (!closed_) execs_.take(exec);
}

ExecNode& Device::exec_node(ExecNodes& nodes, int node_index) {
  if (node_index >= 0 && static_cast<size_t>(node_index) < nodes.size()) return nodes[node_index];
  throw Misuse("got node " + std::to_string(node_index) + " of a graph of " + std::to_string(nodes.size()) +
               " nodes; wanted one of them");
}

void Device::update_node(Handle exec, int node_index, const LaunchArguments& arguments) {
  require_open();
  GraphExec& target = execs_.get(exec);
  auto nodes = std::make_shared<ExecNodes>(*target.nodes);
  ExecNode& node = exec_node(*nodes, node_index);
  const auto* launch = std::get_if<LaunchWork>(node.work.get());
  if (launch == nullptr || launch->program != arguments.program) {
    throw Misuse("got an update to '" + std::string(arguments.program->name) + "' for a node that is a " +
                 describe(*node.work) + "; wanted the same program");
  }
  node.work = std::make_shared<const Work>(make_launch(arguments));
  target.nodes = std::move(nodes);
}

std::string Device::update_exec(Handle exec, Handle graph) {
  require_open();
  GraphExec& target = execs_.get(exec);
  const std::vector<GraphNode>& source = graphs_.get(graph)->nodes;
  if (source.size() != target.nodes->size()) {
    return "it has " + std::to_string(source.size()) + " nodes instead of " + std::to_string(target.nodes->size());
  }
  auto nodes = std::make_shared<ExecNodes>(*target.nodes);
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i].work->index() != (*nodes)[i].work->index()) {
      return "node " + std::to_string(i) + " is a " + describe(*source[i].work) + " instead of a " +
             describe(*(*nodes)[i].work);
    }
    (*nodes)[i].work = source[i].work;
  }
  target.nodes = std::move(nodes);
  return "";
}

void Device::set_enabled(Handle exec, int node_index, bool enabled) {
  require_open();
  GraphExec& target = execs_.get(exec);
  auto nodes = std::make_shared<ExecNodes>(*target.nodes);
  exec_node(*nodes, node_index).enabled = enabled;
  target.nodes = std::move(nodes);
}

int64_t Device::exec_bytes(Handle exec) {
  require_open();
  const ExecNodes& nodes = *execs_.get(exec).nodes;
  return static_cast<int64_t>(nodes.capacity() * sizeof(ExecNode));
}

void Device::upload(Handle exec, Handle stream) {
  Stream& target = eager_stream(stream, "upload");
  execs_.get(exec);
  target.enqueue(std::make_unique<UploadCommand>());
}

void Device::replay(Handle exec, Handle stream) {
  Stream& target = eager_stream(stream, "replay");
  target.enqueue(std::make_unique<ReplayCommand>(execs_.get(exec).nodes, *pool_, health_));
}

}  // namespace warpbook::cpu
