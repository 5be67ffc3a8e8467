#!/usr/bin/env python3
"""Checks the decode kernel against float64: check_decode.py CASES CUBINS [NAME_PART]. Exits 1 on any miss.

Pools and outputs start as NaN; keys and values are written for the tokens of the batch alone."""
import sys

import torch

from decode_case import DecodeCase, load_cases, share_pages, torch_dtype

# Runs of a case, which must all give the same bits.
RUNS = 3
LIMIT = {"float16": 1e-3, "bfloat16": 4e-3}


def make_pools(case):
    """Pools of NaN with random tokens; returns them, the page list, and float64 [tokens, heads, dim] of each request."""
    page, heads, dim, device = case["pageSize"], case["numKvHeads"], case["headDim"], "cuda"
    num_pages = case["pages"] + 7
    shape = (num_pages, page, heads, dim) if case["layout"] == "NHD" else (num_pages, heads, page, dim)
    kv_dtype = torch_dtype(case["kvDtype"])
    order = share_pages(case, torch.randperm(num_pages, device=device)[: case["pages"]].int())
    if case["badPages"]:
        bad = torch.randperm(case["pages"], device=device)[: case["pages"] // 10]
        order[bad[::2]] = -1
        order[bad[1::2]] = num_pages + 5
    pools, wanted = [], []
    for _ in range(2):
        pool = torch.full(shape, float("nan"), device=device).to(kv_dtype)
        by_token = pool if case["layout"] == "NHD" else pool.transpose(1, 2)
        requests, start = [], 0
        for length in case["kvLens"]:
            count = -(-length // page)
            pages = order[start : start + count].long()
            listed = torch.arange(start, start + count, device=device) < case["pages"] - case["unlistedPages"]
            start += count
            good = (pages >= 0) & (pages < num_pages) & listed
            token = torch.arange(length, device=device)
            seen = good[token // page] if length else torch.zeros(0, dtype=torch.bool, device=device)
            x = torch.randn(length, heads, dim, device=device)
            if requests and case["sharedTokens"]:
                x[: case["sharedTokens"]] = requests[0][0][: case["sharedTokens"]].float()
            x = x.to(kv_dtype)
            at = pages[token // page][seen] if length else pages
            by_token.view(torch.uint8 if kv_dtype.itemsize == 1 else torch.int16)[at, (token % page)[seen]] = x[seen].view(
                torch.uint8 if kv_dtype.itemsize == 1 else torch.int16)
            requests.append((x.double(), seen))
        pools.append(pool)
        wanted.append(requests)
    return pools, order, wanted


def reference(case, q, k, v, scales, sinks, slopes):
    outputs, lses, start = [], [], 0
    group = case["numQoHeads"] // case["numKvHeads"]
    for request, tokens in enumerate(case["qoLens"]):
        x = q[start : start + tokens].double()
        start += tokens
        keys, seen = k[request]
        values, _ = v[request]
        keys = (keys * scales[0]).repeat_interleave(group, 1)
        values = (values * scales[1]).repeat_interleave(group, 1)
        logits = torch.einsum("thd,shd->hts", x, keys) * case["headDim"] ** -0.5
        if case["softCap"]:
            logits = case["softCap"] * torch.tanh(logits / case["softCap"])
        query = torch.arange(tokens, device=q.device)[:, None] + len(seen) - tokens
        key = torch.arange(len(seen), device=q.device)[None, :]
        if slopes is not None:
            logits = logits + slopes.double()[:, None, None] * (key - query)
        visible = seen[None, :].expand(tokens, -1).clone()
        if case["causal"]:
            visible &= key <= query
        if case["windowLeft"] >= 0:
            visible &= key >= query - case["windowLeft"]
        logits = logits.masked_fill(~visible, float("-inf"))
        lse = torch.logsumexp(logits, -1) if len(seen) else torch.full(logits.shape[:2], float("-inf"), device=q.device, dtype=torch.double)
        if sinks is not None:
            lse = torch.logaddexp(lse, sinks.double()[:, None])
        weights = torch.exp(logits - torch.where(lse.isinf(), 0, lse)[..., None])
        outputs.append(torch.einsum("hts,shd->thd", weights, values))
        lses.append(lse.T)
    return torch.cat(outputs), torch.cat(lses)


def run(folder, cubins, case):
    torch.manual_seed(1)
    scales = (0.7, 1.3) if case["kvDtype"].startswith("float8") else (1.0, 1.0)
    (k, v), order, (keys, values) = make_pools(case)
    decode = DecodeCase(folder, cubins, case, k, v, order[None], scales)
    if decode.kernel.ctas_per_sm != 1:
        return f"{decode.kernel.ctas_per_sm} CTAs fit an SM"
    results = []
    for _ in range(RUNS):
        decode.poison()
        decode.launch()
        torch.cuda.synchronize()
        results.append((decode.o.clone(), decode.lse.clone()))
    o, lse = reference(case, decode.q, keys, values, scales, decode.sinks, decode.slopes)
    got, got_lse = results[0][0].double(), results[0][1].double()
    error = float((got - o).norm() / o.norm())
    empty = lse.isinf()
    lse_error = float(((got_lse - lse).abs() / lse.abs().clamp(min=1))[~empty].max())
    problems = []
    if not error <= LIMIT[case["dtype"]]:
        problems.append("output")
    if not lse_error <= 1e-5:
        problems.append("lse")
    keyless = (o == 0).all(-1)
    if not torch.equal(got_lse.isinf(), empty) or bool(got[keyless].any()):
        problems.append("rows without keys")
    if not all(torch.equal(a.view(torch.int16), results[0][0].view(torch.int16)) and torch.equal(b, results[0][1]) for a, b in results[1:]):
        problems.append("differs between runs")
    if bool(decode.counters.any()):
        problems.append("counters are not back at zero")
    if bool((decode.partial_o != -1).any()) or bool((decode.partial_lse != -1).any()):
        problems.append("partial states are left")
    status = int(decode.image[10])
    if (status > 0) != (case["badPages"] or case["unlistedPages"] > 0):
        problems.append(f"status {status}")
    if case["trace"]:
        records = decode.trace.cpu()
        tiles, merges = records[: case["numTiles"]], records[case["capacity"]["maxTiles"] :][: case["numMergeGroups"]]
        times = records.view(torch.int64)
        if not (tiles[:, 3] == 1).all() or not (merges[:, 3] == 2).all() or (times[:, 3] < times[:, 2]).any():
            problems.append("trace")
    print(f"{'FAIL ' + ', '.join(problems) if problems else 'ok'}: {case['name']} [{case['policy']}]: error {error:.2e}, LSE {lse_error:.2e}, status {status}", flush=True)
    return problems


def main():
    folder, cubins = sys.argv[1:3]
    cases = [c for c in load_cases(folder, "check") if len(sys.argv) < 4 or sys.argv[3] in c["name"]]
    failed = [case["name"] for case in cases if run(folder, cubins, case)]
    print(f"{len(cases)} cases, {len(failed)} failed: {failed}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
