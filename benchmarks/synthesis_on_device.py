"""Speed of the random pictures in torch, and where the time goes.

    python benchmarks/synthesis_on_device.py

Needs a CUDA GPU. Pictures with everything on, from nothing to bytes, landmarks and codes on the GPU; medians.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from mien.morphable import load_model
from mien.synthesis import Recipe
from mien.synthesis.codes import random_codes
from mien.synthesis.on_device import DeviceGenerator

ROUNDS = 12


def pictures_per_second(generate: DeviceGenerator) -> float:
    """Median over `ROUNDS` blocks."""
    times = []
    for block in range(ROUNDS + 2):
        torch.cuda.synchronize()
        start = time.perf_counter()
        generate(0, block)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return generate.count / float(np.median(times[2:]))


def print_times(generate: DeviceGenerator) -> None:
    """Prints what takes the GPU's time, and the processor's for codes, for each block."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        for block in range(3):
            generate(1, block)
        torch.cuda.synchronize()
    print(profiled.key_averages().table(sort_by="self_cuda_time_total", row_limit=15))
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    random_codes(generate.model, rng, generate.count)
    print(f"codes drawn by NumPy: {generate.count / (time.perf_counter() - start):,.0f} a second")


def main() -> None:
    """Prints pictures a second by size and block, and the profile of one of them."""
    if not torch.cuda.is_available():
        print("left out: no CUDA GPU")
        return
    device, model = torch.device("cuda"), load_model()
    print(torch.cuda.get_device_name())
    for size in (112, 224):
        for count in (64, 256, 1024):
            torch.cuda.reset_peak_memory_stats()
            rate = pictures_per_second(DeviceGenerator(model, Recipe(size), device, count))
            memory = torch.cuda.max_memory_allocated() >> 20
            print(f"{size} px, blocks of {count:>4}: {rate:9,.0f} pictures a second, {memory:,} MiB at most")
    print_times(DeviceGenerator(model, Recipe(112), device, 256))


if __name__ == "__main__":
    main()
