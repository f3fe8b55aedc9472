"""The rate of matrix products that a machine reaches: what every training's speed is held against.

    python -m benchmarks.peers.rate DEVICE

Prints floating-point operations a second, by precision: the best of several products of two square
matrices, with as many threads as the environment says.
"""

import json
import subprocess
import sys
import time

from benchmarks.peers.process import environment

# Wide enough that a product is limited by arithmetic and not by memory.
SIZES = {"cpu": 1024, "cuda": 8192}
PRECISIONS = {"fp32": "float32", "bf16": "bfloat16"}
REPEATS = 15


def matrix_product_rates(device: str, threads: int) -> dict[str, float]:
    """The rates, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.peers.rate", device]
    done = subprocess.run(
        command, env=environment(threads), check=True, capture_output=True, text=True
    )
    rates: dict[str, float] = json.loads(done.stdout)
    return rates


def measure(device: str) -> dict[str, float]:
    """The rates, with this process's threads."""
    import torch

    size = SIZES[device]
    rates = {}
    for name, dtype in PRECISIONS.items():
        one = torch.randn(size, size, device=device).to(getattr(torch, dtype))
        best = float("inf")
        for _ in range(REPEATS):
            started = time.perf_counter()
            one @ one
            if device == "cuda":
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - started)
        rates[name] = 2 * size**3 / best
    return rates


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
