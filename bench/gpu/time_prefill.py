#!/usr/bin/env python3
"""Times the prefill kernel and torch's SDPA (flash and cuDNN) in the same run: time_prefill.py CASES CUBINS OUT [NAME_PART].

16k tokens in all; TFLOP/s count 4 * query tokens * keys * head_dim * heads, half of it where causal. Each case is a burst of
REPLAYS calls after a pause: back to back, prefill reaches the power limit and the clock falls. Median and spread of the calls.
Peers read contiguous keys and values of the same numbers."""
import json
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from decode_case import load_cases, torch_dtype
from prefill_case import PrefillCase

REPLAYS = 12
# Dense bf16 products, data sheet.
PEAK_TFLOPS = 989.4
PAUSE_S = 0.25
PEERS = {"sdpaFlash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}


def burst(call):
    """Median, least and spread in percent of calls, microseconds."""
    for _ in range(2):
        call()
    torch.cuda.synchronize()
    time.sleep(PAUSE_S)
    call()
    starts, ends = ([torch.cuda.Event(enable_timing=True) for _ in range(REPLAYS)] for _ in range(2))
    for start, end in zip(starts, ends):
        start.record()
        call()
        end.record()
    torch.cuda.synchronize()
    times = [start.elapsed_time(end) * 1e3 for start, end in zip(starts, ends)]
    median = statistics.median(times)
    return median, min(times), (max(times) - min(times)) / median * 100


def operations(case):
    """As the field counts them; the window's edge is counted exactly."""
    pairs = 0
    for tokens, keys in zip(case["qoLens"], case["kvLens"]):
        if case["windowLeft"] >= 0:
            pairs += sum(min(keys - tokens + i, case["windowLeft"]) + 1 for i in range(tokens))
        else:
            pairs += tokens * keys * (0.5 if case["causal"] else 1)
    return 4 * pairs * case["headDim"] * case["numQoHeads"]


def make_case(folder, cubins, case):
    heads, dim, page = case["numKvHeads"], case["headDim"], case["pageSize"]
    num_pages = case["pages"]
    dtype = torch_dtype(case["kvDtype"])
    k, v = (torch.randn(num_pages * page * heads * dim, device="cuda").to(dtype) for _ in range(2))
    pages = None if case["ragged"] else torch.randperm(num_pages, device="cuda").int()
    return PrefillCase(folder, cubins, case, k, v, pages)


def time_peers(case):
    batch, length, heads, dim = len(case["kvLens"]), case["kvLens"][0], case["numKvHeads"], case["headDim"]
    q = torch.randn(batch, length, case["numQoHeads"], dim, device="cuda", dtype=torch.bfloat16).transpose(1, 2)
    k, v = (torch.randn(batch, length, heads, dim, device="cuda", dtype=torch.bfloat16).transpose(1, 2) for _ in range(2))
    peers = {}
    for name, backend in PEERS.items():
        try:
            with sdpa_kernel(backend):
                call = lambda: F.scaled_dot_product_attention(q, k, v, is_causal=case["causal"], enable_gqa=heads != case["numQoHeads"])
                peers[name] = round(burst(call)[0], 2)
        except RuntimeError as error:
            print(f"{name} {case['name']}: {str(error)[:100]}")
    return peers


def time_case(folder, cubins, case, peers):
    prefill = make_case(folder, cubins, case)
    median, low, spread = burst(prefill.launch)
    work = operations(case)
    finite = bool(torch.isfinite(prefill.o).all())
    row = dict(
        what=case["name"], policy=case["policy"], batch=len(case["kvLens"]), qoLen=max(case["qoLens"]), kvLen=max(case["kvLens"]),
        numQoHeads=case["numQoHeads"], numKvHeads=case["numKvHeads"], headDim=case["headDim"], pageSize=case["pageSize"],
        ragged=case["ragged"], layout=case["layout"], causal=case["causal"], windowLeft=case["windowLeft"], dtype=case["dtype"],
        kvDtype=case["kvDtype"], medianUs=round(median, 2), minUs=round(low, 2), spreadPct=round(spread, 2),
        tflops=round(work / median / 1e6, 1), floorUs=round(work / PEAK_TFLOPS / 1e6, 2), finite=finite, peers=peers or {},
        peerTflops={name: round(work / us / 1e6, 1) for name, us in (peers or {}).items()})
    against = "".join(f"  {name} {value}" for name, value in row["peerTflops"].items())
    print(f"{row['what']:28s} {row['policy']:18s} {median:9.1f} us  {row['tflops']:6.1f} TFLOP/s  spread {spread:.1f}%{against}"
          f"{'' if finite else '  NOT FINITE'}", flush=True)
    return row


def gpu_facts():
    query = "name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.draw,temperature.gpu"
    return subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True, text=True).stdout.strip()


def has_peers(case):
    plain = case["headDim"] in (64, 128) and case["kvDtype"] == case["dtype"] == "bfloat16" and case["windowLeft"] < 0
    return plain and case["policy"] == "noSplit"


def main():
    folder, cubins, out = sys.argv[1:4]
    part = sys.argv[4] if len(sys.argv) > 4 else ""
    torch.manual_seed(2)
    torch.backends.cuda.enable_cudnn_sdp(True)
    before, rows, known = gpu_facts(), [], {}
    with torch.no_grad():
        for case in load_cases(folder, "time"):
            if part and not any(p in case["name"] for p in part.split("|")):
                continue
            shape = (len(case["kvLens"]), case["kvLens"][0], case["numQoHeads"], case["numKvHeads"], case["headDim"], case["causal"])
            if has_peers(case) and shape not in known:
                known[shape] = time_peers(case)
            rows.append(time_case(folder, cubins, case, known.get(shape) if has_peers(case) else None))
    facts = before.split(", ")
    result = dict(
        gpu=torch.cuda.get_device_name(0), driver=facts[1] if len(facts) > 1 else "", cuda=torch.version.cuda,
        torch=torch.__version__, cudnn=torch.backends.cudnn.version(), date=time.strftime("%Y-%m-%d"),
        command="python3 bench/gpu/time_prefill.py CASES CUBINS RESULT.json; spreadPct is (max - min) / median", clocks={"before": before, "after": gpu_facts()},
        rows=rows)
    with open(out, "w") as file:
        json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
