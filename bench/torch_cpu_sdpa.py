"""PyTorch's CPU attention on the shapes of bench/cpu-decode.mts, which drives this script.

    python bench/torch_cpu_sdpa.py THREADS SETS BATCH KV_LEN QO_HEADS KV_HEADS HEAD_DIM

Then, on standard input, lines `FORM PASSES`; a line of nanoseconds, one number a pass, answers each. FORM is

packed  the query heads of a group as rows: q [batch, kv_heads, group, head_dim] over k, v [batch, kv_heads, kv_len,
        head_dim]. Decode has no mask, so this is the same computation, and the fast way to ask for it.
gqa     q [batch, qo_heads, 1, head_dim] with enable_gqa.

Needs only torch (pip install torch). Keys and values are contiguous here, not paged: less work than a paged kernel has.
"""

import sys
import time

import torch
from torch.nn.functional import scaled_dot_product_attention


def main() -> None:
    threads, sets, batch, kv_len, qo_heads, kv_heads, head_dim = map(int, sys.argv[1:8])
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    caches = [
        tuple(torch.randn(batch, kv_heads, kv_len, head_dim).to(torch.bfloat16) for _ in range(2)) for _ in range(sets)
    ]
    packed = torch.randn(batch, kv_heads, qo_heads // kv_heads, head_dim).to(torch.bfloat16)
    single = packed.reshape(batch, qo_heads, 1, head_dim)
    print(torch.__version__, torch.backends.cpu.get_cpu_capability(), flush=True)

    done = 0
    with torch.inference_mode():
        for line in sys.stdin:
            form, passes = line.split()
            times = []
            for _ in range(int(passes)):
                k, v = caches[done % sets]
                done += 1
                start = time.perf_counter_ns()
                if form == "gqa":
                    scaled_dot_product_attention(single, k, v, enable_gqa=True)
                else:
                    scaled_dot_product_attention(packed, k, v)
                times.append(time.perf_counter_ns() - start)
            print(*times, flush=True)


main()
