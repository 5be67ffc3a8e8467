#!/usr/bin/env python3
"""What the planner on the device adds to a step, and whether launches behind it see its list: time_planner.py CASES CUBINS OUT.

A step is [plan, decode] against [decode] alone and against [an empty kernel, decode], in the same run, chained in one graph; pages rotate over 4 GB, so the L2
is cold for keys and values. "ahead": while a step attends, a parallel branch plans the next one into a second image; with and without decode's
programmatic edge to the decode before it. Then steps whose lengths change each time, with two decodes behind each plan, replayed
many times: every output must have the bits of steps that were waited for one by one.
"""
import json
import os
import statistics
import subprocess
import sys
import time

import torch

from decode_case import DecodeCase, pack_params
from driver import Kernel

PLANNER_CTAS = int(os.environ.get("PLANNER_CTAS", "8"))
ROTATED_BYTES = 4 << 30
REPLAYS = 15
STEPS = 64
SHAPE = ("numQoHeads", "numKvHeads", "headDim", "pageSize", "dtype", "kvDtype")


# Edges of planner and decode, whether a step ahead, and cycles that the branch sleeps: longer than two decodes.
HAMMERED = [(True, True, False, 0), (True, False, False, 0), (False, True, False, 0), (False, True, True, 0), (False, False, True, 0),
            (False, True, True, 2_000_000)]


class PlannedCase(DecodeCase):
    """A decode case, and the planner that rewrites its image."""

    def __init__(self, folder, cubins, case, plan_layout, k, v, page_lists, planner):
        super().__init__(folder, cubins, case, k, v, page_lists)
        self.plan_layout, self.planner = plan_layout, planner
        self.empty = Kernel(os.path.join(cubins, "noop.cubin"), "noop", 32, 0)
        self.kv_lens = torch.tensor(case["kvLens"], dtype=torch.int32, device="cuda")
        self.page_ranges = torch.tensor(case["pageRanges"], dtype=torch.int32, device="cuda")
        self.images = [self.image, self.image.clone()]
        self.branch = torch.cuda.Stream()

    def plan(self, pdl=True, ctas=PLANNER_CTAS, image=None, kv_lens=None):
        image = self.image if image is None else image
        kv_lens = self.kv_lens if kv_lens is None else kv_lens
        addresses = dict(kv_lens=kv_lens.data_ptr(), num_requests=0, page_ranges=self.page_ranges.data_ptr(),
                         workspace=image.data_ptr())
        self.planner.launch(ctas, pack_params(self.plan_layout, {**self.case["plan"], **addresses}), pdl=pdl)


def chain(step):
    """Microseconds of a step: median, least and spread over replays of a graph of STEPS steps."""
    step(0)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(STEPS):
            step(i)
    return graph


def chain_ahead(case, attend, steps, lens_of=lambda i: None, sleep_cycles=0):
    """A graph of steps: attend(i) reads image i % 2, while the branch plans step i + 1 into the other one, which is free since step i - 1
    ended. The list of step 0 is there already. `sleep_cycles`: the branch idles first, so that a missing wait would show."""
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    ended, planned = {}, {}
    with torch.cuda.graph(graph):
        main = torch.cuda.current_stream()
        start = torch.cuda.Event()
        start.record(main)
        for i in range(steps):
            case.branch.wait_event(ended.get(i - 1, start))
            with torch.cuda.stream(case.branch):
                if sleep_cycles:
                    torch.cuda._sleep(sleep_cycles)
                case.plan(pdl=False, image=case.images[(i + 1) % 2], kv_lens=lens_of(i + 1))
                planned[i + 1] = torch.cuda.Event()
                planned[i + 1].record(case.branch)
            if i in planned:
                main.wait_event(planned[i])
            case.image = case.images[i % 2]
            attend(i)
            ended[i] = torch.cuda.Event()
            ended[i].record(main)
        main.wait_event(planned[steps])
    case.image = case.images[0]
    return graph


def replay_time(graph):
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    graph.replay()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) * 1e3 / STEPS


