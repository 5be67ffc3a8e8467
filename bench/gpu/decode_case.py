"""One case of make-cases.ts on the device: its pools, page list, workspace and outputs, and the launch of its kernel."""
import json
import os
import struct

import torch

from driver import Kernel

CODE = {"float16": 1, "bfloat16": 2, "float8_e4m3fn": 3, "float8_e5m2": 4}
BLOCK_TOKENS = 16
kernels = {}


def tuning(case):
    """(warps, stages) of a build; the table of src/attention/kernel-variants.ts."""
    bytes_per_stage = 2 * BLOCK_TOKENS * case["headDim"] * (1 if case["kvDtype"].startswith("float8") else 2)
    rows = 8 if case["maxRows"] <= 8 else 16
    warps = 4 if bytes_per_stage > 8192 or (case["headDim"] == 256 and rows == 16) else 8
    return warps, max(2, min(8, 131072 // (warps * bytes_per_stage))), rows, bytes_per_stage


def load_kernel(folder, case):
    warps, stages, rows, stage_bytes = tuning(case)
    if os.environ.get("DECODE_TUNING"):  # "warps,stages" of an experimental build
        warps, stages = map(int, os.environ["DECODE_TUNING"].split(","))
    name = f"decode_q{CODE[case['dtype']]}_k{CODE[case['kvDtype']]}_d{case['headDim']}_r{rows}.cubin"
    if name not in kernels:
        shared = warps * stages * (stage_bytes + 16) + warps * rows * ((case["headDim"] + 4) * 4 + 8) + 4 * 42 * 4 + 16
        kernels[name] = Kernel(os.path.join(folder, name), "attention_decode", warps * 32, (shared + 127) // 128 * 128)
    return kernels[name]


def load_cases(folder, kind):
    with open(os.path.join(folder, "cases.json")) as file:
        return [case for case in json.load(file) if case["kind"] == kind]


def torch_dtype(name):
    return getattr(torch, name)


class DecodeCase:
    """Buffers of a case. `page_lists`: int32 [rotations, pages] page ids; k, v: pools as torch tensors, any layout."""

    def __init__(self, folder, cubins, case, k, v, page_lists, scales=(1.0, 1.0)):
        self.case, self.k, self.v, self.page_lists, self.scales = case, k, v, page_lists, scales
        self.kernel = load_kernel(cubins, case)
        device = "cuda"
        words = torch.frombuffer(bytearray(open(os.path.join(folder, case["file"]), "rb").read()), dtype=torch.int32)
        self.image = words.to(device)
        tokens = sum(case["qoLens"])
        shape = (tokens, case["numQoHeads"], case["headDim"])
        self.q = (torch.randn(shape, device=device) * 1.5).to(torch_dtype(case["dtype"]))
        self.o = torch.empty(shape, device=device, dtype=self.q.dtype)
        self.lse = torch.empty(shape[:2], device=device)
        capacity = case["capacity"]
        self.partial_o = torch.empty(max(1, capacity["maxPartialRows"]), case["headDim"], device=device)
        self.partial_lse = torch.empty(max(1, capacity["maxPartialRows"]), device=device)
        self.counters = torch.zeros(capacity["maxMergeGroups"] + 4, device=device, dtype=torch.int32)
        self.trace = torch.zeros(capacity["maxTiles"] + capacity["maxMergeGroups"], 8, device=device, dtype=torch.int32)
        self.poison()

    def poison(self):
        for tensor in (self.o, self.lse, self.partial_o, self.partial_lse):
            tensor.fill_(float("nan"))

    def params(self, rotation=0):
        case, capacity, offsets = self.case, self.case["capacity"], self.case["offsets"]
        page = case["pageSize"]
        heads, dim = case["numKvHeads"], case["headDim"]
        token, head = (heads * dim, dim) if case["layout"] == "NHD" else (dim, page * dim)
        pages = self.page_lists[rotation]
        addresses = (
            self.q.data_ptr(), self.k.data_ptr(), self.v.data_ptr(), pages.data_ptr(), self.image.data_ptr(),
            self.partial_o.data_ptr(), self.partial_lse.data_ptr(), self.counters.data_ptr(), self.o.data_ptr(),
            self.lse.data_ptr(), self.trace.data_ptr() if case["trace"] else 0)
        strides = (case["numQoHeads"] * dim, dim, case["numQoHeads"] * dim, dim, page * heads * dim, token, head,
                   self.k.numel() // (page * heads * dim))
        return struct.pack(
            "<11Q8q8i4f10i", *addresses, *strides, CODE[case["dtype"]], CODE[case["kvDtype"]], dim, case["numQoHeads"],
            heads, page, int(case["causal"]), case["windowLeft"], dim**-0.5, case["softCap"], *self.scales,
            capacity["maxTiles"], capacity["maxMergeGroups"], capacity["maxPartialRows"], offsets["tiles"],
            offsets["ctaIndptr"], offsets["kvSequences"], offsets["rows"], offsets["segments"], offsets["mergeGroups"],
            offsets["mergeSlots"]).ljust(240, b"\0")

    def launch(self, rotation=0, pdl=True):
        self.kernel.launch(132 * 1, self.params(rotation), pdl)
