// Exports that enqueue work on a CUDA device and that capture and replay graphs.
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "binding/cuda_exports.h"
#include "binding/cta_overrides.h"
#include "binding/device_promises.h"
#include "binding/relocations.h"
#include "cuda/device.h"

namespace warpbook::binding {

namespace {

// program, grid x, grid y, grid z, CTA, params, relocations, number of relocations; starting at argument `first`.
cuda::LaunchArguments launch_arguments(const Arguments& arguments, size_t first) {
  const Bytes params = arguments.bytes(first + 5, "params");
  cuda::LaunchArguments launch;
  launch.program = arguments.handle(first, "program");
  launch.grid = {arguments.uint32(first + 1, "grid x"), arguments.uint32(first + 2, "grid y"),
                 arguments.uint32(first + 3, "grid z")};
  launch.cta = cta_overrides(arguments, first + 4);
  launch.params = params.data;
  launch.num_params_bytes = params.size;
  launch.relocations = relocations(arguments, first + 6);
  return launch;
}

Napi::Array describe_nodes(Napi::Env env, const cuda::Graph& graph, cuda::Health& health);

Napi::Object describe_node(Napi::Env env, const cuda::GraphNode& node, const std::vector<int>& node_dependencies,
                           cuda::Health& health) {
  Napi::Object object = Napi::Object::New(env);
  const auto name = [&](const char* kind, const std::string& label) {
    object.Set("kind", kind);
    object.Set("label", label);
  };
  if (node.kind == cuda::NodeKind::kKernel) {
    name("kernel", *node.program->label());
    Napi::Array grid = Napi::Array::New(env, 3);
    for (uint32_t axis = 0; axis < 3; ++axis) grid.Set(axis, node.grid[axis]);
    object.Set("grid", grid);
  } else if (node.kind == cuda::NodeKind::kGraph) {
    name("graph", "graph");
    object.Set("nodes", describe_nodes(env, *node.child, health));
  } else if (node.kind == cuda::NodeKind::kConditional) {
    const char* labels[] = {"if", "while", "switch"};
    name("conditional", labels[static_cast<int>(node.condition)]);
    Napi::Array bodies = Napi::Array::New(env, node.bodies.size());
    for (uint32_t i = 0; i < node.bodies.size(); ++i) bodies.Set(i, describe_nodes(env, *node.bodies[i], health));
    object.Set("bodies", bodies);
  } else {
    const char* kind = node.kind == cuda::NodeKind::kCopy ? "copy" : "fill";
    name(kind, kind);
    object.Set("byte_length", static_cast<double>(node.num_bytes));
  }
  Napi::Array dependencies = Napi::Array::New(env, node_dependencies.size());
  for (size_t i = 0; i < node_dependencies.size(); ++i) {
    dependencies.Set(static_cast<uint32_t>(i), node_dependencies[i]);
  }
  object.Set("dependencies", dependencies);
  return object;
}

Napi::Array describe_nodes(Napi::Env env, const cuda::Graph& graph, cuda::Health& health) {
  const std::vector<std::vector<int>> dependencies = graph.dependencies(health);
  Napi::Array list = Napi::Array::New(env, graph.nodes().size());
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    list.Set(static_cast<uint32_t>(i), describe_node(env, graph.nodes()[i], dependencies[i], health));
  }
  return list;
}

}  // namespace

Napi::Value cuda_write(const Arguments& arguments) {
  const Bytes bytes = arguments.bytes(4, "bytes");
  arguments.cuda_device(0).write(arguments.handle(1, "stream"), arguments.handle(2, "buffer"),
                                 arguments.size(3, "byte offset"), bytes.data, bytes.size);
  return arguments.env().Undefined();
}

Napi::Value cuda_write_from_staging(const Arguments& arguments) {
  arguments.cuda_device(0).write_from_staging(arguments.handle(1, "stream"), arguments.handle(2, "buffer"),
                                              arguments.size(3, "byte offset"), arguments.handle(4, "staging"),
                                              arguments.size(5, "staging offset"), arguments.size(6, "byte length"));
  return arguments.env().Undefined();
}

Napi::Value cuda_copy(const Arguments& arguments) {
  arguments.cuda_device(0).copy(arguments.handle(1, "stream"), arguments.handle(2, "target"),
                                arguments.size(3, "target offset"), arguments.handle(4, "source"),
                                arguments.size(5, "source offset"), arguments.size(6, "byte length"));
  return arguments.env().Undefined();
}

Napi::Value cuda_fill(const Arguments& arguments) {
  const Bytes pattern = arguments.bytes(5, "pattern");
  arguments.cuda_device(0).fill(arguments.handle(1, "stream"), arguments.handle(2, "buffer"),
                                arguments.size(3, "byte offset"), arguments.size(4, "byte length"), pattern.data,
                                pattern.size);
  return arguments.env().Undefined();
}

Napi::Value cuda_launch(const Arguments& arguments) {
  arguments.cuda_device(0).launch(arguments.handle(1, "stream"), launch_arguments(arguments, 2));
  return arguments.env().Undefined();
}

