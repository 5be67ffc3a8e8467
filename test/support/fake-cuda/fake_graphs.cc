// Captures and graphs of the fake driver.
#include <algorithm>
#include <cstring>

#include "fake_objects.h"

using namespace fake;

CUgraphNode_st::CUgraphNode_st() = default;
CUgraphNode_st::~CUgraphNode_st() = default;

namespace {

// What the driver tells apart: a launch, a child graph, anything else.
int kind_of(const CUgraphNode_st& node) {
  return node.function != nullptr ? 0 : node.child ? 1 : node.conditional ? 2 : 3;
}

// All of a graph's work as that of one node, with a copy of everything.
std::function<void()> flatten(const CUgraph_st& graph) {
  std::vector<std::function<void()>> steps;
  for (const auto& node : graph.nodes) steps.push_back(node->work);
  return [steps] {
    for (const auto& step : steps) step();
  };
}

CUgraphNode add_node(CUgraph graph, const CUgraphNode* dependencies, size_t count) {
  graph->nodes.push_back(std::make_unique<CUgraphNode_st>());
  CUgraphNode node = graph->nodes.back().get();
  for (size_t i = 0; i < count; ++i) graph->edges.emplace_back(dependencies[i], node);
  return node;
}

}  // namespace

std::function<void()> CUgraphExec_st::all() {
  std::vector<std::function<void()>> steps;
  for (CUgraphNode node : order) {
    if (disabled.count(node) == 0) steps.push_back(work[node]);
  }
  const auto values = conditionals;
  return [steps, values] {
    for (const auto& value : values) value->value = value->default_value;
    for (const auto& step : steps) step();
  };
}

