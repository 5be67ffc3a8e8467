#!/usr/bin/env python3
"""Ways to plan a step on the device without a kernel in attention's way: time_fused_plan.py CASES CUBINS OUT.

Steps as time_planner.py has them, in the same run: decode alone, behind an empty kernel, behind plan_tiles, behind a planner with a warp for each
CTA (`plan_own`), decode that plans itself (`planned`, `planned_guess`), and plans made a step ahead on a parallel branch into a
second image. Before that every way's image is compared word for word, and outputs bit for bit; after it, steps of changing lengths are replayed.
"""
import json
import os
import statistics
import sys
import time

import torch

from check_planner import read_cases, with_addresses
from decode_case import NUM_SMS, pack_params
from driver import Kernel
from time_planner import REPLAYS, SHAPE, STEPS, PlannedCase, chain, gpu_facts, make_case, replay_time

HEADER_UNSPLIT_PLANS = 13
FUSED = ["planned", "planned_guess"]


def load(cubins, case):
    shared = case["program"]["sharedMemoryBytes"]
    kernels = {name: Kernel(os.path.join(cubins, name + ".cubin"), "attention_decode", 256, shared + 1152) for name in FUSED}
    kernels["plan_own"] = Kernel(os.path.join(cubins, "plan_own.cubin"), "plan_own", 32, 0)
    return kernels


class Ways:
    """A case, and the ways to plan it. `images`: two, for plans a step ahead."""

    def __init__(self, case: PlannedCase, kernels):
        self.case, self.kernels = case, kernels
        self.images = [case.image, case.image.clone()]
        self.side = torch.cuda.Stream()

    def plan_block(self, image):
        case = self.case
        addresses = dict(kv_lens=case.kv_lens.data_ptr(), num_requests=0, page_ranges=case.page_ranges.data_ptr(), workspace=image.data_ptr())
        return pack_params(case.plan_layout, {**case.case["plan"], **addresses})

    def decode(self, i, image=None, pdl=True):
        case = self.case
        case.image = self.images[0] if image is None else image
        case.launch(i % len(case.page_lists), pdl=pdl)

    def fused(self, name, i):
        case = self.case
        case.image = self.images[0]
        self.kernels[name].launch(NUM_SMS, case.params(i % len(case.page_lists)), self.plan_block(case.image))

    def own(self, pdl=True):
        self.kernels["plan_own"].launch(NUM_SMS, self.plan_block(self.images[0]), pdl=pdl)

    def step(self, way, i, layers):
        first = 0
        if way == "empty":
            self.case.empty.launch(1, pdl=False)
        elif way == "plan_tiles":
            self.case.plan(pdl=False)
        elif way == "plan_own":
            self.own(pdl=True)
        elif way == "plan_own without PDL":
            self.own(pdl=False)
        elif way in FUSED:
            self.fused(way, i * layers)
            first = 1
        for layer in range(first, layers):
            self.decode(i * layers + layer)

    def chain(self, way, layers):
        if way.startswith("ahead"):
            return self.chain_ahead(layers, planner="plan_own" if "own" in way else "plan_tiles", pdl="PDL" in way)
        return chain(lambda i: self.step(way, i, layers))

    def chain_ahead(self, layers, planner, pdl):
        """Step i attends on image i % 2, while a branch plans step i + 1 into the other one, free since step i - 1 ended."""
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        ended, planned = {}, {}
        with torch.cuda.graph(graph):
            main = torch.cuda.current_stream()
            start = torch.cuda.Event()
            start.record(main)
            for i in range(STEPS):
                self.side.wait_event(ended.get(i - 1, start))
                with torch.cuda.stream(self.side):
                    block = self.plan_block(self.images[(i + 1) % 2])
                    if planner == "plan_own":
                        self.kernels["plan_own"].launch(NUM_SMS, block, pdl=False)
                    else:
                        self.case.planner.launch(8, block, pdl=False)
                    planned[i + 1] = torch.cuda.Event()
                    planned[i + 1].record(self.side)
                if i in planned:
                    main.wait_event(planned[i])
                for layer in range(layers):
                    self.decode(i * layers + layer, self.images[i % 2], pdl=pdl or layer > 0)
                ended[i] = torch.cuda.Event()
                ended[i].record(main)
            main.wait_event(planned[STEPS])
        self.case.image = self.images[0]
        return graph


