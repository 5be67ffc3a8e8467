#!/usr/bin/env python3
"""Plays the launches of record-programs.ts on a GPU: check_programs.py RECORDS CUBINS. The bytes must be those of the CPU
device; only the sums of tensor_compare, which are added in another order, and merged states, which are merged in float32 and
not in float64, may differ by rounding. Exits 1 on any miss."""
import json
import os
import struct
import sys

import torch

from driver import Kernel


def load(folder, name):
    data = open(os.path.join(folder, name), "rb").read()
    return torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.zeros(0, dtype=torch.uint8)


def play(folder, kernels, record):
    buffers = {file["handle"]: load(folder, file["name"] + ".before").cuda() for file in record["files"]}
    params = bytearray.fromhex(record["params"])
    for relocation in record["relocations"]:
        address = buffers[relocation["buffer"]].data_ptr() + relocation["byteOffset"]
        struct.pack_into("<Q", params, relocation["offset"], address)
    kernels[record["program"]].launch(record["grid"][0], bytes(params), pdl=False)
    torch.cuda.synchronize()
    for file in record["files"]:
        got, wanted = buffers[file["handle"]].cpu(), load(folder, file["name"] + ".after")
        if torch.equal(got, wanted):
            continue
        if record["program"] == "tensor_compare":
            a, b = got.view(torch.float64), wanted.view(torch.float64)
            if torch.allclose(a, b, rtol=1e-12, atol=0, equal_nan=True):
                continue
        if file.get("rounded"):
            dtype = getattr(torch, file["rounded"])
            a, b = got.view(dtype).float(), wanted.view(dtype).float()
            # One unit in the last place of what was stored, or a few of float32.
            if torch.allclose(a, b, rtol=max(torch.finfo(dtype).eps, 2e-6), atol=2e-6, equal_nan=True):
                continue
        return int((got != wanted).sum())
    return 0


def main():
    folder, cubins = sys.argv[1:3]
    with open(os.path.join(folder, "records.json")) as file:
        records = json.load(file)
    names = sorted({record["program"] for record in records})
    kernels = {name: Kernel(os.path.join(cubins, name + ".cubin"), name, 256, 0) for name in names}
    failed = 0
    for index, record in enumerate(records):
        wrong = play(folder, kernels, record)
        if wrong:
            failed += 1
            print(f"FAIL {index}: {record['program']}: {wrong} bytes differ")
    print(f"{len(records)} launches of {', '.join(names)}: {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
