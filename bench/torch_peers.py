#!/usr/bin/env python3
"""PyTorch's attention for the same rows as `warpbook bench`, which starts this and asks by lines of JSON.

First a line that says who answers; then for each question {op, batch, kvLen, numQoHeads, numKvHeads, headDim, dtype, causal,
rotatedBytes} one line {times: {name: microseconds}, errors: {name: text}}. Keys and values are contiguous, random, and
rotate over rotatedBytes, so that the L2 is cold; calls of decode are captured in one graph and timed together, calls of prefill
one by one with a pause before each burst. Medians."""
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

REPLAYS = 9
TURN_US = 3000
BYTES_PER_US = 3.0e6
MAX_CALLS = 256
PREFILL_CALLS = 6
PREFILL_BURSTS = 3
PREFILL_PAUSE_S = 0.25
BACKENDS = {"cudnn": SDPBackend.CUDNN_ATTENTION, "sdpaFlash": SDPBackend.FLASH_ATTENTION}

pool = torch.empty(0)


def random_pool(count, dtype):
    """`count` random elements; grows, and is made once for many questions."""
    global pool
    if pool.numel() < count or pool.dtype != dtype:
        pool = torch.empty(0)
        torch.cuda.empty_cache()
        pool = torch.empty(count, device="cuda", dtype=dtype)
        for part in pool.split(1 << 28):
            part.normal_()
    return pool[:count]


def chained(call, calls):
    """Microseconds of a call in a graph of `calls` calls."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for i in range(min(calls, 3)):
            call(i)
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(calls):
            call(i)
    graph.replay()
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(REPLAYS + 1)]
    marks[0].record()
    for mark in marks[1:]:
        graph.replay()
        mark.record()
    torch.cuda.synchronize()
    times = [a.elapsed_time(b) * 1e3 / calls for a, b in zip(marks, marks[1:])]
    del graph
    return statistics.median(times)


def one_by_one(call):
    """Microseconds of a call, in short bursts on a GPU that has cooled down."""
    times = []
    call(0)
    for _ in range(PREFILL_BURSTS):
        torch.cuda.synchronize()
        time.sleep(PREFILL_PAUSE_S)
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(PREFILL_CALLS + 1)]
        call(0)
        marks[0].record()
        for mark in marks[1:]:
            call(0)
            mark.record()
        torch.cuda.synchronize()
        times += [a.elapsed_time(b) * 1e3 for a, b in zip(marks, marks[1:])]
    return statistics.median(times)


def attention(q, k, v, causal, backend, packed):
    with sdpa_kernel(backend):
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=not packed)


def decode_calls(question, dtype):
    """For each way of passing the group's query heads: (packed, call, number of calls)."""
    batch, length = question["batch"], question["kvLen"]
    heads, kv_heads, dim = question["numQoHeads"], question["numKvHeads"], question["headDim"]
    count = batch * length * kv_heads * dim
    size = 2 * count * dtype.itemsize
    free = torch.cuda.mem_get_info()[0] + pool.numel() * pool.element_size()
    rotations = max(1, min(MAX_CALLS, -(-question["rotatedBytes"] // size), int(0.8 * free) // size))
    kv = random_pool(2 * rotations * count, dtype).view(2, rotations, batch, kv_heads, length, dim)
    calls = max(rotations, min(MAX_CALLS, int(TURN_US / max(3, size / BYTES_PER_US))), 2)
    q = torch.randn(batch, heads, 1, dim, device="cuda", dtype=dtype)
    for packed in (True, False):
        rows = q.view(batch, kv_heads, -1, dim) if packed else q
        yield packed, lambda backend: (lambda i: attention(rows, kv[0, i % rotations], kv[1, i % rotations], False, backend, packed)), calls


def prefill_call(question, dtype):
    batch, length = question["batch"], question["kvLen"]
    heads, kv_heads, dim = question["numQoHeads"], question["numKvHeads"], question["headDim"]
    def tokens(count):
        return torch.randn(batch, length, count, dim, device="cuda", dtype=dtype).transpose(1, 2)
    q, k, v = tokens(heads), tokens(kv_heads), tokens(kv_heads)
    return lambda backend: (lambda i: attention(q, k, v, question["causal"], backend, heads == kv_heads))


def answer(question):
    dtype = getattr(torch, question["dtype"])
    times, errors = {}, {}
    for name, backend in BACKENDS.items():
        found = []
        try:
            if question["op"] == "decode":
                for packed, make, calls in decode_calls(question, dtype):
                    try:
                        found.append(chained(make(backend), calls))
                    except RuntimeError as error:
                        errors[f"{name}{' packed' if packed else ''}"] = str(error).split("\n")[0][:120]
            else:
                found.append(one_by_one(prefill_call(question, dtype)(backend)))
        except RuntimeError as error:
            errors[name] = str(error).split("\n")[0][:120]
        if found:
            times[name] = round(min(found), 3)
    return dict(times=times, errors=errors)


def main():
    torch.manual_seed(2)
    torch.backends.cuda.enable_cudnn_sdp(True)
    print(json.dumps(dict(torch=torch.__version__, cudnn=torch.backends.cudnn.version(), device=torch.cuda.get_device_name(0))), flush=True)
    with torch.no_grad():
        for line in sys.stdin:
            if line.strip():
                print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
