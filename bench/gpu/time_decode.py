#!/usr/bin/env python3
"""Times the decode kernel and torch's SDPA with cuDNN in the same run: time_decode.py CASES CUBINS OUT [NAME_PART].

Calls over rotating random pages (4 GB in all, so that the L2 is cold), chained in one graph with programmatic
dependent launch; time / calls, median of 9 replays. Pages are drawn from the first SPREAD_TOKENS tokens of the pool. cuDNN reads contiguous keys and values, also rotating."""
import json
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from decode_case import DecodeCase, load_cases, share_pages, torch_dtype

POOL_ELEMENTS = 128 * 65536 * 8 * 128 + (1 << 20)
# Pages are drawn from this many tokens, or as many as a case needs: 4.3 GB of bf16 keys and values with 8 heads of 128.
SPREAD_TOKENS = 1 << 20
# Bytes that a row's calls read before they come round again: much more than the L2, whatever it chooses to keep.
ROTATED_BYTES = 4 << 30
REPLAYS = 9
BYTES_PER_US = 3.15e6


def chain(call, calls):
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
    times = []
    for i in range(REPLAYS + 2):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        if i >= 2:
            times.append(start.elapsed_time(end) * 1e3 / calls)
    del graph
    return statistics.median(times), min(times), (max(times) - min(times)) / statistics.median(times) * 100


def make_pool(elements):
    pool = torch.empty(elements, device="cuda", dtype=torch.bfloat16)
    for part in pool.split(1 << 28):
        part.normal_()
    return pool


def time_case(folder, cubins, case, pools, peers):
    page_elements = case["pageSize"] * case["numKvHeads"] * case["headDim"]
    dtype = torch_dtype(case["kvDtype"])
    tokens = sum(case["kvLens"])
    size = 2 * tokens * case["numKvHeads"] * case["headDim"] * dtype.itemsize
    if dtype.itemsize == 1:  # random float8 of the same pool, made once
        k, v = pools["k8"], pools["v8"]
    else:
        k, v = pools["k"], pools["v"]
    num_pages = k.numel() // page_elements
    rotations = max(1, min(-(-ROTATED_BYTES // size), num_pages // case["pages"], 256))
    num_pages = min(num_pages, max(rotations * case["pages"], SPREAD_TOKENS // case["pageSize"]))
    lists = share_pages(case, torch.randperm(num_pages, device="cuda")[: rotations * case["pages"]].int().view(rotations, case["pages"]))
    decode = DecodeCase(folder, cubins, case, k[: num_pages * page_elements], v[: num_pages * page_elements], lists)
    calls = max(rotations, min(512, int(3000 / max(3, size / BYTES_PER_US))), 2)
    median, low, spread = chain(lambda i: decode.launch(i % rotations), calls)
    finite = bool(torch.isfinite(decode.o).all())
    del decode
    row = dict(
        what=case["name"], policy=case["policy"], batch=len(case["kvLens"]), kvLen=max(case["kvLens"]), numQoHeads=case["numQoHeads"],
        numKvHeads=case["numKvHeads"], headDim=case["headDim"], pageSize=case["pageSize"], layout=case["layout"],
        dtype=case["dtype"], kvDtype=case["kvDtype"], qoLen=max(case["qoLens"]), medianUs=round(median, 3), minUs=round(low, 3),
        spreadPct=round(spread, 2), gbps=round(size / median / 1e3, 1), floorUs=round(size / 3.18e6, 2), finite=finite, peers={})
    plain = len(set(case["kvLens"])) == 1 and case["headDim"] == 128 and dtype == torch.bfloat16 and max(case["qoLens"]) == 1
    if peers and plain:
        row["peers"]["cudnn"] = time_cudnn(case, pools)
    return row


def time_cudnn(case, pools):
    batch, length, heads, dim = len(case["kvLens"]), case["kvLens"][0], case["numKvHeads"], case["headDim"]
    count = batch * length * heads * dim
    rotations = max(1, min(256, -(-ROTATED_BYTES // (count * 4)), pools["k"].numel() // count))
    k = pools["k"][: rotations * count].view(rotations, batch, heads, length, dim)
    v = pools["v"][: rotations * count].view(rotations, batch, heads, length, dim)
    best = None
    for fold in (False, True):
        q = torch.randn(batch, case["numQoHeads"], 1, dim, device="cuda", dtype=torch.bfloat16)
        if fold:
            q = q.view(batch, heads, -1, dim)
        try:
            with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
                calls = max(rotations, min(256, int(3000 / max(3, count * 4 / BYTES_PER_US))), 2)
                median = chain(lambda i: F.scaled_dot_product_attention(q, k[i % rotations], v[i % rotations], enable_gqa=not fold), calls)[0]
            best = median if best is None else min(best, median)
        except RuntimeError as error:
            print(f"cudnn {case['name']} fold={fold}: {str(error)[:100]}")
    return None if best is None else round(best, 3)


def gpu_facts():
    query = "name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.draw,temperature.gpu"
    return subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True, text=True).stdout.strip()


def main():
    folder, cubins, out = sys.argv[1:4]
    part = sys.argv[4] if len(sys.argv) > 4 else ""
    torch.manual_seed(2)
    torch.backends.cuda.enable_cudnn_sdp(True)
    pools = {"k": make_pool(POOL_ELEMENTS), "v": make_pool(POOL_ELEMENTS)}
    for name in ("k", "v"):
        few = pools[name][: 1 << 29]
        pools[name + "8"] = torch.cat([x.to(torch.float8_e4m3fn).view(torch.uint8) for x in few.split(1 << 27)]).view(torch.float8_e4m3fn)
    before, rows = gpu_facts(), []
    with torch.no_grad():
        for case in load_cases(folder, "time"):
            if part and not any(p in case["name"] for p in part.split("|")):
                continue
            row = time_case(folder, cubins, case, pools, True)
            rows.append(row)
            peer = row["peers"].get("cudnn")
            ratio = f"cudnn {peer} ratio {row['medianUs'] / peer:.3f}" if peer else ""
            print(f"{row['what']:28s} {row['policy']:13s} {row['medianUs']:10.2f} us  floor {row['floorUs']:9.2f}  {row['gbps']:7.1f} GB/s  spread {row['spreadPct']:.1f}%  {ratio}{'' if row['finite'] else '  NOT FINITE'}", flush=True)
    result = dict(
        gpu=torch.cuda.get_device_name(0), driver=before.split(", ")[1] if before else "", cuda=torch.version.cuda,
        torch=torch.__version__, cudnn=torch.backends.cudnn.version(), date=time.strftime("%Y-%m-%d"),
        command=" ".join(["time_decode.py", *sys.argv[1:]]), clocks={"before": before, "after": gpu_facts()}, rows=rows)
    with open(out, "w") as file:
        json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