def check_words(kernel, folder):
    """plan_own against the host's images."""
    wrong = total = 0
    for layout, case, params, kv_lens, page_ranges, wanted in read_cases(folder):
        offset = {field["name"]: field["offset"] for field in layout["fields"]}
        value = lambda name: int.from_bytes(params[offset[name]:offset[name] + 4], "little", signed=True)
        if case["policy"] != "headGroups" or case["unsplitPlans"] or value("num_kv_heads") > value("num_ctas"):
            continue
        lens, ranges = kv_lens.cuda(), page_ranges.cuda()
        wanted = wanted.clone()
        for _ in range(3):
            image = torch.full_like(wanted, -7).cuda()
            image[:16] = 0
            addresses = dict(kv_lens=lens.data_ptr(), page_ranges=ranges.data_ptr(), workspace=image.data_ptr(), num_requests=0)
            kernel.launch(value("num_ctas"), with_addresses(layout, params, addresses))
            torch.cuda.synchronize()
            different = (image.cpu() != wanted).nonzero().flatten()
            total += 1
            if len(different):
                wrong += 1
                first = int(different[0])
                print(f"DIFFERS {case['name']}: {len(different)} words, first {first}: got {int(image[first])}, wanted {int(wanted[first])}; sections {params and ''}", flush=True)
                break
    print(f"plan_own: {total} plans, {wrong} cases that differ", flush=True)
    return dict(what="plan_own, words", plans=total, wrong=wrong)


def check_outputs(ways):
    """Images word for word and outputs bit for bit, each way from a poisoned image."""
    case = ways.case
    wanted = ways.images[0].clone()
    case.poison()
    ways.decode(0)
    torch.cuda.synchronize()
    output, lse = case.o.clone(), case.lse.clone()
    found = {}
    for way in ["plan_tiles", "plan_own", *FUSED, *FUSED]:
        if not way in FUSED or way not in found:
            ways.images[0].fill_(-7)
            ways.images[0][:16] = 0
        case.poison()
        ways.step(way, 0, 1)
        torch.cuda.synchronize()
        words = int(((ways.images[0] != wanted) & (ways.images[0] != -7)).sum())
        written = int((ways.images[0] != -7).sum())
        same = bool((case.o.view(torch.int16) == output.view(torch.int16)).all()) and bool((case.lse == lse).all())
        clean = bool((case.partial_o == -1).all()) and bool((case.counters == 0).all())
        found[way] = dict(what=case.case["name"], way=way, words=words, written=written, sameOutput=same, clean=clean)
        if words or not same or not clean or written != found["plan_tiles"]["written"]:
            print("  WRONG", found[way], flush=True)
    ways.images[0].copy_(wanted)
    return list(found.values())


