#!/usr/bin/env python3
"""Which way is quicker for a plan of 30 KB: a copy from pinned memory, or by value to a kernel node of the graph that
follows: plan_by_value.py CUBIN OUT (CUBIN: nvcc -arch=sm_90a -cubin plan_by_value.cu).

Host time of the calls, and time of a step (rewrite the plan, replay a graph that reads it) where steps follow each other.
"""
import ctypes
import json
import statistics
import sys
import time

import torch

from driver import check, cuda

STEPS, ROUNDS = 200, 9
VALUE_BYTES = 30720


class NodeParams(ctypes.Structure):
    _fields_ = [
        ("func", ctypes.c_void_p), ("grid", ctypes.c_uint * 3), ("block", ctypes.c_uint * 3), ("shared", ctypes.c_uint),
        ("params", ctypes.POINTER(ctypes.c_void_p)), ("extra", ctypes.c_void_p), ("kern", ctypes.c_void_p), ("ctx", ctypes.c_void_p),
    ]


def node_params(function, grid, block, arguments):
    array = (ctypes.c_void_p * len(arguments))(*[ctypes.addressof(a) for a in arguments])
    params = NodeParams(function, (grid, 1, 1), (block, 1, 1), 0, array, None, None, None)
    params.keep = (array, arguments)
    return params


def main():
    cubin, out = sys.argv[1:3]
    torch.zeros(1, device="cuda")
    module, write, read = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    with open(cubin, "rb") as file:
        image = file.read()
    check(cuda.cuModuleLoadData(ctypes.byref(module), image), "cuModuleLoadData")
    check(cuda.cuModuleGetFunction(ctypes.byref(write), module, b"write_image"), "write_image")
    check(cuda.cuModuleGetFunction(ctypes.byref(read), module, b"read_image"), "read_image")
    target = torch.zeros(1 << 18, dtype=torch.int32, device="cuda")
    sink = torch.zeros(1, dtype=torch.int32, device="cuda")
    pinned = torch.randint(0, 99, (1 << 18,), dtype=torch.int32).pin_memory()
    stream = torch.cuda.Stream()
    raw = ctypes.c_void_p(stream.cuda_stream)
    target_pointer, sink_pointer = ctypes.c_void_p(target.data_ptr()), ctypes.c_void_p(sink.data_ptr())
    value = ctypes.create_string_buffer(VALUE_BYTES)

    def make_graph(by_value):
        graph, first, node, execs = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
        check(cuda.cuGraphCreate(ctypes.byref(graph), 0), "cuGraphCreate")
        if by_value:
            params = node_params(write, 4, 256, [value, target_pointer])
            check(cuda.cuGraphAddKernelNode_v2(ctypes.byref(first), graph, None, ctypes.c_size_t(0), ctypes.byref(params)), "write node")
        params = node_params(read, 132, 256, [target_pointer, sink_pointer])
        dependencies = (ctypes.c_void_p * 1)(first.value) if by_value else None
        check(cuda.cuGraphAddKernelNode_v2(ctypes.byref(node), graph, dependencies, ctypes.c_size_t(1 if by_value else 0), ctypes.byref(params)), "read node")
        check(cuda.cuGraphInstantiateWithFlags(ctypes.byref(execs), graph, ctypes.c_ulonglong(0)), "instantiate")
        return execs, first

    rows = []

    def measure(what, num_bytes, rewrite, execs):
        host, steps, launches = [], [], []
        for _ in range(ROUNDS):
            torch.cuda.synchronize()
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record(stream)
            for _ in range(STEPS):
                before = time.perf_counter()
                rewrite()
                after = time.perf_counter()
                check(cuda.cuGraphLaunch(execs, raw), "cuGraphLaunch")
                launches.append((time.perf_counter() - after) * 1e6)
                host.append((after - before) * 1e6)
            end.record(stream)
            torch.cuda.synchronize()
            steps.append(start.elapsed_time(end) * 1e3 / STEPS)
        rows.append(dict(what=what, bytes=num_bytes, hostUs=round(statistics.median(host), 2), launchUs=round(statistics.median(launches), 2),
                         stepUs=round(statistics.median(steps), 2), spreadPct=round((max(steps) - min(steps)) / statistics.median(steps) * 100, 1)))
        print(rows[-1], flush=True)

    plain, _ = make_graph(False)
    by_value, node = make_graph(True)
    measure("replay alone", 0, lambda: None, plain)
    for num_bytes in (4096, VALUE_BYTES, 70000, 150000, 280000):
        measure("copy from pinned memory", num_bytes,
                lambda: check(cuda.cuMemcpyHtoDAsync_v2(target_pointer, ctypes.c_void_p(pinned.data_ptr()), ctypes.c_size_t(num_bytes), raw), "copy"), plain)
    params = node_params(write, 4, 256, [value, target_pointer])
    measure("by value to a node", VALUE_BYTES,
            lambda: check(cuda.cuGraphExecKernelNodeSetParams_v2(by_value, node, ctypes.byref(params)), "set params"), by_value)
    with open(out, "w") as file:
        json.dump(dict(gpu=torch.cuda.get_device_name(0), date=time.strftime("%Y-%m-%d"), command="plan_by_value.py", rows=rows), file, indent=1)


if __name__ == "__main__":
    main()
