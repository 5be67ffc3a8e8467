"""One case of make-cases.ts on the device: its pools, page list, workspace and outputs, and the launch of its kernel."""
import json
import os
import struct

import torch

from driver import Kernel

CODE = {"float16": 1, "bfloat16": 2, "float8_e4m3fn": 3, "float8_e5m2": 4}
NUM_SMS = 132
kernels = {}


def load_kernel(folder, case):
    program = case["program"]
    name = program["name"]
    if name not in kernels:
        path = os.path.join(folder, name + ".cubin")
        kernels[name] = Kernel(path, "attention_decode", program["threads"], program["sharedMemoryBytes"])
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
        self.kernel.launch(NUM_SMS, self.params(rotation), pdl)
