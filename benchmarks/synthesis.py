"""Labelled pictures a second with everything on: what feeds a training run, and where its time goes.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/synthesis.py [blocks] [processes]

`mien.synthesis.generate` with the packaged model, one thread in each of two processes that start together;
then in one process the processor time of each stage.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from multiprocessing import get_context
from unittest.mock import patch

import cv2

import mien.render
import mien.synthesis.codes
import mien.synthesis.world
from mien.morphable import load_model
from mien.synthesis import BLOCK, Recipe, generate

SIZES = (224, 112)
SEED = 1
STAGES = {
    "codes": (mien.synthesis.codes, ("random_codes", "seen_in_crops", "landmarks_in_crops")),
    "mesh and light": (mien.render, ("render",)),
    "rasteriser": (mien.render, ("rasterize",)),
    "light to bytes": (mien.render.Rendering, ("_encoded",)),
    "background": (mien.synthesis.world.World, ("backgrounds",)),
    "hair, glasses, hands": (mien.synthesis.world.World, ("_dress",)),
    "camera": (mien.synthesis.world.World, ("_shoot",)),
}
"""Functions of each stage. What one calls of another's is the other's."""


def work(job: tuple[int, int, int, float]) -> tuple[float, float, float]:
    """Makes `blocks` blocks from `start` on: when it began and ended, and processor time."""
    size, first, blocks, start = job
    cv2.setNumThreads(1)
    model, recipe = load_model(), Recipe(size)
    generate(model, recipe, SEED, first)
    time.sleep(max(0.0, start - time.time()))
    begun, before = time.time(), time.thread_time()
    for block in range(first, first + blocks):
        generate(model, recipe, SEED, block)
    return begun, time.time(), time.thread_time() - before


def stages(size: int, blocks: int) -> dict[str, float]:
    """Processor time of each stage in milliseconds a picture; "the rest" is what none of them is."""
    spent: dict[str, float] = defaultdict(float)
    open_stages = ["the rest"]
    mark = 0.0

    def switch(stage: str) -> None:
        nonlocal mark
        now = time.thread_time()
        spent[stage] += now - mark
        mark = now

    def timed(stage: str, function: Callable) -> Callable:
        @wraps(function)
        def timed_function(*arguments, **options):
            switch(open_stages[-1])
            open_stages.append(stage)
            try:
                return function(*arguments, **options)
            finally:
                switch(open_stages.pop())

        return timed_function

    model, recipe = load_model(), Recipe(size)
    generate(model, recipe, SEED, 0)
    with ExitStack() as patches:
        for stage, (owner, names) in STAGES.items():
            for name in names:
                patches.enter_context(patch.object(owner, name, timed(stage, getattr(owner, name))))
        mark = time.thread_time()
        for block in range(blocks):
            generate(model, recipe, SEED, block)
        switch("the rest")
    return {name: 1e3 * seconds / (blocks * BLOCK) for name, seconds in spent.items()}


def main() -> None:
    """Prints, for each size, pictures a second over all processes, and milliseconds a picture by stage."""
    blocks = int(sys.argv[1]) if len(sys.argv) > 1 else 16
    processes = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    cv2.setNumThreads(1)
    for size in SIZES:
        with get_context("spawn").Pool(processes) as pool:
            start = time.time() + 15
            jobs = [(size, blocks * i, blocks, start) for i in range(processes)]
            begun, ended, processor = zip(*pool.map(work, jobs, chunksize=1), strict=True)
        pictures = processes * blocks * BLOCK
        rate = pictures / (max(ended) - min(begun))
        print(
            f"{size} px: {rate:.0f} pictures a second, {processes} processes; "
            f"{1e3 * sum(processor) / pictures:.2f} ms of processor for each"
        )
        spent = stages(size, max(1, blocks // 4))
        for name, milliseconds in sorted(spent.items(), key=lambda item: -item[1]):
            print(f"  {milliseconds:5.2f} ms  {name}")
        print(f"  bound by the {max(spent, key=spent.get)}")


if __name__ == "__main__":
    main()
