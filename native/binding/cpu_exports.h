// The exports of the CPU device; each is documented in src/native/addon.ts, in the same order.
#pragma once

#include <napi.h>

#include "binding/arguments.h"

namespace warpbook::binding {

Napi::Value cpu_instruction_set(const Arguments& arguments);
Napi::Value cpu_program_names(const Arguments& arguments);
Napi::Value cpu_run_program(const Arguments& arguments);
Napi::Value cpu_open(const Arguments& arguments);
Napi::Value cpu_close(const Arguments& arguments);
Napi::Value cpu_live_counts(const Arguments& arguments);

Napi::Value cpu_allocate(const Arguments& arguments);
Napi::Value cpu_free(const Arguments& arguments);
Napi::Value cpu_create_staging(const Arguments& arguments);
Napi::Value cpu_destroy_staging(const Arguments& arguments);

Napi::Value cpu_create_stream(const Arguments& arguments);
Napi::Value cpu_destroy_stream(const Arguments& arguments);
Napi::Value cpu_completed(const Arguments& arguments);
Napi::Value cpu_synchronize(const Arguments& arguments);
Napi::Value cpu_create_event(const Arguments& arguments);
Napi::Value cpu_destroy_event(const Arguments& arguments);
Napi::Value cpu_record_event(const Arguments& arguments);
Napi::Value cpu_wait_event(const Arguments& arguments);
Napi::Value cpu_event_time(const Arguments& arguments);

Napi::Value cpu_write(const Arguments& arguments);
Napi::Value cpu_write_from_staging(const Arguments& arguments);
Napi::Value cpu_copy(const Arguments& arguments);
Napi::Value cpu_fill(const Arguments& arguments);
Napi::Value cpu_launch(const Arguments& arguments);
Napi::Value cpu_read(const Arguments& arguments);

Napi::Value cpu_begin_capture(const Arguments& arguments);
Napi::Value cpu_end_capture(const Arguments& arguments);
Napi::Value cpu_abort_capture(const Arguments& arguments);
Napi::Value cpu_destroy_graph(const Arguments& arguments);
Napi::Value cpu_describe_graph(const Arguments& arguments);
Napi::Value cpu_add_child_graph(const Arguments& arguments);
Napi::Value cpu_instantiate(const Arguments& arguments);
Napi::Value cpu_destroy_exec(const Arguments& arguments);
Napi::Value cpu_update_node(const Arguments& arguments);
Napi::Value cpu_update_exec(const Arguments& arguments);
Napi::Value cpu_set_enabled(const Arguments& arguments);
Napi::Value cpu_exec_bytes(const Arguments& arguments);
Napi::Value cpu_upload(const Arguments& arguments);
Napi::Value cpu_replay(const Arguments& arguments);

}  // namespace warpbook::binding
