"""One case of make-prefill-cases.ts on the device: its keys and values, page list, workspace and outputs, and the launch of
its kernel."""
import json
import os

import torch

from decode_case import CODE, pack_params, torch_dtype
from driver import Kernel

kernels = {}


def load_kernel(cubins, program):
    name = program["name"]
    if name not in kernels:
        path = os.path.join(cubins, name + ".cubin")
        kernels[name] = Kernel(path, "attention_prefill", program["threads"], program["sharedMemoryBytes"])
    return kernels[name]


class PrefillCase:
    """Buffers of a case. k, v: pools, or tokens in a row where ragged; pages: int32 page ids, or None where ragged."""

    def __init__(self, folder, cubins, case, k, v, pages, scales=(1.0, 1.0)):
        self.case, self.k, self.v, self.pages, self.scales = case, k, v, pages, scales
        self.kernel = load_kernel(cubins, case["program"])
        with open(os.path.join(folder, "params.json")) as file:
            self.layout = json.load(file)
        device = "cuda"
        with open(os.path.join(folder, case["file"]), "rb") as file:
            self.image = torch.frombuffer(bytearray(file.read()), dtype=torch.int32).to(device)
        shape = (sum(case["qoLens"]), case["numQoHeads"], case["headDim"])
        self.q = (torch.randn(shape, device=device) * 1.5).to(torch_dtype(case["dtype"]))
        self.o = torch.empty(shape, device=device, dtype=self.q.dtype)
        self.lse = torch.empty(shape[:2], device=device)
        capacity = case["capacity"]
        # Partial states are all ones before the first launch, and again after each.
        rows = max(1, capacity["maxPartialRows"])
        self.partial_o = torch.full((rows, case["headDim"]), -1, device=device, dtype=torch.int32)
        self.partial_lse = torch.full((rows,), -1, device=device, dtype=torch.int32)
        self.counters = torch.zeros(capacity["maxMergeGroups"] + 4, device=device, dtype=torch.int32)
        self.trace = torch.zeros(capacity["maxTiles"] + capacity["maxMergeGroups"], 8, device=device, dtype=torch.int32)
        heads = torch.arange(case["numQoHeads"], device=device)
        self.sinks = torch.randn(case["numQoHeads"], device=device) + 3
        self.slopes = 2.0 ** (-8.0 * (heads + 1) / case["numQoHeads"])
        self.poison()
        self.block = self.params()

    def poison(self):
        for tensor in (self.o, self.lse):
            tensor.fill_(float("nan"))

    def params(self):
        case, capacity, offsets = self.case, self.case["capacity"], self.case["offsets"]
        page, heads, dim = case["pageSize"], case["numKvHeads"], case["headDim"]
        token, head = (heads * dim, dim) if case["layout"] == "NHD" else (dim, page * dim)
        values = dict(
            q=self.q.data_ptr(), k=self.k.data_ptr(), v=self.v.data_ptr(),
            kv_indices=0 if self.pages is None else self.pages.data_ptr(), workspace=self.image.data_ptr(),
            partial_o=self.partial_o.data_ptr(), partial_lse=self.partial_lse.data_ptr(), counters=self.counters.data_ptr(),
            o=self.o.data_ptr(), lse=self.lse.data_ptr(), trace=self.trace.data_ptr() if case["trace"] else 0,
            sinks=self.sinks.data_ptr() if case["sinks"] else 0,
            alibi_slopes=self.slopes.data_ptr() if case["alibi"] else 0,
            q_stride_token=case["numQoHeads"] * dim, q_stride_head=dim, o_stride_token=case["numQoHeads"] * dim,
            o_stride_head=dim, kv_stride_page=page * heads * dim, kv_stride_token=token, kv_stride_head=head,
            num_pages=self.k.numel() // (page * heads * dim),
            num_kv_indices=0 if self.pages is None else self.pages.numel() - case["hiddenPages"],
            q_dtype=CODE[case["dtype"]], kv_dtype=CODE[case["kvDtype"]], head_dim=dim, num_qo_heads=case["numQoHeads"],
            num_kv_heads=heads, page_size=page, causal=int(case["causal"]), window_left=case["windowLeft"],
            sm_scale=dim**-0.5, logits_soft_cap=case["softCap"], k_scale=self.scales[0], v_scale=self.scales[1],
            max_tiles=capacity["maxTiles"], max_merge_groups=capacity["maxMergeGroups"],
            max_partial_rows=capacity["maxPartialRows"], tiles_offset=offsets["tiles"],
            cta_indptr_offset=offsets["ctaIndptr"], kv_sequences_offset=offsets["kvSequences"],
            rows_offset=offsets["rows"], segments_offset=offsets["segments"],
            merge_groups_offset=offsets["mergeGroups"], merge_slots_offset=offsets["mergeSlots"])
        return pack_params(self.layout, values)

    def launch(self, pdl=True):
        self.kernel.launch(self.case["grid"], self.block, pdl=pdl)
