// The CUDA device's part that captures, instantiates, updates and replays graphs.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "cuda/device.h"

namespace warpbook::cuda {

namespace {

using cpu::Misuse;

// Completes "the driver says that ..."
const char* describe_refusal(CUgraphExecUpdateResult result) {
  switch (result) {
    case CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED:
      return "nodes or edges differ";
    case CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED:
      return "the kind of a node differs";
    case CU_GRAPH_EXEC_UPDATE_ERROR_FUNCTION_CHANGED:
    case CU_GRAPH_EXEC_UPDATE_ERROR_UNSUPPORTED_FUNCTION_CHANGE:
      return "the kernel of a node can't be exchanged for this one (one of them launches kernels, say)";
    case CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED:
      return "parameters of a node differ in a way that needs a new instance (the extents of a fill, say)";
    case CU_GRAPH_EXEC_UPDATE_ERROR_NOT_SUPPORTED:
      return "a node is of a kind that can't be updated";
    case CU_GRAPH_EXEC_UPDATE_ERROR_ATTRIBUTES_CHANGED:
      return "attributes of a node differ (cooperative, clusters or programmatic dependent launch)";
    default:
      return "something differs that it doesn't name";
  }
}

}  // namespace

void Device::begin_capture(Handle stream) {
  Stream& target = eager_stream(stream, "begin_capture");
  require_healthy();
  if (!target.idle()) target.mark();
  // Relaxed: what would break the capture is refused by the caller's side, which knows the calls by name.
  const CUresult result = context_->driver.cuStreamBeginCapture(target.raw(), CU_STREAM_CAPTURE_MODE_RELAXED);
  health_.check(result, "cuStreamBeginCapture", "starting a capture on " + target.describe());
  require_healthy();
  streams_.get(stream).capture = std::make_shared<Capture>(context_, stream);
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
  StreamSlot& slot = streams_.get(stream);
  const std::shared_ptr<Capture> capture = slot.capture;
  if (!capture || capture->origin() != stream) {
    throw Misuse("got end_capture on stream " + std::to_string(stream) + "; wanted the stream of begin_capture");
  }
  end_participation(*capture);
  CUgraph captured = nullptr;
  const CUresult result = context_->driver.cuStreamEndCapture(slot.stream->raw(), &captured);
  health_.check(result, "cuStreamEndCapture", "ending the capture of " + slot.stream->describe());
  require_healthy();
  graphs_.add(graph, capture->take_graph(captured));
}

void Device::abort_capture(Handle stream) {
  if (closed_) return;
  require_open();
  StreamSlot& slot = streams_.get(stream);
  const std::shared_ptr<Capture> capture = slot.capture;
  if (!capture) return;
  CUstream origin = streams_.get(capture->origin()).stream->raw();
  end_participation(*capture);
  // Whatever was wrong with the capture, this ends it.
  CUgraph dropped = nullptr;
  context_->driver.cuStreamEndCapture(origin, &dropped);
  if (dropped != nullptr) context_->driver.cuGraphDestroy(dropped);
}

void Device::destroy_graph(Handle graph) {
  if (!closed_) graphs_.take(graph);
}

void Device::add_child_graph(Handle stream, Handle graph) {
  require_open();
  StreamSlot& slot = streams_.get(stream);
  const std::shared_ptr<Capture> capture = slot.capture;
  if (!capture) {
    throw Misuse("got add_child_graph on stream " + std::to_string(stream) +
                 ", which is not being captured; wanted one that is");
  }
  GraphNode node;
  node.kind = NodeKind::kGraph;
  node.child = graphs_.get(graph);
  const CUgraph child = node.child->raw();
  capture->add(std::move(node));
  if (!health_.ok()) return;
  const CUresult result = capture->note_child(slot.stream->raw(), child);
  if (result == CUDA_SUCCESS) return;
  capture->drop_last();
  health_.check(result, "cuGraphAddChildGraphNode", "putting a graph into the one that is captured");
}

void Device::add_conditional(Handle stream, ConditionKind kind, const std::vector<Handle>& bodies,
                             unsigned default_value) {
  require_open();
  StreamSlot& slot = streams_.get(stream);
  const std::shared_ptr<Capture> capture = slot.capture;
  if (!capture) {
    throw Misuse("got add_conditional on stream " + std::to_string(stream) +
                 ", which is not being captured; wanted one that is");
  }
  const Driver& driver = context_->driver;
  const bool newer = kind == ConditionKind::kSwitch || (kind == ConditionKind::kIf && bodies.size() > 1);
  const int wanted = newer ? 12080 : 12030;
  if (driver.version < wanted || driver.cuGraphConditionalHandleCreate == nullptr || driver.cuGraphAddNode == nullptr) {
    const char* names[] = {"an IF node", "a WHILE node", "a SWITCH node"};
    throw Misuse(std::string("Got ") + names[static_cast<int>(kind)] + (newer && kind == ConditionKind::kIf ? " with an ELSE" : "") +
                     " with a driver for CUDA " + version_text(driver.version) + "; wanted one for CUDA " +
                     version_text(wanted) + " or newer. Update NVIDIA's driver.",
                 "UNSUPPORTED");
  }
  GraphNode node;
  node.kind = NodeKind::kConditional;
  node.condition = kind;
  for (const Handle body : bodies) node.bodies.push_back(graphs_.get(body));
  capture->add(std::move(node));
  if (!health_.ok()) return;
  const CUresult result = capture->note_conditional(slot.stream->raw(), default_value);
  if (result == CUDA_SUCCESS) return;
  capture->drop_last();
  health_.check(result, "cuGraphAddNode", "putting a conditional node into the graph that is captured");
}

void Device::write_node_handle(Handle stream, Handle buffer, size_t byte_offset, Handle graph, int node_index) {
  const std::vector<GraphNode>& nodes = graphs_.get(graph)->nodes();
  if (node_index < 0 || static_cast<size_t>(node_index) >= nodes.size() || nodes[node_index].device_handle == 0) {
    throw Misuse("got node " + std::to_string(node_index) + " of a graph of " + std::to_string(nodes.size()) +
                 " nodes; wanted a conditional node, or a launch that the device may update");
  }
  const uint64_t value = nodes[node_index].device_handle;
  write(stream, buffer, byte_offset, reinterpret_cast<const uint8_t*>(&value), sizeof value);
}

void Device::write_exec_handle(Handle stream, Handle buffer, size_t byte_offset, Handle exec) {
  const CUgraphExec value = execs_.get(exec)->exec;
  write(stream, buffer, byte_offset, reinterpret_cast<const uint8_t*>(&value), sizeof value);
}

void Device::instantiate(Handle graph, Handle exec, bool device_launch) {
  require_open();
  require_healthy();
  execs_.require_free(exec);
  const std::shared_ptr<Graph>& source = graphs_.get(graph);
  const std::string doing = "instantiating a graph of " + std::to_string(source->nodes().size()) + " nodes";
  CUgraphExec instance = nullptr;
  const Driver& driver = context_->driver;
  const auto free_before = static_cast<int64_t>(free_bytes());
  const unsigned flags = device_launch ? CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH : 0;
  health_.check(driver.cuGraphInstantiateWithFlags(&instance, source->raw(), flags), "cuGraphInstantiateWithFlags",
                device_launch ? doing + " for launches by the device" : doing);
  require_healthy();
  auto made = std::make_shared<GraphExec>(context_, source, instance, 0);
  // Now, so that the first replay is as fast as the others.
  health_.check(driver.cuGraphUpload(instance, memory_->stream()), "cuGraphUpload", doing);
  made->num_bytes = std::max<int64_t>(0, free_before - static_cast<int64_t>(free_bytes()));
  execs_.add(exec, std::move(made));
}

// Behind what is enqueued, since replays use the code of programs that only the exec may still hold.
void Device::destroy_exec(Handle exec) {
  if (closed_) return;
  require_open();
  memory_->release(std::shared_ptr<const void>(execs_.take(exec)), pending_records());
}

const GraphNode& Device::exec_node(const GraphExec& exec, int node_index) {
  const std::vector<GraphNode>& nodes = exec.graph->nodes();
  if (node_index >= 0 && static_cast<size_t>(node_index) < nodes.size()) return nodes[node_index];
  throw Misuse("got node " + std::to_string(node_index) + " of a graph of " + std::to_string(nodes.size()) +
               " nodes; wanted one of them");
}

void Device::update_node(Handle exec, int node_index, const LaunchArguments& arguments) {
  require_open();
  const GraphExec& target = *execs_.get(exec);
  const GraphNode& node = exec_node(target, node_index);
  const ProgramPtr& current = target.programs[node_index];
  const ProgramPtr& program = programs_.get(arguments.program);
  if (!current || *current->label() != *program->label()) {
    throw Misuse("got an update to '" + *program->label() + "' for a node that is " +
                 (current ? "a launch of '" + *current->label() + "'" : "no launch") + "; wanted the same program");
  }
  const CtaShape shape = current->resolve(health_, arguments.grid, arguments.cta, arguments.num_params_bytes);
  uint8_t* params = relocate(arguments);
  if (!health_.ok()) return;
  health_.check(current->update(target.exec, node.driver_node, arguments.grid, shape, params),
                "cuGraphExecKernelNodeSetParams",
                "updating node " + std::to_string(node_index) + ", '" + *program->label() + "'");
}

std::string Device::update_exec(Handle exec, Handle graph) {
  require_open();
  require_healthy();
  GraphExec& target = *execs_.get(exec);
  const Graph& source = *graphs_.get(graph);
  CUgraphExecUpdateResultInfo info{};
  const CUresult result = context_->driver.cuGraphExecUpdate(target.exec, source.raw(), &info);
  if (result == CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE) {
    const int index = source.index_of(info.errorNode);
    return (index < 0 ? "" : "at node " + std::to_string(index) + ", ") + std::string("the driver says that ") +
           describe_refusal(info.result);
  }
  health_.check(result, "cuGraphExecUpdate", "updating an instance by another graph");
  require_healthy();
  // What it launched before may still run.
  memory_->release(std::make_shared<const std::vector<ProgramPtr>>(target.programs), pending_records());
  memory_->release(std::make_shared<const decltype(target.children)>(target.children), pending_records());
  target.take_programs(source);
  // The driver's documentation leaves open what becomes of disabled nodes.
  for (size_t index = 0; index < target.enabled.size(); ++index) {
    if (!target.enabled[index]) set_enabled(exec, static_cast<int>(index), false);
  }
  return "";
}

void Device::set_enabled(Handle exec, int node_index, bool enabled) {
  require_open();
  GraphExec& target = *execs_.get(exec);
  exec_node(target, node_index);
  if (!health_.ok()) return;
  for (CUgraphNode node : target.graph->driver_nodes(node_index)) {
    health_.check(context_->driver.cuGraphNodeSetEnabled(target.exec, node, enabled ? 1 : 0), "cuGraphNodeSetEnabled",
                  (enabled ? "enabling node " : "disabling node ") + std::to_string(node_index));
  }
  target.enabled[node_index] = enabled;
}

void Device::upload(Handle exec, Handle stream) {
  Stream& target = eager_stream(stream, "upload");
  const GraphExec& source = *execs_.get(exec);
  if (health_.ok()) {
    const CUresult result = context_->driver.cuGraphUpload(source.exec, target.raw());
    if (result != CUDA_SUCCESS) health_.check(result, "cuGraphUpload", "uploading a graph on " + target.describe());
  }
  target.count();
}

void Device::replay(Handle exec, Handle stream) {
  Stream& target = eager_stream(stream, "replay");
  const GraphExec& source = *execs_.get(exec);
  if (health_.ok()) {
    const CUresult result = context_->driver.cuGraphLaunch(source.exec, target.raw());
    if (result != CUDA_SUCCESS) {
      health_.check(result, "cuGraphLaunch", "replaying a graph on " + target.describe());
    }
  }
  static const auto* const label = new auto(std::make_shared<const std::string>("a graph"));
  target.count(*label);
}

}  // namespace warpbook::cuda
