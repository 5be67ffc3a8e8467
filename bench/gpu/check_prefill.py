#!/usr/bin/env python3
"""Checks the prefill kernel against float64: check_prefill.py CASES CUBINS [NAME_PART]. Exits 1 on any miss.

Pools and outputs start as NaN; keys and values are written for the tokens of the batch alone."""
import sys

import torch

from decode_case import load_cases, torch_dtype
from prefill_case import PrefillCase

LIMIT = {"float16": 1e-3, "bfloat16": 4e-3}


def make_tokens(case):
    """Pools (or tokens in a row) of NaN with random tokens; returns them, the page list, which tokens of each request can be
    read, and float64 [tokens, heads, dim] of each request."""
    page, heads, dim, device = case["pageSize"], case["numKvHeads"], case["headDim"], "cuda"
    num_pages = case["pages"] + 7
    shape = (num_pages, page, heads, dim) if case["layout"] == "NHD" else (num_pages, heads, page, dim)
    kv_dtype = torch_dtype(case["kvDtype"])
    bits = torch.uint8 if kv_dtype.itemsize == 1 else torch.int16
    order = torch.arange(case["pages"], device=device)
    if not case["ragged"]:
        order = torch.randperm(num_pages, device=device)[: case["pages"]]
    if case["badPages"]:
        bad = torch.randperm(case["pages"], device=device)[: case["pages"] // 10]
        order[bad[::2]] = -1
        order[bad[1::2]] = num_pages + 5
    readable = (order >= 0) & (order < num_pages)
    if case["hiddenPages"]:
        readable[-case["hiddenPages"] :] = False
    pools, wanted, seen = [], [], []
    for _ in range(2):
        pool = torch.full(shape, float("nan"), device=device).to(kv_dtype)
        by_token = pool if case["layout"] == "NHD" else pool.transpose(1, 2)
        requests, start, seen = [], 0, []
        for length in case["kvLens"]:
            token = torch.arange(length, device=device)
            entry = start + token // page
            start += -(-length // page)
            good = readable[entry]
            x = torch.randn(length, heads, dim, device=device).to(kv_dtype)
            by_token.view(bits)[order[entry][good], (token % page)[good]] = x[good].view(bits)
            requests.append(x.double())
            seen.append(good)
        pools.append(pool)
        wanted.append(requests)
    return pools, None if case["ragged"] else order.int(), seen, wanted


def reference(case, q, keys, values, seen, scales, sinks, slopes):
    outputs, lses, start = [], [], 0
    group = case["numQoHeads"] // case["numKvHeads"]
    for request, tokens in enumerate(case["qoLens"]):
        x = q[start : start + tokens].double()
        start += tokens
        k = (keys[request] * scales[0]).repeat_interleave(group, 1)
        v = (values[request] * scales[1]).repeat_interleave(group, 1)
        logits = torch.einsum("thd,shd->hts", x, k) * case["headDim"] ** -0.5
        if case["softCap"]:
            logits = case["softCap"] * torch.tanh(logits / case["softCap"])
        query = torch.arange(tokens, device=q.device)[:, None] + len(k) - tokens
        key = torch.arange(len(k), device=q.device)[None, :]
        if case["alibi"]:
            logits = logits + slopes.double()[:, None, None] * (key - query)
        visible = seen[request][None, :].expand(tokens, -1).clone()
        if case["causal"]:
            visible &= key <= query
        if case["windowLeft"] >= 0:
            visible &= key >= query - case["windowLeft"]
        logits = logits.masked_fill(~visible, float("-inf"))
        if case["sinks"]:
            sink = sinks.double()[:, None, None].expand(-1, tokens, 1)
            logits = torch.cat([logits, sink], -1)
            v = torch.cat([v, torch.zeros_like(v[:1]) if len(v) else v.new_zeros(1, *v.shape[1:])], 0)
        lse = logits.new_full(logits.shape[:2], float("-inf"))
        if logits.shape[-1]:
            lse = torch.logsumexp(logits, -1)
        weights = torch.exp(logits - torch.where(lse.isinf(), 0, lse)[..., None])
        outputs.append(torch.einsum("hts,shd->thd", weights, v))
        lses.append(lse.T)
    return torch.cat(outputs), torch.cat(lses)


def run(folder, cubins, case):
    torch.manual_seed(1)
    scales = (0.7, 1.3) if case["kvDtype"].startswith("float8") else (1.0, 1.0)
    (k, v), pages, seen, (keys, values) = make_tokens(case)
    prefill = PrefillCase(folder, cubins, case, k, v, pages, scales)
    problems = []
    if prefill.kernel.ctas_per_sm < case["program"]["ctasPerSm"]:
        problems.append(f"{prefill.kernel.ctas_per_sm} CTAs fit an SM, not {case['program']['ctasPerSm']}")
    results = []
    for _ in range(3):
        prefill.poison()
        prefill.launch()
        torch.cuda.synchronize()
        results.append((prefill.o.clone(), prefill.lse.clone()))
    o, lse = reference(case, prefill.q, keys, values, seen, scales, prefill.sinks, prefill.slopes)
    got, got_lse = results[0][0].double(), results[0][1].double()
    error = float((got - o).norm() / o.norm())
    empty = lse.isinf()
    lse_error = float(((got_lse - lse).abs() / lse.abs().clamp(min=1))[~empty].max())
    if not error <= LIMIT[case["dtype"]]:
        problems.append("output")
    # Rows of few keys weigh little in the whole: each request's own error.
    start = 0
    for request, tokens in enumerate(case["qoLens"]):
        rows = slice(start, start + tokens)
        start += tokens
        if tokens and float(o[rows].norm()) > 0:
            own = float((got[rows] - o[rows]).norm() / o[rows].norm())
            if not own <= LIMIT[case["dtype"]] * 1.5:
                problems.append(f"request {request} ({tokens} of {case['kvLens'][request]}): {own:.2e}")
    if not lse_error <= 1e-5:
        problems.append("lse")
    if not torch.equal(got_lse.isinf(), empty) or bool(got[empty].any()):
        problems.append("empty rows")
    same = lambda a, b: torch.equal(a[0].view(torch.int16), b[0].view(torch.int16)) and torch.equal(a[1], b[1])
    if not all(same(result, results[0]) for result in results[1:]):
        problems.append("differs between runs")
    if bool(prefill.counters.any()):
        problems.append("counters are not back at zero")
    if bool((prefill.partial_o != -1).any()) or bool((prefill.partial_lse != -1).any()):
        problems.append("partial states are left")
    status = int(prefill.image[10])
    if (status > 0) != (case["badPages"] or case["hiddenPages"] > 0):
        problems.append(f"status {status}")
    if case["trace"]:
        records = prefill.trace.cpu()
        tiles, merges = records[: case["numTiles"]], records[case["capacity"]["maxTiles"] :][: case["numMergeGroups"]]
        times = records.view(torch.int64)
        if not (tiles[:, 3] == 1).all() or not (merges[:, 3] == 2).all() or (times[:, 3] < times[:, 2]).any():
            problems.append("trace")
    verdict = "FAIL " + ", ".join(problems) if problems else "ok"
    print(f"{verdict}: {case['name']} [{case['policy']}]: error {error:.2e}, LSE {lse_error:.2e}, status {status}", flush=True)
    return problems


def main():
    folder, cubins = sys.argv[1:3]
    cases = [c for c in load_cases(folder, "check") if len(sys.argv) < 4 or sys.argv[3] in c["name"]]
    failed = [case["name"] for case in cases if run(folder, cubins, case)]
    print(f"{len(cases)} cases, {len(failed)} failed: {failed}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
