// The exports of the CUDA device, of NVRTC, nvJitLink and NVML; each is documented in src/native/addon.ts, in the same order.
#pragma once

#include <napi.h>

#include "binding/arguments.h"

namespace warpbook::binding {

Napi::Value cuda_probe(const Arguments& arguments);
Napi::Value cuda_open(const Arguments& arguments);
Napi::Value cuda_close(const Arguments& arguments);
Napi::Value cuda_describe(const Arguments& arguments);
Napi::Value cuda_live_counts(const Arguments& arguments);
Napi::Value cuda_load_program(const Arguments& arguments);
Napi::Value cuda_unload_program(const Arguments& arguments);
Napi::Value cuda_ctas_per_sm(const Arguments& arguments);

Napi::Value cuda_allocate(const Arguments& arguments);
Napi::Value cuda_free(const Arguments& arguments);
Napi::Value cuda_create_staging(const Arguments& arguments);
Napi::Value cuda_destroy_staging(const Arguments& arguments);

Napi::Value cuda_create_stream(const Arguments& arguments);
Napi::Value cuda_destroy_stream(const Arguments& arguments);
Napi::Value cuda_completed(const Arguments& arguments);
Napi::Value cuda_synchronize(const Arguments& arguments);
Napi::Value cuda_create_event(const Arguments& arguments);
Napi::Value cuda_destroy_event(const Arguments& arguments);
Napi::Value cuda_record_event(const Arguments& arguments);
Napi::Value cuda_wait_event(const Arguments& arguments);
Napi::Value cuda_event_time(const Arguments& arguments);

Napi::Value cuda_write(const Arguments& arguments);
Napi::Value cuda_write_from_staging(const Arguments& arguments);
Napi::Value cuda_copy(const Arguments& arguments);
Napi::Value cuda_fill(const Arguments& arguments);
Napi::Value cuda_launch(const Arguments& arguments);
Napi::Value cuda_read(const Arguments& arguments);

Napi::Value cuda_begin_capture(const Arguments& arguments);
Napi::Value cuda_end_capture(const Arguments& arguments);
Napi::Value cuda_abort_capture(const Arguments& arguments);
Napi::Value cuda_destroy_graph(const Arguments& arguments);
Napi::Value cuda_describe_graph(const Arguments& arguments);
Napi::Value cuda_add_child_graph(const Arguments& arguments);
Napi::Value cuda_add_conditional(const Arguments& arguments);
Napi::Value cuda_write_node_handle(const Arguments& arguments);
Napi::Value cuda_write_exec_handle(const Arguments& arguments);
Napi::Value cuda_instantiate(const Arguments& arguments);
Napi::Value cuda_destroy_exec(const Arguments& arguments);
Napi::Value cuda_update_node(const Arguments& arguments);
Napi::Value cuda_update_exec(const Arguments& arguments);
Napi::Value cuda_set_enabled(const Arguments& arguments);
Napi::Value cuda_exec_bytes(const Arguments& arguments);
Napi::Value cuda_upload(const Arguments& arguments);
Napi::Value cuda_replay(const Arguments& arguments);

Napi::Value nvrtc_version(const Arguments& arguments);
Napi::Value nvrtc_compile(const Arguments& arguments);
Napi::Value nvjitlink_version(const Arguments& arguments);
Napi::Value nvjitlink_link(const Arguments& arguments);

Napi::Value nvml_driver_version(const Arguments& arguments);
Napi::Value nvml_read(const Arguments& arguments);

}  // namespace warpbook::binding
