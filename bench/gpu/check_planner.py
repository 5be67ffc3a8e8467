#!/usr/bin/env python3
"""The planner on the device against the host's images, word for word: check_planner.py CASES CUBINS.

Every case runs three times into a poisoned image. Ends with status 1 where a word differs."""
import json
import os
import struct
import sys

import torch

from decode_case import pack_params
from driver import Kernel

PLANNER_CTAS, PLANNER_THREADS = 8, 256
HEADER_BAD_LENGTHS, HEADER_UNSPLIT_PLANS = 12, 13


def read_cases(folder):
    with open(os.path.join(folder, "plan-cases.json")) as file:
        meta = json.load(file)
    with open(os.path.join(folder, "plan-cases.bin"), "rb") as file:
        raw = file.read()
    at = 4

    def ints(count):
        nonlocal at
        values = torch.frombuffer(bytearray(raw[at:at + 4 * count]), dtype=torch.int32) if count else torch.empty(0, dtype=torch.int32)
        at += 4 * count
        return values

    for case in meta["cases"]:
        params = raw[at:at + meta["params"]["byteLength"]]
        at += len(params)
        batch = int(ints(1))
        kv_lens, page_ranges = ints(batch), ints(2 * batch)
        yield meta["params"], case, params, kv_lens, page_ranges, ints(int(ints(1)))


def with_addresses(layout, params, addresses):
    block = bytearray(params)
    for field in layout["fields"]:
        if field["name"] in addresses:
            struct.pack_into("<Q", block, field["offset"], addresses[field["name"]])
    return bytes(block)


def main():
    folder, cubins = sys.argv[1:3]
    kernel = Kernel(os.path.join(cubins, "plan_tiles.cubin"), "plan_tiles", PLANNER_THREADS, 0)
    wrong = total = 0
    for layout, case, params, kv_lens, page_ranges, wanted in read_cases(folder):
        lens, ranges = kv_lens.cuda(), page_ranges.cuda()
        wanted = wanted.clone()
        wanted[HEADER_UNSPLIT_PLANS] = case["unsplitPlans"]
        for _ in range(3):
            image = torch.full_like(wanted, -7).cuda()
            image[:16] = 0
            addresses = dict(kv_lens=lens.data_ptr(), page_ranges=ranges.data_ptr(), workspace=image.data_ptr(), num_requests=0)
            kernel.launch(PLANNER_CTAS, with_addresses(layout, params, addresses))
            torch.cuda.synchronize()
            different = (image.cpu() != wanted).nonzero().flatten()
            total += 1
            if len(different):
                wrong += 1
                first = int(different[0])
                print(f"DIFFERS {case['policy']} {case['name']}: {len(different)} words, first {first}: got {int(image[first])}, wanted {int(wanted[first])}")
                break
    print(f"planner: {total} plans, {wrong} cases that differ")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
