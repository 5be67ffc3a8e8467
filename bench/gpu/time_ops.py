#!/usr/bin/env python3
"""Times append, merge of states and casts on a GPU, with torch's own way beside: time_ops.py RECORDS CUBINS OUT. RECORDS
(record-programs.ts) has the layouts of the parameters. Calls rotate over up to 64 buffers, 512 MB at most, chained in one
graph; time / calls, median of 9 replays."""
import json
import os
import sys
import time

import torch

from decode_case import pack_params
from driver import Kernel
from time_decode import chain, gpu_facts

CODE = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2, torch.float8_e4m3fn: 3, torch.float8_e5m2: 4}
BYTES_PER_US = 3.18e6
ROTATED_BYTES = 512 << 20
HEADS, DIM = 8, 128
# As src/attention/merge-params.ts has it.
MERGE_ROWS_PER_CTA = 16


class Op:
    def __init__(self, records, cubins, name):
        with open(os.path.join(records, "params.json")) as file:
            self.layout = json.load(file)[name]
        self.kernel = Kernel(os.path.join(cubins, name + ".cubin"), name, 256, 0)

    def pack(self, **values):
        fields = {field["name"]: 0 for field in self.layout["fields"]}
        return pack_params(self.layout, fields | values)


def report(what, shape, size, calls, ours, theirs, rows, check):
    """`shape`: tokens, heads, head dim, page size, dtype of what is read and of what is written."""
    check()
    median, low, spread = chain(ours, calls)
    peer = chain(theirs, calls)[0]
    tokens, heads, dim, page_size, source, target = shape
    rows.append(dict(
        what=what, batch=tokens, kvLen=0, numQoHeads=heads, numKvHeads=heads, headDim=dim, pageSize=page_size,
        dtype=str(source)[6:], kvDtype=str(target)[6:], medianUs=round(median, 3), minUs=round(low, 3),
        spreadPct=round(spread, 2), gbps=round(size / median / 1e3, 1), floorUs=round(size / BYTES_PER_US, 4),
        peers={"torch": round(peer, 3)}))
    print(f"{what:56s} {median:9.2f} us  floor {size / BYTES_PER_US:8.2f}  {size / median / 1e3:7.1f} GB/s  spread {spread:.1f} %  torch {peer:.2f}", flush=True)


