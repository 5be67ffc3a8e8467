// Graphs: the DAG that a capture records, and the executable copy that is replayed. Every address and parameter in
// them was resolved when the call was captured.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cpu/handle_table.h"
#include "cpu/work.h"

namespace warpbook::cpu {

struct GraphNode {
  std::shared_ptr<const Work> work;
  // Indices of earlier nodes, ascending, without duplicates.
  std::vector<int> dependencies;
};

// Nodes in the order of capture, which is a topological one.
struct Graph {
  std::vector<GraphNode> nodes;
};

struct ExecNode {
  std::shared_ptr<const Work> work;
  // A disabled node does nothing.
  bool enabled = true;
};

// What a replay runs. Shared with the replays that are enqueued: an update makes a new list.
using ExecNodes = std::vector<ExecNode>;

struct GraphExec {
  std::shared_ptr<const ExecNodes> nodes;
};

// A capture in progress: the graph so far, and for each stream that takes part the nodes its next one depends on.
class Capture {
 public:
  explicit Capture(Handle origin) : origin_(origin) { frontier_[origin]; }

  Handle origin() const { return origin_; }
  // Ended or aborted: its events are good for nothing until they are recorded again.
  bool ended() const { return ended_; }
  void end() { ended_ = true; }
  const std::vector<int>& frontier(Handle stream) const { return frontier_.at(stream); }

  void add(Handle stream, Work work);
  // The stream takes part from here on and its next node comes after `nodes` as well.
  void join(Handle stream, const std::vector<int>& nodes);
  // A stream whose work the origin does not wait for, or nullptr.
  const Handle* unjoined() const;
  Graph take_graph() { return std::move(graph_); }

 private:
  Handle origin_;
  bool ended_ = false;
  Graph graph_;
  std::unordered_map<Handle, std::vector<int>> frontier_;
};

}  // namespace warpbook::cpu
