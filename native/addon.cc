// The addon's export list, in the order of src/native/addon.ts; a test fails where the two differ.
#include <napi.h>

#include <exception>
#include <new>
#include <string>

#include "binding/addon_data.h"
#include "binding/arguments.h"
#include "binding/cpu_exports.h"
#include "binding/cuda_exports.h"
#include "binding/error.h"
#include "cpu/misuse.h"

namespace warpbook::binding {

namespace {

Napi::Value set_error_class(const Arguments& arguments) {
  if (!arguments.value(0).IsFunction()) arguments.refuse(0, "error class", "the class WarpbookError");
  AddonData::of(arguments.env()).error_class = Napi::Persistent(arguments.value(0).As<Napi::Function>());
  return arguments.env().Undefined();
}

const Export kExports[] = {
    {"set_error_class", 1, set_error_class},
    {"cpu_instruction_set", 0, cpu_instruction_set},
    {"cpu_program_names", 0, cpu_program_names},
    {"cpu_run_program", 4, cpu_run_program},
    {"cpu_open", 1, cpu_open},
    {"cpu_close", 1, cpu_close},
    {"cpu_live_counts", 1, cpu_live_counts},
    {"cpu_allocate", 3, cpu_allocate},
    {"cpu_free", 2, cpu_free},
    {"cpu_create_staging", 3, cpu_create_staging},
    {"cpu_destroy_staging", 3, cpu_destroy_staging},
    {"cpu_create_stream", 2, cpu_create_stream},
    {"cpu_destroy_stream", 2, cpu_destroy_stream},
    {"cpu_completed", 2, cpu_completed},
    {"cpu_synchronize", 2, cpu_synchronize},
    {"cpu_create_event", 2, cpu_create_event},
    {"cpu_destroy_event", 2, cpu_destroy_event},
    {"cpu_record_event", 3, cpu_record_event},
    {"cpu_wait_event", 3, cpu_wait_event},
    {"cpu_event_time", 2, cpu_event_time},
    {"cpu_write", 5, cpu_write},
    {"cpu_write_from_staging", 7, cpu_write_from_staging},
    {"cpu_copy", 7, cpu_copy},
    {"cpu_fill", 6, cpu_fill},
    {"cpu_launch", 9, cpu_launch},
    {"cpu_read", 5, cpu_read},
    {"cpu_begin_capture", 2, cpu_begin_capture},
    {"cpu_end_capture", 3, cpu_end_capture},
    {"cpu_abort_capture", 2, cpu_abort_capture},
    {"cpu_destroy_graph", 2, cpu_destroy_graph},
    {"cpu_describe_graph", 2, cpu_describe_graph},
    {"cpu_add_child_graph", 3, cpu_add_child_graph},
    {"cpu_instantiate", 3, cpu_instantiate},
    {"cpu_destroy_exec", 2, cpu_destroy_exec},
    {"cpu_update_node", 10, cpu_update_node},
    {"cpu_update_exec", 3, cpu_update_exec},
    {"cpu_set_enabled", 4, cpu_set_enabled},
    {"cpu_exec_bytes", 2, cpu_exec_bytes},
    {"cpu_upload", 3, cpu_upload},
    {"cpu_replay", 3, cpu_replay},
    {"cuda_probe", 0, cuda_probe},
    {"cuda_open", 1, cuda_open},
    {"cuda_close", 1, cuda_close},
    {"cuda_describe", 1, cuda_describe},
    {"cuda_live_counts", 1, cuda_live_counts},
    {"cuda_load_program", 13, cuda_load_program},
    {"cuda_unload_program", 2, cuda_unload_program},
    {"cuda_ctas_per_sm", 3, cuda_ctas_per_sm},
    {"cuda_allocate", 3, cuda_allocate},
    {"cuda_free", 2, cuda_free},
    {"cuda_create_staging", 3, cuda_create_staging},
    {"cuda_destroy_staging", 3, cuda_destroy_staging},
    {"cuda_create_stream", 2, cuda_create_stream},
    {"cuda_destroy_stream", 2, cuda_destroy_stream},
    {"cuda_completed", 2, cuda_completed},
    {"cuda_synchronize", 2, cuda_synchronize},
    {"cuda_create_event", 2, cuda_create_event},
    {"cuda_destroy_event", 2, cuda_destroy_event},
    {"cuda_record_event", 3, cuda_record_event},
    {"cuda_wait_event", 3, cuda_wait_event},
    {"cuda_event_time", 2, cuda_event_time},
    {"cuda_write", 5, cuda_write},
    {"cuda_write_from_staging", 7, cuda_write_from_staging},
    {"cuda_copy", 7, cuda_copy},
    {"cuda_fill", 6, cuda_fill},
    {"cuda_launch", 10, cuda_launch},
    {"cuda_read", 5, cuda_read},
    {"cuda_begin_capture", 2, cuda_begin_capture},
    {"cuda_end_capture", 3, cuda_end_capture},
    {"cuda_abort_capture", 2, cuda_abort_capture},
    {"cuda_destroy_graph", 2, cuda_destroy_graph},
    {"cuda_describe_graph", 2, cuda_describe_graph},
    {"cuda_add_child_graph", 3, cuda_add_child_graph},
    {"cuda_add_conditional", 5, cuda_add_conditional},
    {"cuda_write_node_handle", 6, cuda_write_node_handle},
    {"cuda_write_exec_handle", 5, cuda_write_exec_handle},
    {"cuda_instantiate", 4, cuda_instantiate},
    {"cuda_destroy_exec", 2, cuda_destroy_exec},
    {"cuda_update_node", 11, cuda_update_node},
    {"cuda_update_exec", 3, cuda_update_exec},
    {"cuda_set_enabled", 4, cuda_set_enabled},
    {"cuda_exec_bytes", 2, cuda_exec_bytes},
    {"cuda_upload", 3, cuda_upload},
    {"cuda_replay", 3, cuda_replay},
    {"nvrtc_version", 1, nvrtc_version},
    {"nvrtc_compile", 5, nvrtc_compile},
    {"nvjitlink_version", 1, nvjitlink_version},
    {"nvjitlink_link", 5, nvjitlink_link},
    {"nvml_driver_version", 1, nvml_driver_version},
    {"nvml_read", 2, nvml_read},
};

// Every call from JavaScript comes through here: no C++ exception leaves, each becomes a WarpbookError.
Napi::Value dispatch(const Napi::CallbackInfo& info) {
  const auto& target = *static_cast<const Export*>(info.Data());
  const Napi::Env env = info.Env();
  std::string code = "NATIVE";
  std::string message;
  try {
    const Arguments arguments(info, target.name);
    if (arguments.count() != target.num_arguments) {
      throw cpu::Misuse(std::string(target.name) + ": got " + std::to_string(arguments.count()) +
                        " arguments; wanted " + std::to_string(target.num_arguments));
    }
    return target.run(arguments);
  } catch (const cpu::Misuse& misuse) {
    code = misuse.code;
    message = misuse.what();
  } catch (const std::bad_alloc&) {
    code = "OUT_OF_MEMORY";
    message = std::string(target.name) + ": the host has no memory left";
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& error) {
    message = std::string(target.name) + ": " + error.what();
  }
  throw Napi::Error(env, make_error(env, code, message));
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  AddonData::create(env);
  for (const Export& entry : kExports) {
    exports.Set(entry.name, Napi::Function::New<dispatch>(env, entry.name, const_cast<Export*>(&entry)));
  }
  return exports;
}

NODE_API_MODULE(warpbook, initialize)

}  // namespace

}  // namespace warpbook::binding
