#include "cuda/graph.h"

#include <algorithm>
#include <utility>

#include "cpu/misuse.h"

namespace warpbook::cuda {

Graph::Graph(ContextPtr context, CUgraph graph, std::vector<GraphNode> nodes,
             std::unordered_map<CUgraphNode, int> index_of_driver_node)
    : context_(std::move(context)),
      graph_(graph),
      nodes_(std::move(nodes)),
      index_of_driver_node_(std::move(index_of_driver_node)) {}

Graph::~Graph() {
  if (!context_->abandoned()) context_->driver.cuGraphDestroy(graph_);
}

std::vector<std::vector<int>> Graph::dependencies(Health& health) const {
  const Driver& driver = context_->driver;
  const char* doing = "describing a graph";
  // Newer drivers refuse the older question where an edge is a programmatic one.
  const auto edges = [&](CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData* data, size_t* count) {
    const CUresult result = driver.cuGraphGetEdges_v2 != nullptr
                                ? driver.cuGraphGetEdges_v2(graph_, from, to, data, count)
                                : driver.cuGraphGetEdges(graph_, from, to, count);
    if (!health.check(result, "cuGraphGetEdges", doing)) throw cpu::Misuse(health.message(), health.code());
  };
  size_t count = 0;
  edges(nullptr, nullptr, nullptr, &count);
  std::vector<CUgraphNode> from(count);
  std::vector<CUgraphNode> to(count);
  std::vector<CUgraphEdgeData> data(count);
  if (count > 0) edges(from.data(), to.data(), data.data(), &count);

  std::vector<std::vector<int>> dependencies(nodes_.size());
  for (size_t i = 0; i < count; ++i) {
    const auto source = index_of_driver_node_.find(from[i]);
    const auto target = index_of_driver_node_.find(to[i]);
    // The driver may add nodes of its own to a graph; edges within one call's nodes are no dependency.
    if (source == index_of_driver_node_.end() || target == index_of_driver_node_.end()) continue;
    if (source->second != target->second) dependencies[target->second].push_back(source->second);
  }
  for (std::vector<int>& list : dependencies) {
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
  }
  return dependencies;
}

int Graph::index_of(CUgraphNode driver_node) const {
  const auto found = index_of_driver_node_.find(driver_node);
  return found == index_of_driver_node_.end() ? -1 : found->second;
}

std::vector<CUgraphNode> Graph::driver_nodes(int index) const {
  std::vector<CUgraphNode> nodes;
  for (const auto& [node, owner] : index_of_driver_node_) {
    if (owner == index) nodes.push_back(node);
  }
  return nodes;
}

GraphExec::GraphExec(ContextPtr context, std::shared_ptr<Graph> graph, CUgraphExec exec, int64_t num_bytes)
    : context(std::move(context)),
      graph(std::move(graph)),
      exec(exec),
      enabled(this->graph->nodes().size(), true),
      num_bytes(num_bytes) {
  take_programs(*this->graph);
}

void GraphExec::take_programs(const Graph& source) {
  programs.clear();
  children.clear();
  for (const GraphNode& node : source.nodes()) {
    programs.push_back(node.program);
    children.push_back(node.bodies);
    if (node.child) children.back().push_back(node.child);
  }
}

GraphExec::~GraphExec() {
  if (context->abandoned()) return;
  context->make_current();
  context->driver.cuGraphExecDestroy(exec);
}

CUresult Capture::frontier(CUstream stream, CUgraph* graph, const CUgraphNode** nodes, size_t* num_nodes) const {
  const Driver& driver = context_->driver;
  int status = 0;
  uint64_t id = 0;
  if (driver.cuStreamGetCaptureInfo_v3 == nullptr) {
    return driver.cuStreamGetCaptureInfo_v2(stream, &status, &id, graph, nodes, num_nodes);
  }
  const CUgraphEdgeData* edges = nullptr;
  return driver.cuStreamGetCaptureInfo_v3(stream, &status, &id, graph, nodes, &edges, num_nodes);
}

CUresult Capture::note(CUstream stream) {
  CUgraph graph = nullptr;
  const CUgraphNode* frontier_nodes = nullptr;
  size_t count = 0;
  const CUresult result = frontier(stream, &graph, &frontier_nodes, &count);
  if (result != CUDA_SUCCESS) return result;
  const int index = static_cast<int>(nodes_.size()) - 1;
  // The stream's next node depends on exactly the one that the call has just added.
  if (count == 1 && index_of_driver_node_.emplace(frontier_nodes[0], index).second) {
    nodes_.back().driver_node = frontier_nodes[0];
  }
  return CUDA_SUCCESS;
}

template <typename Make>
CUresult Capture::append(CUstream stream, const Make& make) {
  CUgraph graph = nullptr;
  const CUgraphNode* frontier_nodes = nullptr;
  size_t count = 0;
  CUresult result = frontier(stream, &graph, &frontier_nodes, &count);
  if (result != CUDA_SUCCESS) return result;
  CUgraphNode node = nullptr;
  result = make(&node, graph, frontier_nodes, count);
  if (result != CUDA_SUCCESS) return result;
  result = context_->driver.cuStreamUpdateCaptureDependencies(stream, &node, 1, CU_STREAM_SET_CAPTURE_DEPENDENCIES);
  return result == CUDA_SUCCESS ? note(stream) : result;
}

CUresult Capture::note_empty(CUstream stream) {
  return append(stream, context_->driver.cuGraphAddEmptyNode);
}

CUresult Capture::note_child(CUstream stream, CUgraph child) {
  return append(stream, [&](CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count) {
    return context_->driver.cuGraphAddChildGraphNode(node, graph, dependencies, count, child);
  });
}

CUresult Capture::note_conditional(CUstream stream, unsigned default_value) {
  const Driver& driver = context_->driver;
  const CUgraphConditionalNodeType kinds[] = {CU_GRAPH_COND_TYPE_IF, CU_GRAPH_COND_TYPE_WHILE,
                                              CU_GRAPH_COND_TYPE_SWITCH};
  return append(stream, [&](CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count) {
    GraphNode& call = nodes_.back();
    CUgraphConditionalHandle handle = 0;
    CUresult result = driver.cuGraphConditionalHandleCreate(&handle, graph, context_->raw(), default_value,
                                                            CU_GRAPH_COND_ASSIGN_DEFAULT);
    if (result != CUDA_SUCCESS) return result;
    CUgraphNodeParams params{};
    params.type = CU_GRAPH_NODE_TYPE_CONDITIONAL;
    params.conditional.handle = handle;
    params.conditional.type = kinds[static_cast<int>(call.condition)];
    params.conditional.size = static_cast<unsigned>(call.bodies.size());
    params.conditional.ctx = context_->raw();
    result = driver.cuGraphAddNode(node, graph, dependencies, nullptr, count, &params);
    for (size_t i = 0; result == CUDA_SUCCESS && i < call.bodies.size(); ++i) {
      CUgraphNode inner = nullptr;
      result = driver.cuGraphAddChildGraphNode(&inner, params.conditional.phGraph_out[i], nullptr, 0,
                                               call.bodies[i]->raw());
    }
    call.device_handle = handle;
    return result;
  });
}

std::shared_ptr<Graph> Capture::take_graph(CUgraph graph) {
  return std::make_shared<Graph>(context_, graph, std::move(nodes_), std::move(index_of_driver_node_));
}

}  // namespace warpbook::cuda
