// The export that runs a program at once, on the caller's thread and over the caller's memory: no device, no stream.
#include <stdexcept>
#include <string>

#include "binding/cpu_exports.h"
#include "binding/cpu_launch_arguments.h"
#include "cpu/serial.h"
#include "cpu/work.h"

namespace warpbook::binding {

Napi::Value cpu_run_program(const Arguments& arguments) {
  const cpu::Program& program = program_argument(arguments, 0);
  const Bytes bytes = arguments.bytes(1, "params");
  if (bytes.size != program.params_bytes) {
    throw cpu::Misuse("cpu_run_program: got " + std::to_string(bytes.size) + " parameter bytes for program '" +
                      program.name + "'; wanted " + std::to_string(program.params_bytes));
  }
  const Integers offsets = arguments.integers(2, "offsets");
  const Napi::Value list = arguments.value(3);
  if (!list.IsArray() || list.As<Napi::Array>().Length() != offsets.size) {
    arguments.refuse(3, "memory", "an array of typed arrays, one for each offset");
  }
  cpu::Params params(bytes.data, bytes.size);
  for (size_t i = 0; i < offsets.size; ++i) {
    const Napi::Value memory = list.As<Napi::Array>().Get(static_cast<uint32_t>(i));
    void* data = nullptr;
    if (!memory.IsTypedArray() || napi_get_typedarray_info(arguments.env(), memory, nullptr, nullptr, &data, nullptr,
                                                           nullptr) != napi_ok) {
      arguments.refuse(3, "memory", "an array of typed arrays, one for each offset");
    }
    params.set_address(static_cast<size_t>(offsets.data[i]), data);
  }
  cpu::run_serially(program, params);
  return arguments.env().Undefined();
}

}  // namespace warpbook::binding