def hammer(ways, way, steps=48, replays=30):
    """Steps with other lengths each and three layers; number of outputs whose bits aren't those of steps that were waited for."""
    case = ways.case
    batch = len(case.case["kvLens"])
    generator = torch.Generator().manual_seed(3)
    longest = max(case.case["kvLens"])
    lens = (torch.rand(steps, batch, generator=generator) ** 3 * longest).int()
    # Some grow by a token a step, as in decoding.
    lens[steps // 2:] = lens[steps // 2] - steps + torch.arange(steps - steps // 2)[:, None]
    lens = lens.clamp(0, longest).cuda()
    outputs = torch.empty(steps, 3, *case.o.shape, dtype=case.o.dtype, device="cuda")
    zero = torch.zeros(batch, dtype=torch.int32, device="cuda")

    def layers(i, first, wait=False):
        for layer in range(first, 3):
            if wait:
                torch.cuda.synchronize()
            case.o = outputs[i, layer]
            ways.decode(3 * i + layer)

    for i in range(steps):
        torch.add(lens[i], zero, out=case.kv_lens)
        case.plan(pdl=False)
        layers(i, 0, wait=True)
    torch.cuda.synchronize()
    wanted = outputs.clone()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(steps):
            torch.add(lens[i], zero, out=case.kv_lens)
            case.o = outputs[i, 0]
            if way in FUSED:
                ways.fused(way, 3 * i)
            else:
                ways.own()
            layers(i, 1 if way in FUSED else 0)
    wrong = 0
    for _ in range(replays):
        outputs.fill_(float("nan"))
        graph.replay()
        torch.cuda.synchronize()
        wrong += int((~(outputs.view(torch.int16) == wanted.view(torch.int16)).flatten(2).all(dim=2)).sum())
    case.o = outputs[0, 0].clone()
    return dict(what=case.case["name"], hammered=way, outputs=steps * 3 * replays, wrong=wrong)


def time_case(ways, layers, chosen):
    graphs, problems = {}, {}
    for way in chosen:
        try:
            graphs[way] = ways.chain(way, layers)
        except RuntimeError as error:  # a kind of edge that the driver refuses
            problems[way] = str(error)
            print("  refused", way, error, flush=True)
            torch.cuda.synchronize()
    times = {way: [] for way in graphs}
    for i in range(REPLAYS + 2):  # in turn, so that a change of clocks meets all
        for way, graph in graphs.items():
            value = replay_time(graph)
            if i >= 2:
                times[way].append(value)
    case, rows = ways.case.case, []
    alone = statistics.median(times["decode"])
    for way, values in times.items():
        median = statistics.median(values)
        rows.append(dict(what=case["name"], policy=case["policy"], way=way, layers=layers, batch=len(case["kvLens"]), kvLen=max(case["kvLens"]),
                         medianUs=round(median, 3), minUs=round(min(values), 3), spreadPct=round((max(values) - min(values)) / median * 100, 2),
                         addsUs=round(median - alone, 3), floorUs=None, peers={}, **{key: case[key] for key in SHAPE}))
    print(f"{case['name']:12s} x{layers} " + "  ".join(f"{r['way']} {r['medianUs']:.2f} (+{r['addsUs']:.2f})" for r in rows), flush=True)
    return rows


def main():
    folder, cubins, out = sys.argv[1:4]
    torch.manual_seed(2)
    with open(os.path.join(folder, "plan-cases.json")) as file:
        meta = json.load(file)
    planner = Kernel(os.path.join(cubins, "plan_tiles.cubin"), "plan_tiles", 256, 0)
    pools = [torch.empty(3 << 28, device="cuda", dtype=torch.bfloat16).normal_() for _ in range(2)]
    timed = [case for case in meta["timed"] if case["policy"] == "headGroups"]
    kernels = load(cubins, timed[0])
    before, rows = gpu_facts(), []
    checks = [check_words(kernels["plan_own"], folder)]
    everything = ["decode", "empty", "plan_tiles", "plan_own", "plan_own without PDL", *FUSED, "ahead", "ahead, PDL", "ahead, own", "ahead, own, PDL"]
    for case in timed:
        ways = Ways(make_case(folder, cubins, case, meta["params"], pools, planner), kernels)
        checks += check_outputs(ways)
        rows += time_case(ways, 1, everything)
        if case["name"] in ("32x1024", "128x1024"):
            rows += time_case(ways, 4, ["decode", "plan_tiles", "plan_own", *FUSED, "ahead", "ahead, own"])
        if "ragged" in case["name"]:
            for way in ["plan_own", *FUSED]:
                checks.append(hammer(ways, way))
                print("  ", checks[-1], flush=True)
        with open(out, "w") as file:
            json.dump(dict(gpu=torch.cuda.get_device_name(0), driver=before.split(", ")[1], cuda=torch.version.cuda, date=time.strftime("%Y-%m-%d"),
                           command=" ".join(["time_fused_plan.py", *sys.argv[1:]]), clocks={"before": before, "after": gpu_facts()},
                           checks=checks, rows=rows), file, indent=1)
        del ways
    bad = [check for check in checks if check.get("wrong") or check.get("words") or check.get("sameOutput") is False]
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
