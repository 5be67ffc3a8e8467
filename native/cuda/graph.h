// Captured graphs. The driver owns nodes and edges; kept here is which of its nodes make up each of the caller's, since
// one call (a fill with a pattern of eight bytes, say) may take several.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "cpu/handle_table.h"
#include "cuda/context.h"
#include "cuda/health.h"
#include "cuda/program.h"

namespace warpbook::cuda {

using cpu::Handle;

class Graph;

enum class NodeKind { kKernel, kCopy, kFill, kGraph, kConditional };

enum class ConditionKind { kIf, kWhile, kSwitch };

// One call that was captured.
struct GraphNode {
  NodeKind kind = NodeKind::kKernel;
  // Kernels only.
  ProgramPtr program;
  std::array<uint32_t, 3> grid{};
  // Copies and fills only.
  size_t num_bytes = 0;
  // Child graphs only: what the driver has made a copy of.
  std::shared_ptr<const Graph> child;
  // Conditional nodes only: which, and the bodies that the driver has made copies of.
  ConditionKind condition = ConditionKind::kIf;
  std::vector<std::shared_ptr<const Graph>> bodies;
  // What kernels know it by: of a conditional node its handle, of a launch that the device may update its node; 0 otherwise.
  uint64_t device_handle = 0;
  // The last of the driver's nodes.
  CUgraphNode driver_node = nullptr;
};

// Nodes in the order of capture, which is a topological one.
class Graph {
 public:
  Graph(ContextPtr context, CUgraph graph, std::vector<GraphNode> nodes,
        std::unordered_map<CUgraphNode, int> index_of_driver_node);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  CUgraph raw() const { return graph_; }
  const std::vector<GraphNode>& nodes() const { return nodes_; }
  // For each node the indices of those that must finish first, ascending, as the driver's edges say.
  std::vector<std::vector<int>> dependencies(Health& health) const;
  // The index of the call that a node of the driver's belongs to; -1 for one that the driver added itself.
  int index_of(CUgraphNode driver_node) const;
  // All of the driver's nodes that belong to a call.
  std::vector<CUgraphNode> driver_nodes(int index) const;

 private:
  ContextPtr context_;
  CUgraph graph_;
  std::vector<GraphNode> nodes_;
  std::unordered_map<CUgraphNode, int> index_of_driver_node_;
};

// The driver wants the graph's nodes for updates, so an exec holds its graph. What the nodes launch may change.
struct GraphExec {
  GraphExec(ContextPtr context, std::shared_ptr<Graph> graph, CUgraphExec exec, int64_t num_bytes);
  ~GraphExec();
  // By index: the program that a node launches now, nullptr for what is no launch.
  void take_programs(const Graph& source);
  GraphExec(const GraphExec&) = delete;
  GraphExec& operator=(const GraphExec&) = delete;

  ContextPtr context;
  std::shared_ptr<Graph> graph;
  CUgraphExec exec;
  std::vector<ProgramPtr> programs;
  // Of child graphs and bodies, whose programs are used as long as the exec is; by index.
  std::vector<std::vector<std::shared_ptr<const Graph>>> children;
  std::vector<bool> enabled;
  // What free memory shrank by when it was made.
  int64_t num_bytes;
};

// A capture in progress.
class Capture {
 public:
  Capture(ContextPtr context, Handle origin) : context_(std::move(context)), origin_(origin) {}

  Handle origin() const { return origin_; }
  bool ended() const { return ended_; }
  void end() { ended_ = true; }

  void add(GraphNode node) { nodes_.push_back(std::move(node)); }
  // The node added last could not be captured.
  void drop_last() { nodes_.pop_back(); }
  // Whether the driver has made no node yet for the one added last.
  bool last_is_empty() const { return nodes_.back().driver_node == nullptr; }
  // After each of the driver's calls for the node added last: takes note of the driver's node. Where it made none (a
  // copy of no bytes), an empty node stands for it. The driver's answer.
  CUresult note(CUstream stream);
  CUresult note_empty(CUstream stream);
  // Adds the node for a graph in the graph. The driver's answer.
  CUresult note_child(CUstream stream, CUgraph child);
  // Adds a conditional node, of the kind and with the bodies of the call added last. The driver's answer.
  CUresult note_conditional(CUstream stream, unsigned default_value);
  // What the device knows the call added last by.
  void set_device_handle(uint64_t handle) { nodes_.back().device_handle = handle; }
  std::shared_ptr<Graph> take_graph(CUgraph graph);

 private:
  // Puts a node behind what the stream has come to: `make(node, graph, dependencies, count)`.
  template <typename Make>
  CUresult append(CUstream stream, const Make& make);
  CUresult frontier(CUstream stream, CUgraph* graph, const CUgraphNode** nodes, size_t* num_nodes) const;

  ContextPtr context_;
  Handle origin_;
  bool ended_ = false;
  std::vector<GraphNode> nodes_;
  std::unordered_map<CUgraphNode, int> index_of_driver_node_;
};

}  // namespace warpbook::cuda
