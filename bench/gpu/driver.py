"""The CUDA driver through ctypes: modules, functions, launches with programmatic dependent launch on torch's stream."""
import ctypes

import torch

cuda = ctypes.CDLL("libcuda.so.1")
MAX_DYNAMIC_SHARED = 8
PROGRAMMATIC_STREAM_SERIALIZATION = 6


class LaunchAttribute(ctypes.Structure):
    _fields_ = [("id", ctypes.c_int), ("pad", ctypes.c_int), ("value", ctypes.c_int), ("rest", ctypes.c_byte * 60)]


class LaunchConfig(ctypes.Structure):
    _fields_ = [
        ("grid", ctypes.c_uint * 3), ("block", ctypes.c_uint * 3), ("shared", ctypes.c_uint), ("stream", ctypes.c_void_p),
        ("attributes", ctypes.POINTER(LaunchAttribute)), ("num_attributes", ctypes.c_uint),
    ]


def check(result, what):
    if result:
        name = ctypes.c_char_p()
        cuda.cuGetErrorName(result, ctypes.byref(name))
        raise RuntimeError(f"{what}: {name.value.decode() if name.value else result}")


class Kernel:
    """A function of a cubin, with its launch shape. launch() passes each of `params`, a struct's bytes, by value."""

    def __init__(self, path, name, threads, shared):
        torch.cuda.current_stream()
        torch.zeros(1, device="cuda")
        with open(path, "rb") as file:
            self.image = file.read()
        module, self.function = ctypes.c_void_p(), ctypes.c_void_p()
        check(cuda.cuModuleLoadData(ctypes.byref(module), self.image), f"cuModuleLoadData({path})")
        check(cuda.cuModuleGetFunction(ctypes.byref(self.function), module, name.encode()), f"cuModuleGetFunction({name})")
        if shared > 48 * 1024:
            check(cuda.cuFuncSetAttribute(self.function, MAX_DYNAMIC_SHARED, shared), f"cuFuncSetAttribute({path}, {shared})")
        self.threads, self.shared = threads, shared
        blocks = ctypes.c_int()
        check(cuda.cuOccupancyMaxActiveBlocksPerMultiprocessor(
            ctypes.byref(blocks), self.function, threads, ctypes.c_size_t(shared)), "occupancy")
        self.ctas_per_sm = blocks.value

    def launch(self, grid, *params, pdl=True):
        attribute = LaunchAttribute(PROGRAMMATIC_STREAM_SERIALIZATION, 0, 1)
        config = LaunchConfig(
            (grid, 1, 1), (self.threads, 1, 1), self.shared, torch.cuda.current_stream().cuda_stream,
            ctypes.pointer(attribute), 1 if pdl else 0)
        blocks = [ctypes.create_string_buffer(block, len(block)) for block in params]
        arguments = (ctypes.c_void_p * len(blocks))(*[ctypes.addressof(block) for block in blocks])
        check(cuda.cuLaunchKernelEx(ctypes.byref(config), self.function, arguments, None), "cuLaunchKernelEx")