Napi::Value cuda_read(const Arguments& arguments) {
  cuda::Device& device = arguments.cuda_device(0);
  const cuda::Handle stream = arguments.handle(1, "stream");
  const cuda::Handle buffer = arguments.handle(2, "buffer");
  const size_t byte_offset = arguments.size(3, "byte offset");
  const size_t num_bytes = arguments.size(4, "byte length");
  device.require_eager(stream, "read");
  device.require_range(buffer, byte_offset, num_bytes);
  auto [promise, done] = bytes_promise(arguments.env());
  device.read(stream, buffer, byte_offset, num_bytes, std::move(done));
  return promise;
}

Napi::Value cuda_begin_capture(const Arguments& arguments) {
  arguments.cuda_device(0).begin_capture(arguments.handle(1, "stream"));
  return arguments.env().Undefined();
}

Napi::Value cuda_end_capture(const Arguments& arguments) {
  arguments.cuda_device(0).end_capture(arguments.handle(1, "stream"), arguments.handle(2, "graph"));
  return arguments.env().Undefined();
}

Napi::Value cuda_abort_capture(const Arguments& arguments) {
  arguments.cuda_device(0).abort_capture(arguments.handle(1, "stream"));
  return arguments.env().Undefined();
}

Napi::Value cuda_destroy_graph(const Arguments& arguments) {
  arguments.cuda_device(0).destroy_graph(arguments.handle(1, "graph"));
  return arguments.env().Undefined();
}

Napi::Value cuda_describe_graph(const Arguments& arguments) {
  cuda::Device& device = arguments.cuda_device(0);
  return describe_nodes(arguments.env(), device.graph(arguments.handle(1, "graph")), device.health());
}

Napi::Value cuda_add_child_graph(const Arguments& arguments) {
  arguments.cuda_device(0).add_child_graph(arguments.handle(1, "stream"), arguments.handle(2, "graph"));
  return arguments.env().Undefined();
}

Napi::Value cuda_add_conditional(const Arguments& arguments) {
  const auto kind = static_cast<cuda::ConditionKind>(arguments.integer(2, "kind", 0, 2));
  const Numbers numbers = arguments.numbers(3, "bodies");
  std::vector<cuda::Handle> bodies;
  for (size_t i = 0; i < numbers.size; ++i) bodies.push_back(static_cast<cuda::Handle>(numbers.data[i]));
  arguments.cuda_device(0).add_conditional(arguments.handle(1, "stream"), kind, bodies,
                                           arguments.uint32(4, "default value"));
  return arguments.env().Undefined();
}

Napi::Value cuda_write_node_handle(const Arguments& arguments) {
  const auto node_index = static_cast<int>(arguments.integer(5, "node index", 0, std::numeric_limits<int>::max()));
  arguments.cuda_device(0).write_node_handle(arguments.handle(1, "stream"), arguments.handle(2, "buffer"),
                                             arguments.size(3, "byte offset"), arguments.handle(4, "graph"), node_index);
  return arguments.env().Undefined();
}

Napi::Value cuda_write_exec_handle(const Arguments& arguments) {
  arguments.cuda_device(0).write_exec_handle(arguments.handle(1, "stream"), arguments.handle(2, "buffer"),
                                             arguments.size(3, "byte offset"), arguments.handle(4, "exec"));
  return arguments.env().Undefined();
}

Napi::Value cuda_instantiate(const Arguments& arguments) {
  arguments.cuda_device(0).instantiate(arguments.handle(1, "graph"), arguments.handle(2, "exec"),
                                       arguments.boolean(3, "device launch"));
  return arguments.env().Undefined();
}

Napi::Value cuda_destroy_exec(const Arguments& arguments) {
  arguments.cuda_device(0).destroy_exec(arguments.handle(1, "exec"));
  return arguments.env().Undefined();
}

Napi::Value cuda_update_node(const Arguments& arguments) {
  const auto node_index = static_cast<int>(arguments.integer(2, "node index", 0, std::numeric_limits<int>::max()));
  arguments.cuda_device(0).update_node(arguments.handle(1, "exec"), node_index, launch_arguments(arguments, 3));
  return arguments.env().Undefined();
}

Napi::Value cuda_update_exec(const Arguments& arguments) {
  return Napi::String::New(arguments.env(), arguments.cuda_device(0).update_exec(arguments.handle(1, "exec"),
                                                                                 arguments.handle(2, "graph")));
}

Napi::Value cuda_set_enabled(const Arguments& arguments) {
  const auto node_index = static_cast<int>(arguments.integer(2, "node index", 0, std::numeric_limits<int>::max()));
  arguments.cuda_device(0).set_enabled(arguments.handle(1, "exec"), node_index, arguments.boolean(3, "enabled"));
  return arguments.env().Undefined();
}

Napi::Value cuda_exec_bytes(const Arguments& arguments) {
  const int64_t bytes = arguments.cuda_device(0).exec_bytes(arguments.handle(1, "exec"));
  return Napi::Number::New(arguments.env(), static_cast<double>(bytes));
}

Napi::Value cuda_upload(const Arguments& arguments) {
  arguments.cuda_device(0).upload(arguments.handle(1, "exec"), arguments.handle(2, "stream"));
  return arguments.env().Undefined();
}

Napi::Value cuda_replay(const Arguments& arguments) {
  arguments.cuda_device(0).replay(arguments.handle(1, "exec"), arguments.handle(2, "stream"));
  return arguments.env().Undefined();
}

}  // namespace warpbook::binding