def counts(size):
    """How many buffers a call rotates over, and how many calls are chained."""
    rotations = max(1, min(64, ROTATED_BYTES // size))
    return rotations, max(rotations, min(256, int(4000 / max(2, size / BYTES_PER_US))))


def time_append(op, tokens, dtype, page_dtype, rows):
    page_size, num_pages = 16, max(4096, 2 * tokens // 16)
    # Random bits would be NaNs here and there; new keys are normal numbers.
    size = tokens * HEADS * DIM * 2 * (dtype.itemsize + page_dtype.itemsize)
    rotations, calls = counts(size)
    new = [[torch.randn(tokens, HEADS, DIM, device="cuda").to(dtype) for _ in "kv"] for _ in range(rotations)]
    pools = [torch.zeros(num_pages * page_size, HEADS, DIM, device="cuda", dtype=page_dtype) for _ in "kv"]
    slots = [torch.randperm(num_pages * page_size, device="cuda")[:tokens].contiguous() for _ in range(rotations)]
    blocks = [op.pack(
        k=k.data_ptr(), v=v.data_ptr(), k_pages=pools[0].data_ptr(), v_pages=pools[1].data_ptr(), slots=where.data_ptr(),
        num_tokens=tokens, stride_token=HEADS * DIM, stride_head=DIM, page_stride_page=page_size * HEADS * DIM,
        page_stride_token=HEADS * DIM, page_stride_head=DIM, num_pages=num_pages, page_size=page_size, num_kv_heads=HEADS,
        head_dim=DIM, dtype=CODE[dtype], page_dtype=CODE[page_dtype], k_scale=1.0, v_scale=1.0)
        for (k, v), where in zip(new, slots)]

    def check():
        op.kernel.launch(tokens, blocks[0])
        torch.cuda.synchronize()
        for pool, source in zip(pools, new[0]):
            got, wanted = pool.view(torch.uint8)[slots[0]], source.to(page_dtype).view(torch.uint8)
            if not torch.equal(got, wanted):
                raise SystemExit(f"append of {tokens} tokens is wrong")

    def theirs(i):
        for pool, source in zip(pools, new[i % rotations]):
            pool.view(torch.uint8).index_copy_(0, slots[i % rotations], source.to(page_dtype).view(torch.uint8))

    name = f"append {tokens} tokens, {HEADS} x {DIM}, {str(dtype)[6:]} to {str(page_dtype)[6:]}"
    shape = (tokens, HEADS, DIM, page_size, dtype, page_dtype)
    report(name, shape, size, calls, lambda i: op.kernel.launch(tokens, blocks[i % rotations]), theirs, rows, check)


def time_merge(op, tokens, states, heads, dim, dtype, rows):
    size = tokens * heads * (dim * dtype.itemsize + 4) * (states + 1)
    rotations, calls = counts(size)
    made = [(torch.randn(tokens, states, heads, dim, device="cuda").to(dtype), torch.randn(tokens, states, heads, device="cuda") * 4)
            for _ in range(rotations)]
    out = torch.empty(tokens, heads, dim, device="cuda", dtype=dtype)
    lse = torch.empty(tokens, heads, device="cuda")
    row = states * heads
    blocks = [op.pack(
        first_o=o.data_ptr(), first_lse=l.data_ptr(), rest_o=o[:, 1:].data_ptr(), rest_lse=l[:, 1:].data_ptr(), o=out.data_ptr(),
        lse=lse.data_ptr(), num_tokens=tokens, first_stride_token=row * dim, first_stride_head=dim, first_lse_stride_token=row,
        rest_stride_state=heads * dim, rest_stride_token=row * dim, rest_stride_head=dim, rest_lse_stride_state=heads,
        rest_lse_stride_token=row, o_stride_token=heads * dim, o_stride_head=dim, lse_stride_token=heads, num_states=states,
        num_heads=heads, head_dim=dim, state_dtype=CODE[dtype], o_dtype=CODE[dtype]) for o, l in made]
    grid = -(-tokens * heads // MERGE_ROWS_PER_CTA)

    def theirs(i):
        o, l = made[i % rotations]
        weights = torch.softmax(l, dim=1)
        (o * weights[..., None].to(dtype)).sum(dim=1), torch.logsumexp(l, dim=1)

    def check():
        op.kernel.launch(grid, blocks[0])
        torch.cuda.synchronize()
        o, l = made[0][0].double(), made[0][1].double()
        wanted = (o * torch.softmax(l, dim=1)[..., None]).sum(dim=1)
        error = float((out.double() - wanted).norm() / wanted.norm())
        lse_error = float((lse.double() - torch.logsumexp(l, dim=1)).abs().max())
        if not (error <= 2 * torch.finfo(dtype).eps and lse_error <= 1e-5):
            raise SystemExit(f"merge of {states} states is wrong: {error}, {lse_error}")

    name = f"merge {states} states, {tokens} x {heads} x {dim} {str(dtype)[6:]}"
    shape = (tokens, heads, dim, 1, dtype, dtype)
    report(name, shape, size, calls, lambda i: op.kernel.launch(grid, blocks[i % rotations]), theirs, rows, check)


def time_copy(op, shape, strides, source_dtype, target_dtype, rows):
    """`strides` of the source; the target is dense."""
    numel = shape[0] * shape[1]
    size = numel * (source_dtype.itemsize + target_dtype.itemsize)
    rotations, calls = counts(size)
    sources = [torch.randn(numel, device="cuda").to(source_dtype) for _ in range(rotations)]
    target = torch.empty(shape, device="cuda", dtype=target_dtype)
    dense = strides == (shape[1], 1)
    sizes, from_strides, to_strides = ([numel], [1], [1]) if dense else (shape, strides, (shape[1], 1))
    fields = {f"{name}_{d}": (values[d] if d < len(values) else rest) for name, values, rest in
              (("size", sizes, 1), ("src_stride", from_strides, 0), ("dst_stride", to_strides, 0)) for d in range(8)}
    blocks = [op.pack(
        dst=target.data_ptr(), src=x.data_ptr(), num_elements=numel, num_dims=len(sizes), dst_dtype=CODE[target_dtype],
        src_dtype=CODE[source_dtype], **fields) for x in sources]
    views = [x.as_strided(shape, strides) for x in sources]

    def check():
        op.kernel.launch(-(-numel // 4096), blocks[0], pdl=False)
        torch.cuda.synchronize()
        if not torch.equal(target.float(), views[0].to(target_dtype).float()):
            raise SystemExit("a copy is wrong")

    def theirs(i):
        target.copy_(views[i % rotations])

    name = f"copy {'' if dense else 'transposed '}{list(shape)}, {str(source_dtype)[6:]} to {str(target_dtype)[6:]}"
    # Rows of 4,096 elements as 32 heads of 128.
    what = (shape[0], shape[1] // 128, 128, 1, source_dtype, target_dtype)
    report(name, what, size, calls, lambda i: op.kernel.launch(-(-numel // 4096), blocks[i % rotations], pdl=False), theirs, rows, check)


def main():
    records, cubins, out = sys.argv[1:4]
    torch.manual_seed(3)
    before, rows = gpu_facts(), []
    append, merge, copy = (Op(records, cubins, name) for name in ("append_kv", "merge_states", "tensor_copy"))
    bf16, f32, f16, e4m3 = torch.bfloat16, torch.float32, torch.float16, torch.float8_e4m3fn
    with torch.no_grad():
        for tokens in (1, 128, 16384):
            time_append(append, tokens, bf16, bf16, rows)
            time_append(append, tokens, bf16, e4m3, rows)
        time_append(append, 16384, f32, bf16, rows)
        for tokens, states, heads, dim, dtype in (
            (128, 2, 32, 128, bf16), (128, 2, 32, 128, f32), (8192, 2, 32, 128, bf16), (8192, 2, 32, 128, f32),
            (1024, 8, 32, 128, bf16), (32, 64, 32, 128, f32), (8192, 2, 32, 64, f16)):
            time_merge(merge, tokens, states, heads, dim, dtype, rows)
        for source, target in ((f32, bf16), (bf16, f32), (bf16, e4m3), (e4m3, bf16)):
            time_copy(copy, (8192, 4096), (4096, 1), source, target, rows)
        time_copy(copy, (4096, 4096), (1, 4096), bf16, bf16, rows)
    result = dict(
        gpu=torch.cuda.get_device_name(0), driver=before.split(", ")[1] if before else "", cuda=torch.version.cuda,
        torch=torch.__version__, date=time.strftime("%Y-%m-%d"), command="python3 bench/gpu/time_ops.py RECORDS CUBINS RESULT.json",
        clocks={"before": before, "after": gpu_facts()}, rows=rows)
    with open(out, "w") as file:
        json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
