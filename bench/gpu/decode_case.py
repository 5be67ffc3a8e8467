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


FORMAT = {"address": "Q", "i64": "q", "i32": "i", "u32": "I", "f32": "f"}


def pack_params(layout, values):
    """A parameter block by its descriptor (params.json): every field, no other."""
    block = bytearray(layout["byteLength"])
    missing = {field["name"] for field in layout["fields"]} ^ values.keys()
    if missing:
        raise ValueError(f"fields of the parameter block that do not match: {sorted(missing)}")
    for field in layout["fields"]:
        struct.pack_into("<" + FORMAT[field["type"]], block, field["offset"], values[field["name"]])
    return bytes(block)


def share_pages(case, lists):
    """Page lists [..., pages] in which all requests begin with the first one's pages, as far as the case says so."""
    pages, start = case.get("sharedTokens", 0) // case["pageSize"], 0
    for length in case["kvLens"] if pages else []:
        lists[..., start : start + pages] = lists[..., :pages]
        start += -(-length // case["pageSize"])
    return lists


def torch_dtype(name):
    return getattr(torch, name)


class DecodeCase:
    """Buffers of a case. `page_lists`: int32 [rotations, pages] page ids; k, v: pools as torch tensors, any layout."""

    def __init__(self, folder, cubins, case, k, v, page_lists, scales=(1.0, 1.0)):
        self.case, self.k, self.v, self.page_lists, self.scales = case, k, v, page_lists, scales
        self.kernel = load_kernel(cubins, case)
        with open(os.path.join(folder, "params.json")) as file:
            self.layout = json.load(file)
        device = "cuda"
        words = torch.frombuffer(bytearray(open(os.path.join(folder, case["file"]), "rb").read()), dtype=torch.int32)
        self.image = words.to(device)
        tokens = sum(case["qoLens"])
        shape = (tokens, case["numQoHeads"], case["headDim"])
        self.q = (torch.randn(shape, device=device) * 1.5).to(torch_dtype(case["dtype"]))
        self.o = torch.empty(shape, device=device, dtype=self.q.dtype)
        self.lse = torch.empty(shape[:2], device=device)
        capacity = case["capacity"]
        heads = case["numQoHeads"]
        self.sinks = torch.randn(heads, device=device) * 3 if case["sinks"] else None
        # Slopes of the paper: a geometric series of the head.
        self.slopes = 2.0 ** (-8.0 / heads * torch.arange(1, heads + 1, device=device)) if case["alibi"] else None
        # Partial states are all ones before the first launch, and again after each.
        rows = max(1, capacity["maxPartialRows"])
        self.partial_o = torch.full((rows, case["headDim"]), -1, device=device, dtype=torch.int32)
        self.partial_lse = torch.full((rows,), -1, device=device, dtype=torch.int32)
        self.counters = torch.zeros(capacity["maxMergeGroups"] + 4, device=device, dtype=torch.int32)
        self.trace = torch.zeros(capacity["maxTiles"] + capacity["maxMergeGroups"], 8, device=device, dtype=torch.int32)
        self.poison()

    def poison(self):
        for tensor in (self.o, self.lse):
            tensor.fill_(float("nan"))

    def params(self, rotation=0):
        case, capacity, offsets = self.case, self.case["capacity"], self.case["offsets"]
        page = case["pageSize"]
        heads, dim = case["numKvHeads"], case["headDim"]
        token, head = (heads * dim, dim) if case["layout"] == "NHD" else (dim, page * dim)
        pages = self.page_lists[rotation]
        values = dict(
            q=self.q.data_ptr(), k=self.k.data_ptr(), v=self.v.data_ptr(), kv_indices=pages.data_ptr(),
            workspace=self.image.data_ptr(), partial_o=self.partial_o.data_ptr(), partial_lse=self.partial_lse.data_ptr(),
            counters=self.counters.data_ptr(), o=self.o.data_ptr(), lse=self.lse.data_ptr(),
            trace=self.trace.data_ptr() if case["trace"] else 0,
            sinks=self.sinks.data_ptr() if case["sinks"] else 0, alibi_slopes=self.slopes.data_ptr() if case["alibi"] else 0,
            q_stride_token=case["numQoHeads"] * dim, q_stride_head=dim, o_stride_token=case["numQoHeads"] * dim,
            o_stride_head=dim, kv_stride_page=page * heads * dim, kv_stride_token=token, kv_stride_head=head,
            num_pages=self.k.numel() // (page * heads * dim), num_kv_indices=pages.numel() - case["unlistedPages"], q_dtype=CODE[case["dtype"]],
            kv_dtype=CODE[case["kvDtype"]], head_dim=dim, num_qo_heads=case["numQoHeads"], num_kv_heads=heads,
            page_size=page, causal=int(case["causal"]), window_left=case["windowLeft"], sm_scale=dim**-0.5,
            logits_soft_cap=case["softCap"], k_scale=self.scales[0], v_scale=self.scales[1],
            max_tiles=capacity["maxTiles"], max_merge_groups=capacity["maxMergeGroups"],
            max_partial_rows=capacity["maxPartialRows"], tiles_offset=offsets["tiles"],
            cta_indptr_offset=offsets["ctaIndptr"], kv_sequences_offset=offsets["kvSequences"],
            rows_offset=offsets["rows"], segments_offset=offsets["segments"],
            merge_groups_offset=offsets["mergeGroups"], merge_slots_offset=offsets["mergeSlots"])
        return pack_params(self.layout, values)

    def launch(self, rotation=0, pdl=True):
        self.kernel.launch(NUM_SMS, self.params(rotation), pdl=pdl)