extern "C" {

CUresult cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode) {
  FAKE_ENTER;
  if (stream->capture) return CUDA_ERROR_INVALID_VALUE;
  stream->capture = std::make_shared<fake::Capture>();
  stream->capture->origin = stream;
  stream->capture->streams.insert(stream);
  stream->frontier.clear();
  return CUDA_SUCCESS;
}
CUresult cuStreamEndCapture(CUstream stream, CUgraph* graph) {
  const std::shared_ptr<fake::Capture> capture = stream->capture;
  *graph = nullptr;
  if (!capture || capture->origin != stream) return CUDA_ERROR_INVALID_VALUE;
  // Everything without a successor must be what the origin's next node would depend on.
  std::set<CUgraphNode> leaves;
  for (const auto& node : capture->graph->nodes) leaves.insert(node.get());
  for (const auto& edge : capture->graph->edges) leaves.erase(edge.first);
  for (CUgraphNode node : stream->frontier) leaves.erase(node);
  for (CUstream taking_part : capture->streams) {
    taking_part->capture = nullptr;
    taking_part->frontier.clear();
  }
  if (!leaves.empty()) {
    delete capture->graph;
    return CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
  }
  *graph = capture->graph;
  return CUDA_SUCCESS;
}
CUresult cuStreamGetCaptureInfo_v2(CUstream stream, int* status, uint64_t* id, CUgraph* graph,
                                   const CUgraphNode** nodes, size_t* num_nodes) {
  *status = stream->capture ? 1 : 0;
  *id = 1;
  *graph = stream->capture ? stream->capture->graph : nullptr;
  *nodes = stream->frontier.data();
  *num_nodes = stream->frontier.size();
  return CUDA_SUCCESS;
}
#ifndef FAKE_CUDA_12_0
CUresult cuStreamGetCaptureInfo_v3(CUstream stream, int* status, uint64_t* id, CUgraph* graph,
                                   const CUgraphNode** nodes, const CUgraphEdgeData** edges, size_t* num_nodes) {
  *edges = nullptr;
  return cuStreamGetCaptureInfo_v2(stream, status, id, graph, nodes, num_nodes);
}
#endif
CUresult cuStreamUpdateCaptureDependencies(CUstream stream, CUgraphNode* nodes, size_t num_nodes, unsigned) {
  stream->frontier.assign(nodes, nodes + num_nodes);
  return CUDA_SUCCESS;
}
CUresult cuGraphAddEmptyNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count) {
  *node = add_node(graph, dependencies, count);
  (*node)->work = [] {};
  return CUDA_SUCCESS;
}
CUresult cuGraphAddChildGraphNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count,
                                  CUgraph child) {
  FAKE_ENTER;
  *node = add_node(graph, dependencies, count);
  (*node)->work = flatten(*child);
  (*node)->child = std::make_unique<CUgraph_st>();
  graph->conditionals.insert(graph->conditionals.end(), child->conditionals.begin(), child->conditionals.end());
  return CUDA_SUCCESS;
}
#ifndef FAKE_CUDA_12_0
CUresult cuGraphConditionalHandleCreate(CUgraphConditionalHandle* handle, CUgraph graph, CUcontext, unsigned value,
                                        unsigned flags) {
  FAKE_ENTER;
  if (flags != CU_GRAPH_COND_ASSIGN_DEFAULT) return CUDA_ERROR_INVALID_VALUE;
  auto made = std::make_shared<fake::Conditional>();
  made->default_value = value;
  graph->conditionals.push_back(made);
  *handle = reinterpret_cast<CUgraphConditionalHandle>(made.get());
  return CUDA_SUCCESS;
}
CUresult cuGraphAddNode_v2(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, const CUgraphEdgeData*,
                           size_t count, CUgraphNodeParams* params) {
  FAKE_ENTER;
  if (params->type != CU_GRAPH_NODE_TYPE_CONDITIONAL || params->conditional.size == 0) return CUDA_ERROR_INVALID_VALUE;
  *node = add_node(graph, dependencies, count);
  (*node)->conditional = true;
  for (unsigned i = 0; i < params->conditional.size; ++i) {
    graph->bodies.push_back(std::make_unique<CUgraph_st>());
    (*node)->bodies.push_back(graph->bodies.back().get());
  }
  params->conditional.phGraph_out = (*node)->bodies.data();
  // Bodies are filled before the graph is instantiated: what is read here is what they have then.
  const auto type = params->conditional.type;
  auto* value = reinterpret_cast<fake::Conditional*>(params->conditional.handle);
  const std::vector<CUgraph> bodies = (*node)->bodies;
  (*node)->work = [type, value, bodies] {
    const auto run = [&](size_t body) {
      for (const auto& inner : bodies[body]->nodes) inner->work();
    };
    if (type == CU_GRAPH_COND_TYPE_WHILE) {
      while (value->value != 0) run(0);
    } else if (type == CU_GRAPH_COND_TYPE_SWITCH) {
      if (value->value < bodies.size()) run(value->value);
    } else if (value->value != 0 || bodies.size() > 1) {
      run(value->value != 0 ? 0 : 1);
    }
  };
  return CUDA_SUCCESS;
}
#endif
CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode* nodes, size_t* count) {
  if (nodes != nullptr) {
    for (size_t i = 0; i < std::min(*count, graph->nodes.size()); ++i) nodes[i] = graph->nodes[i].get();
  }
  *count = graph->nodes.size();
  return CUDA_SUCCESS;
}
CUresult cuGraphGetEdges(CUgraph graph, CUgraphNode* from, CUgraphNode* to, size_t* count) {
  if (from != nullptr) {
    for (size_t i = 0; i < std::min(*count, graph->edges.size()); ++i) {
      from[i] = graph->edges[i].first;
      to[i] = graph->edges[i].second;
    }
  }
  *count = graph->edges.size();
  return CUDA_SUCCESS;
}
#ifndef FAKE_CUDA_12_0
CUresult cuGraphGetEdges_v2(CUgraph graph, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData*, size_t* count) {
  return cuGraphGetEdges(graph, from, to, count);
}
#endif
CUresult cuGraphDestroy(CUgraph graph) {
  delete graph;
  return CUDA_SUCCESS;
}
CUresult cuGraphInstantiateWithFlags(CUgraphExec* exec, CUgraph graph, unsigned long long flags) {
  FAKE_ENTER;
  const bool updatable =
      std::any_of(graph->nodes.begin(), graph->nodes.end(), [](const auto& node) { return node->updatable != nullptr; });
  if (updatable && graph->num_execs++ > 0) return CUDA_ERROR_INVALID_VALUE;
  // As CUDA: no conditional node in what the device launches.
  if (flags == CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH && !graph->conditionals.empty()) return CUDA_ERROR_INVALID_VALUE;
  auto made = std::make_unique<CUgraphExec_st>();
  for (const auto& node : graph->nodes) {
    made->order.push_back(node.get());
    made->work[node.get()] = node->work;
    made->functions[node.get()] = node->function;
    made->flags[node.get()] = node->flags;
  }
  made->edges = graph->edges;
  made->conditionals = graph->conditionals;
  made->device_launch = flags == CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH;
  *exec = made.release();
  return CUDA_SUCCESS;
}
CUresult cuGraphUpload(CUgraphExec, CUstream stream) {
  FAKE_ENTER;
  stream->push([] {});
  return CUDA_SUCCESS;
}
CUresult cuGraphNodeSetEnabled(CUgraphExec exec, CUgraphNode node, unsigned enabled) {
  FAKE_ENTER;
  if (std::find(exec->order.begin(), exec->order.end(), node) == exec->order.end() || node->child) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (enabled != 0) {
    exec->disabled.erase(node);
  } else {
    exec->disabled.insert(node);
  }
  return CUDA_SUCCESS;
}
// Pairs nodes by their order, and refuses what the driver would: another kind, other attributes.
CUresult cuGraphExecUpdate_v2(CUgraphExec exec, CUgraph graph, CUgraphExecUpdateResultInfo* info) {
  FAKE_ENTER;
  const auto refuse = [&](CUgraphExecUpdateResult result, CUgraphNode node) {
    *info = {result, node, nullptr};
    return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
  };
  if (graph->nodes.size() != exec->order.size() || graph->edges.size() != exec->edges.size()) {
    return refuse(CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED, nullptr);
  }
  for (size_t i = 0; i < exec->order.size(); ++i) {
    CUgraphNode node = graph->nodes[i].get();
    if (kind_of(*node) != kind_of(*exec->order[i])) return refuse(CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED, node);
    if (node->flags != exec->flags[exec->order[i]]) return refuse(CU_GRAPH_EXEC_UPDATE_ERROR_ATTRIBUTES_CHANGED, node);
  }
  for (size_t i = 0; i < exec->order.size(); ++i) {
    exec->work[exec->order[i]] = graph->nodes[i]->work;
    exec->functions[exec->order[i]] = graph->nodes[i]->function;
  }
  exec->disabled.clear();
  *info = {CU_GRAPH_EXEC_UPDATE_SUCCESS, nullptr, nullptr};
  return CUDA_SUCCESS;
}
CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream) {
  FAKE_ENTER;
  stream->push(exec->all());
  return CUDA_SUCCESS;
}
CUresult cuGraphExecDestroy(CUgraphExec exec) {
  delete exec;
  return CUDA_SUCCESS;
}

}  // extern "C"
