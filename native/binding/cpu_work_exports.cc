// Exports that enqueue work on the CPU device and that capture and replay graphs.
#include <string>
#include <utility>

#include "binding/cpu_exports.h"
#include "binding/cpu_launch_arguments.h"
#include "binding/device_promises.h"

namespace warpbook::binding {

namespace {

Napi::Array describe_nodes(Napi::Env env, const std::vector<cpu::GraphNode>& nodes);

Napi::Object describe_node(Napi::Env env, const cpu::GraphNode& node) {
  Napi::Object object = Napi::Object::New(env);
  const auto name = [&](const char* kind, const char* label) {
    object.Set("kind", kind);
    object.Set("label", label);
  };
  if (const auto* launch = std::get_if<cpu::LaunchWork>(node.work.get())) {
    name("kernel", launch->program->name);
    Napi::Array grid = Napi::Array::New(env, 3);
    for (uint32_t axis = 0; axis < 3; ++axis) grid.Set(axis, launch->grid[axis]);
    object.Set("grid", grid);
  } else if (const auto* copy = std::get_if<cpu::CopyWork>(node.work.get())) {
    name("copy", "copy");
    object.Set("byte_length", static_cast<double>(copy->num_bytes));
  } else if (const auto* fill = std::get_if<cpu::FillWork>(node.work.get())) {
    name("fill", "fill");
    object.Set("byte_length", static_cast<double>(fill->num_bytes));
  } else {
    name("graph", "graph");
    object.Set("nodes", describe_nodes(env, std::get<cpu::ChildGraphWork>(*node.work).graph->nodes));
  }
  Napi::Array dependencies = Napi::Array::New(env, node.dependencies.size());
  for (size_t i = 0; i < node.dependencies.size(); ++i) {
    dependencies.Set(static_cast<uint32_t>(i), node.dependencies[i]);
  }
  object.Set("dependencies", dependencies);
  return object;
}

Napi::Array describe_nodes(Napi::Env env, const std::vector<cpu::GraphNode>& nodes) {
  Napi::Array list = Napi::Array::New(env, nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) list.Set(static_cast<uint32_t>(i), describe_node(env, nodes[i]));
  return list;
}

}  // namespace

Napi::Value cpu_write(const Arguments& arguments) {
  const Bytes bytes = arguments.bytes(4, "bytes");
  arguments.device(0).write(arguments.handle(1, "stream"), arguments.handle(2, "buffer"),
                            arguments.size(3, "byte offset"), bytes.data, bytes.size);
  return arguments.env().Undefined();
}

Napi::Value cpu_write_from_staging(const Arguments& arguments) {
  arguments.device(0).write_from_staging(arguments.handle(1, "stream"), arguments.handle(2, "buffer"),
                                         arguments.size(3, "byte offset"), arguments.handle(4, "staging"),
                                         arguments.size(5, "staging offset"), arguments.size(6, "byte length"));
  return arguments.env().Undefined();
}

Napi::Value cpu_copy(const Arguments& arguments) {
  arguments.device(0).copy(arguments.handle(1, "stream"), arguments.handle(2, "target"),
                           arguments.size(3, "target offset"), arguments.handle(4, "source"),
                           arguments.size(5, "source offset"), arguments.size(6, "byte length"));
  return arguments.env().Undefined();
}

Napi::Value cpu_fill(const Arguments& arguments) {
  const Bytes pattern = arguments.bytes(5, "pattern");
  arguments.device(0).fill(arguments.handle(1, "stream"), arguments.handle(2, "buffer"),
                           arguments.size(3, "byte offset"), arguments.size(4, "byte length"), pattern.data,
                           pattern.size);
  return arguments.env().Undefined();
}

Napi::Value cpu_launch(const Arguments& arguments) {
  arguments.device(0).launch(arguments.handle(1, "stream"), launch_arguments(arguments, 2));
  return arguments.env().Undefined();
}

Napi::Value cpu_read(const Arguments& arguments) {
  cpu::Device& device = arguments.device(0);
  const cpu::Handle stream = arguments.handle(1, "stream");
  const cpu::Handle buffer = arguments.handle(2, "buffer");
  const size_t byte_offset = arguments.size(3, "byte offset");
  const size_t num_bytes = arguments.size(4, "byte length");
  device.require_eager(stream, "read");
  device.require_range(buffer, byte_offset, num_bytes);

  auto [promise, done] = bytes_promise(arguments.env());
  device.read(stream, buffer, byte_offset, num_bytes, std::move(done));
  return promise;
}

Napi::Value cpu_begin_capture(const Arguments& arguments) {
  arguments.device(0).begin_capture(arguments.handle(1, "stream"));
  return arguments.env().Undefined();
}

Napi::Value cpu_end_capture(const Arguments& arguments) {
  arguments.device(0).end_capture(arguments.handle(1, "stream"), arguments.handle(2, "graph"));
  return arguments.env().Undefined();
}

Napi::Value cpu_abort_capture(const Arguments& arguments) {
  arguments.device(0).abort_capture(arguments.handle(1, "stream"));
  return arguments.env().Undefined();
}

Napi::Value cpu_destroy_graph(const Arguments& arguments) {
  arguments.device(0).destroy_graph(arguments.handle(1, "graph"));
  return arguments.env().Undefined();
}

Napi::Value cpu_describe_graph(const Arguments& arguments) {
  return describe_nodes(arguments.env(), arguments.device(0).graph(arguments.handle(1, "graph")).nodes);
}

Napi::Value cpu_add_child_graph(const Arguments& arguments) {
  arguments.device(0).add_child_graph(arguments.handle(1, "stream"), arguments.handle(2, "graph"));
  return arguments.env().Undefined();
}

Napi::Value cpu_instantiate(const Arguments& arguments) {
  arguments.device(0).instantiate(arguments.handle(1, "graph"), arguments.handle(2, "exec"));
  return arguments.env().Undefined();
}

Napi::Value cpu_destroy_exec(const Arguments& arguments) {
  arguments.device(0).destroy_exec(arguments.handle(1, "exec"));
  return arguments.env().Undefined();
}

Napi::Value cpu_update_node(const Arguments& arguments) {
  const auto node_index = static_cast<int>(arguments.integer(2, "node index", 0, std::numeric_limits<int>::max()));
  arguments.device(0).update_node(arguments.handle(1, "exec"), node_index, launch_arguments(arguments, 3));
  return arguments.env().Undefined();
}

Napi::Value cpu_update_exec(const Arguments& arguments) {
  return Napi::String::New(arguments.env(), arguments.device(0).update_exec(arguments.handle(1, "exec"),
                                                                            arguments.handle(2, "graph")));
}

Napi::Value cpu_set_enabled(const Arguments& arguments) {
  const auto node_index = static_cast<int>(arguments.integer(2, "node index", 0, std::numeric_limits<int>::max()));
  arguments.device(0).set_enabled(arguments.handle(1, "exec"), node_index, arguments.boolean(3, "enabled"));
  return arguments.env().Undefined();
}

Napi::Value cpu_exec_bytes(const Arguments& arguments) {
  const int64_t bytes = arguments.device(0).exec_bytes(arguments.handle(1, "exec"));
  return Napi::Number::New(arguments.env(), static_cast<double>(bytes));
}

Napi::Value cpu_upload(const Arguments& arguments) {
  arguments.device(0).upload(arguments.handle(1, "exec"), arguments.handle(2, "stream"));
  return arguments.env().Undefined();
}

Napi::Value cpu_replay(const Arguments& arguments) {
  arguments.device(0).replay(arguments.handle(1, "exec"), arguments.handle(2, "stream"));
  return arguments.env().Undefined();
}

}  // namespace warpbook::binding
