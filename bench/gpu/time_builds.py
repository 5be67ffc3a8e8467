#!/usr/bin/env python3
"""Times builds of the decode kernel side by side: time_builds.py CASES OUT NAME=CUBINS[:CASES] ... [--only TEXT|TEXT] [--cudnn].

The first build is what the others are compared with. Of each case every build has a graph of chained calls over the same
rotating random pages (as in time_decode.py), and the graphs are replayed in turns, so that all meet the same clocks. A build
that needs another launch shape brings cases of its own. Builds that lack a case's kernel are left out there."""
import argparse
import json
import os
import statistics
import time

import torch

import decode_case
from decode_case import DecodeCase, load_cases, share_pages, torch_dtype
from time_decode import BYTES_PER_US, REPLAYS, ROTATED_BYTES, SPREAD_TOKENS, gpu_facts, make_pool, time_cudnn

# 2.7 GB of keys, and as much of values.
POOL_ELEMENTS = 5 << 28


def capture(call, calls):
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
    return graph


def replay(graph, calls):
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    graph.replay()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) * 1e3 / calls


class Build:
    def __init__(self, text, default_cases):
        self.name, path = text.split("=")
        self.cubins, _, own = path.partition(":")
        self.folder = own or default_cases
        self.cases = {case["name"]: case for case in load_cases(self.folder, "time")}

    def has(self, name):
        case = self.cases.get(name)
        return case is not None and os.path.exists(os.path.join(self.cubins, case["program"]["name"] + ".cubin"))

    def decode(self, name, k, v, lists):
        decode_case.kernels.clear()
        torch.manual_seed(5)  # the same queries
        return DecodeCase(self.folder, self.cubins, self.cases[name], k, v, lists)


def time_case(case, builds, pools, with_cudnn):
    dtype = torch_dtype(case["kvDtype"])
    page_elements = case["pageSize"] * case["numKvHeads"] * case["headDim"]
    size = 2 * sum(case["kvLens"]) * case["numKvHeads"] * case["headDim"] * dtype.itemsize
    k, v = (pools["k8"], pools["v8"]) if dtype.itemsize == 1 else (pools["k"], pools["v"])
    num_pages = k.numel() // page_elements
    rotations = max(1, min(-(-ROTATED_BYTES // size), num_pages // case["pages"], 256))
    num_pages = min(num_pages, max(rotations * case["pages"], SPREAD_TOKENS // case["pageSize"]))
    lists = share_pages(case, torch.randperm(num_pages, device="cuda")[: rotations * case["pages"]].int().view(rotations, case["pages"]))
    calls = max(rotations, min(512, int(3000 / max(3, size / BYTES_PER_US))), 2)
    runs = []
    for build in builds:
        decode = build.decode(case["name"], k[: num_pages * page_elements], v[: num_pages * page_elements], lists)
        decode.launch(0)
        torch.cuda.synchronize()
        output = decode.o.double()
        runs.append(dict(build=build, decode=decode, output=output, times=[], graph=capture(lambda i: decode.launch(i % rotations), calls)))
    for i in range(REPLAYS + 2):
        for run in runs:
            microseconds = replay(run["graph"], calls)
            if i >= 2:
                run["times"].append(microseconds)
    plain = len(set(case["kvLens"])) == 1 and case["headDim"] == 128 and dtype == torch.bfloat16 and max(case["qoLens"]) == 1
    cudnn = {"cudnn": time_cudnn(case, pools)} if with_cudnn and plain else {}
    first = runs[0]
    rows = []
    for run in runs:
        median, of = statistics.median(run["times"]), run["decode"].case
        rows.append(dict(
            what=case["name"], version=run["build"].name, policy=of["policy"], batch=len(case["kvLens"]), kvLen=max(case["kvLens"]),
            numQoHeads=case["numQoHeads"], numKvHeads=case["numKvHeads"], headDim=case["headDim"], pageSize=case["pageSize"],
            layout=case["layout"], dtype=case["dtype"], kvDtype=case["kvDtype"], qoLen=max(case["qoLens"]), medianUs=round(median, 3),
            minUs=round(min(run["times"]), 3), spreadPct=round((max(run["times"]) - min(run["times"])) / median * 100, 2),
            gbps=round(size / median / 1e3, 1), floorUs=round(size / 3.18e6, 2), ratio=round(median / statistics.median(first["times"]), 4),
            finite=bool(torch.isfinite(run["decode"].o).all()),
            differs=float((run["output"] - first["output"]).norm() / first["output"].norm()), peers=cudnn))
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("cases")
    parser.add_argument("out")
    parser.add_argument("builds", nargs="+")
    parser.add_argument("--only", default="")
    parser.add_argument("--cudnn", action="store_true")
    args = parser.parse_args()
    builds = [Build(text, args.cases) for text in args.builds]
    torch.manual_seed(2)
    torch.backends.cuda.enable_cudnn_sdp(True)
    pools = {"k": make_pool(POOL_ELEMENTS), "v": make_pool(POOL_ELEMENTS)}
    for name in ("k", "v"):
        few = pools[name][: 1 << 29]
        pools[name + "8"] = torch.cat([x.to(torch.float8_e4m3fn).view(torch.uint8) for x in few.split(1 << 27)]).view(torch.float8_e4m3fn)
    before, rows = gpu_facts(), []
    for case in load_cases(args.cases, "time"):
        able = [build for build in builds if build.has(case["name"])]
        if not able or not any(text in case["name"] for text in args.only.split("|")):
            continue
        rows += (made := time_case(case, able, pools, args.cudnn))
        print(f"{case['name']:32s} floor {made[0]['floorUs']:8.2f} {made[0]['peers'] or ''} " + "  ".join(
            f"{row['version']} {row['medianUs']:.2f} ({row['ratio']:.3f}{'' if row['finite'] else ', NOT FINITE'})" for row in made), flush=True)
        result = dict(
            gpu=torch.cuda.get_device_name(0), driver=before.split(", ")[1] if before else "", cuda=torch.version.cuda,
            torch=torch.__version__, cudnn=torch.backends.cudnn.version(), date=time.strftime("%Y-%m-%d"),
            command="time_builds.py CASES RESULT.json " + " ".join(build.name for build in builds) + "; spreadPct is (max - min) / median",
            clocks={"before": before, "after": gpu_facts()}, rows=rows)
        with open(args.out, "w") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    with torch.no_grad():
        main()
