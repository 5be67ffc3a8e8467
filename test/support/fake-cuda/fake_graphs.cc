// Captures and graphs of the fake driver.
#include <algorithm>
#include <cstring>

#include "fake_objects.h"

using namespace fake;

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
CUresult cuStreamGetCaptureInfo_v3(CUstream stream, int* status, uint64_t* id, CUgraph* graph,
                                   const CUgraphNode** nodes, const CUgraphEdgeData** edges, size_t* num_nodes) {
  *edges = nullptr;
  return cuStreamGetCaptureInfo_v2(stream, status, id, graph, nodes, num_nodes);
}
CUresult cuStreamUpdateCaptureDependencies(CUstream stream, CUgraphNode* nodes, size_t num_nodes, unsigned) {
  stream->frontier.assign(nodes, nodes + num_nodes);
  return CUDA_SUCCESS;
}
CUresult cuGraphAddEmptyNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count) {
  graph->nodes.push_back(std::make_unique<CUgraphNode_st>());
  *node = graph->nodes.back().get();
  (*node)->work = [] {};
  for (size_t i = 0; i < count; ++i) graph->edges.emplace_back(dependencies[i], *node);
  return CUDA_SUCCESS;
}
CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode* nodes, size_t* count) {
  if (nodes != nullptr) {
    for (size_t i = 0; i < std::min(*count, graph->nodes.size()); ++i) nodes[i] = graph->nodes[i].get();
  }
  *count = graph->nodes.size();
  return CUDA_SUCCESS;
}
CUresult cuGraphGetEdges_v2(CUgraph graph, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData*, size_t* count) {
  if (from != nullptr) {
    for (size_t i = 0; i < std::min(*count, graph->edges.size()); ++i) {
      from[i] = graph->edges[i].first;
      to[i] = graph->edges[i].second;
    }
  }
  *count = graph->edges.size();
  return CUDA_SUCCESS;
}
CUresult cuGraphGetEdges(CUgraph graph, CUgraphNode* from, CUgraphNode* to, size_t* count) {
  return cuGraphGetEdges_v2(graph, from, to, nullptr, count);
}
CUresult cuGraphDestroy(CUgraph graph) {
  delete graph;
  return CUDA_SUCCESS;
}
CUresult cuGraphInstantiateWithFlags(CUgraphExec* exec, CUgraph graph, unsigned long long) {
  FAKE_ENTER;
  auto made = std::make_unique<CUgraphExec_st>();
  for (const auto& node : graph->nodes) {
    made->order.push_back(node.get());
    made->work[node.get()] = node->work;
    made->functions[node.get()] = node->function;
  }
  *exec = made.release();
  return CUDA_SUCCESS;
}
CUresult cuGraphUpload(CUgraphExec, CUstream) { return CUDA_SUCCESS; }
CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream) {
  FAKE_ENTER;
  std::vector<std::function<void()>> work;
  for (CUgraphNode node : exec->order) work.push_back(exec->work[node]);
  stream->push([work] {
    for (const auto& step : work) step();
  });
  return CUDA_SUCCESS;
}
CUresult cuGraphExecDestroy(CUgraphExec exec) {
  delete exec;
  return CUDA_SUCCESS;
}

}  // extern "C"