def make_case(folder, cubins, case, plan_layout, pools, planner):
    page_elements = case["pageSize"] * case["numKvHeads"] * case["headDim"]
    num_pages = pools[0].numel() // page_elements
    size = 4 * sum(case["kvLens"]) * case["numKvHeads"] * case["headDim"]
    rotations = max(1, min(-(-ROTATED_BYTES // size), num_pages // case["pages"], STEPS))
    lists = torch.randperm(num_pages, device="cuda")[: rotations * case["pages"]].int().view(rotations, case["pages"])
    return PlannedCase(folder, cubins, case, plan_layout, *pools, lists, planner)


def time_case(case):
    rotations = len(case.page_lists)
    wanted = case.image.clone()

    def step(variant):
        def run(i):
            if variant == "empty":
                case.empty.launch(1, b"", pdl=False)
            elif variant != "decode":
                case.plan(pdl="plan without PDL" not in variant, ctas=1 if "one CTA" in variant else PLANNER_CTAS)
            case.launch(i % rotations, pdl="decode without PDL" not in variant)
        return run

    variants = ["decode", "empty", "plan", "plan, one CTA", "plan, decode without PDL", "plan without PDL", "plan without PDL, decode without PDL"]
    graphs = {variant: chain(step(variant)) for variant in variants}
    for variant, pdl in [("ahead", True), ("ahead, decode without PDL", False)]:
        graphs[variant] = chain_ahead(case, lambda i: case.launch(i % rotations, pdl=pdl), STEPS)
        variants.append(variant)
    times = {variant: [] for variant in variants}
    for i in range(REPLAYS + 2):  # in turn, so that a change of clocks meets all
        for variant, graph in graphs.items():
            value = replay_time(graph)
            if i >= 2:
                times[variant].append(value)
    same = bool((case.image[16:] == wanted[16:])[: int(case.case["offsets"]["tiles"])].all())
    rows = []
    for variant, values in times.items():
        median = statistics.median(values)
        rows.append(dict(what=case.case["name"], policy=case.case["policy"], variant=variant, batch=len(case.case["kvLens"]),
                         medianUs=round(median, 3), minUs=round(min(values), 3),
                         spreadPct=round((max(values) - min(values)) / median * 100, 2), floorUs=None, peers={},
                         kvLen=max(case.case["kvLens"]), **{key: case.case[key] for key in SHAPE},
                         addsUs=round(median - statistics.median(times["decode"]), 3)))
    print(f"{case.case['name']:12s} {case.case['policy']:13s} " + "  ".join(f"{r['variant']} {r['medianUs']:.2f} (+{r['addsUs']:.2f})" for r in rows) + ("" if same else "  IMAGE DIFFERS"), flush=True)
    return rows


def hammer(case, plan_pdl, decode_pdl, ahead=False, sleep_cycles=0, steps=96, replays=40):
    """Steps with other lengths each, two decodes behind each plan; number of outputs with other bits than step by step."""
    batch = len(case.case["kvLens"])
    generator = torch.Generator().manual_seed(3)
    longest = max(case.case["kvLens"])
    lens = (torch.rand(steps, batch, generator=generator) ** 3 * longest).int().cuda()
    outputs = torch.empty(steps, 2, *case.o.shape, dtype=case.o.dtype, device="cuda")
    zero = torch.zeros(batch, dtype=torch.int32, device="cuda")

    def step(i, wait=False):
        torch.add(lens[i], zero, out=case.kv_lens)
        case.plan(plan_pdl)
        for layer in range(2):
            if wait:
                torch.cuda.synchronize()
            case.o = outputs[i, layer]
            case.launch((2 * i + layer) % len(case.page_lists), pdl=decode_pdl)

    for i in range(steps):
        step(i, wait=True)
    torch.cuda.synchronize()
    wanted = outputs.clone()
    if ahead:
        def attend(i):
            for layer in range(2):
                case.o = outputs[i, layer]
                case.launch((2 * i + layer) % len(case.page_lists), pdl=decode_pdl)

        # Step 0 is planned by the end of the replay before.
        graph = chain_ahead(case, attend, steps, lens_of=lambda i: lens[i % steps], sleep_cycles=sleep_cycles)
        case.plan(pdl=False, image=case.images[0], kv_lens=lens[0])
    else:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for i in range(steps):
                step(i)
    wrong = 0
    for _ in range(replays):
        outputs.fill_(float("nan"))
        graph.replay()
        torch.cuda.synchronize()
        equal = (outputs.view(torch.int16) == wanted.view(torch.int16)).flatten(2).all(dim=2)
        wrong += int((~equal).sum())
    return wrong, steps * 2 * replays


def gpu_facts():
    query = "name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.draw,temperature.gpu"
    return subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True, text=True).stdout.strip()


def main():
    folder, cubins, out = sys.argv[1:4]
    torch.manual_seed(2)
    with open(os.path.join(folder, "plan-cases.json")) as file:
        meta = json.load(file)
    planner = Kernel(os.path.join(cubins, "plan_tiles.cubin"), "plan_tiles", 256, 0)
    pools = [torch.empty(3 << 28, device="cuda", dtype=torch.bfloat16).normal_() for _ in range(2)]
    before, rows, checks = gpu_facts(), [], []
    for case in meta["timed"]:
        made = make_case(folder, cubins, case, meta["params"], pools, planner)
        rows += time_case(made)
        if "ragged" in case["name"]:
            for plan_pdl, decode_pdl, ahead, sleep in HAMMERED:
                wrong, total = hammer(made, plan_pdl, decode_pdl, ahead, sleep, replays=8 if sleep else 40)
                checks.append(dict(what=case["name"], policy=case["policy"], planPdl=plan_pdl, decodePdl=decode_pdl, ahead=ahead, sleepCycles=sleep,
                                   outputs=total, wrong=wrong))
                print(f"  hammer {checks[-1]}", flush=True)
        del made
    result = dict(gpu=torch.cuda.get_device_name(0), driver=before.split(", ")[1], cuda=torch.version.cuda, date=time.strftime("%Y-%m-%d"),
                  command=" ".join(["time_planner.py", *sys.argv[1:]]), plannerCtas=PLANNER_CTAS,
                  clocks={"before": before, "after": gpu_facts()}, checks=checks, rows=rows)
    with open(out, "w") as file:
        json.dump(result, file, indent=1)
    sys.exit(1 if any(check["wrong"] for check in checks) else 0)


if __name__ == "__main__":
    main()
