#include "cpu/graph.h"

#include <algorithm>
#include <utility>

namespace warpbook::cpu {

void Capture::add(Handle stream, Work work) {
  std::vector<int>& frontier = frontier_.at(stream);
  const int index = static_cast<int>(graph_.nodes.size());
  graph_.nodes.push_back({std::make_shared<const Work>(std::move(work)), frontier});
  frontier.assign(1, index);
}

void Capture::join(Handle stream, const std::vector<int>& nodes) {
  std::vector<int>& frontier = frontier_[stream];
  frontier.insert(frontier.end(), nodes.begin(), nodes.end());
  std::sort(frontier.begin(), frontier.end());
  frontier.erase(std::unique(frontier.begin(), frontier.end()), frontier.end());
}

const Handle* Capture::unjoined() const {
  std::vector<bool> reached(graph_.nodes.size(), false);
  for (int index : frontier_.at(origin_)) reached[index] = true;
  for (int index = static_cast<int>(graph_.nodes.size()) - 1; index >= 0; --index) {
    if (!reached[index]) continue;
    for (int dependency : graph_.nodes[index].dependencies) reached[dependency] = true;
  }
  for (const auto& [stream, frontier] : frontier_) {
    if (!std::all_of(frontier.begin(), frontier.end(), [&](int index) { return reached[index]; })) return &stream;
  }
  return nullptr;
}

}  // namespace warpbook::cpu
