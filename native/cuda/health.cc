#include "cuda/health.h"

#include "cpu/misuse.h"

namespace warpbook::cuda {

namespace {

struct Advice {
  const char* code;
  const char* remedy;
};

// For errors that leave the device usable.
Advice advice(CUresult result) {
  switch (result) {
    case CUDA_ERROR_OUT_OF_MEMORY:
      return {"OUT_OF_MEMORY", "Dispose buffers, or make the capacity smaller."};
    case CUDA_ERROR_NO_BINARY_FOR_GPU:
      return {"UNSUPPORTED", "The program was compiled for another architecture; compile it for this GPU's."};
    case CUDA_ERROR_INVALID_PTX:
    case CUDA_ERROR_UNSUPPORTED_PTX_VERSION:
      return {"UNSUPPORTED", "The program was compiled by a newer CUDA than the driver knows; update the driver, or "
                             "compile with an NVRTC of the driver's version."};
    case CUDA_ERROR_NOT_FOUND:
      return {"UNSUPPORTED", "Check the kernel's name; it has to be extern \"C\"."};
    case CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES:
      return {"UNSUPPORTED", "The kernel needs more registers or shared memory than the GPU has for so many threads; "
                             "use fewer threads."};
    case CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE:
      return {"INVALID_ARGUMENT", "A cooperative grid must fit on the GPU at once; launch fewer CTAs."};
    default:
      if (result >= CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED && result < CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED + 9) {
        return {"CAPTURE_INVALID", "The driver does not allow this in a capture; capture again without it."};
      }
      return {"NATIVE", "This call's arguments were refused; earlier work is not affected."};
  }
}

}  // namespace

std::string describe_error(const Driver& driver, CUresult result) {
  const char* name = nullptr;
  const char* text = nullptr;
  driver.cuGetErrorName(result, &name);
  driver.cuGetErrorString(result, &text);
  return std::string(name != nullptr ? name : "an unknown error") + " (" + std::to_string(result) + ")" +
         (text != nullptr ? std::string(", ") + text : "");
}

bool is_sticky(CUresult result) {
  switch (result) {
    case CUDA_ERROR_DEINITIALIZED:
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_NVLINK_UNCORRECTABLE:
    case CUDA_ERROR_CONTAINED:
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_CONTEXT_IS_DESTROYED:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED:
    case CUDA_ERROR_TENSOR_MEMORY_LEAK:
    case CUDA_ERROR_UNKNOWN:
      return true;
    default:
      return false;
  }
}

bool Health::check(CUresult result, const char* call, const std::string& doing) {
  if (result == CUDA_SUCCESS) return true;
  if (is_sticky(result)) {
    fail(result, call, doing);
    return false;
  }
  const Advice& advised = advice(result);
  throw cpu::Misuse(std::string(call) + " failed with " + describe_error(driver_, result) + ", while " + doing + ". " +
                        advised.remedy,
                    advised.code);
}

void Health::fail(CUresult result, const char* call, const std::string& doing) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (failed_) return;
  message_ = "The CUDA device failed: " + std::string(call) + " answered " + describe_error(driver_, result) +
             ", while " + doing + ". Everything enqueued after that is lost, the device's memory can't be trusted, and "
             "no CUDA device of this process works any more: restart the kernel. Values on the host are unharmed, and "
             "so is the CPU device.";
  failed_ = true;
}

std::string Health::message() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return failed_ ? message_ : "The CUDA device was torn down before this was done; wait for it before disposing it.";
}

}  // namespace warpbook::cuda
