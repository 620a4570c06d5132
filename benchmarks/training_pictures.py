"""Random training pictures a second: sample a code, evaluate the model, rasterise, light, bytes out.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/training_pictures.py [pictures] [processes]

Base mesh, 224 x 224 px, one thread in each of two processes; the packaged model, or the tiny one of the tests
where there is none. The peak memory is printed after the first and the last quarter of the pictures: it must
not grow.
"""

from __future__ import annotations

import resource
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from mien.errors import BadAsset
from mien.facecode import FaceCode
from mien.lighting import studio_light
from mien.morphable import MorphableModel, load_model
from mien.render import render

SIZE = (224, 224)
BATCH = 8


def model() -> MorphableModel:
    """The packaged model, or the tiny one."""
    try:
        return load_model()
    except BadAsset:
        sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
        from tiny_face import tiny_face

        return tiny_face()


def sample(face: MorphableModel, rng: np.random.Generator, count: int) -> FaceCode:
    """`count` random codes: people, a tenth of the expressions, pose to about 45 degrees, coloured light."""
    layout = face.layout
    active = rng.random((count, layout.expression)) < 0.1
    parts = {
        "identity": rng.normal(size=(count, layout.identity)),
        "expression": active * rng.random((count, layout.expression)),
        "albedo": rng.normal(size=(count, layout.albedo)),
        "rotation": rng.normal(size=(count, 3)) * [0.2, 0.35, 0.15],
        "translation": rng.normal(size=(count, 3)) * [8, 8, 40] + [0, -10, 700],
        "illumination": studio_light() * rng.uniform(0.7, 1.2, (count, 1, 3))
        + rng.normal(size=(count, 9, 3)) * 0.05,
        "focal_px": rng.uniform(650, 800, count),
    }
    return FaceCode(**{name: value.astype(np.float32) for name, value in parts.items()}, model=face.id)


def pictures(face: MorphableModel, rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 224, 224, 3) uint8 random faces before random plain backgrounds."""
    background = rng.random((count, 1, 1, 3), dtype=np.float32)
    return render(face, sample(face, rng, count), SIZE, detail=False, background=background).image_uint8


def work(job: tuple[int, int, float]) -> tuple[float, float, int, int]:
    """Draws `count` pictures from `start` on: start and end time, peak memory early and late (KiB)."""
    seed, count, start = job
    face, rng = model(), np.random.default_rng(seed)
    pictures(face, rng, BATCH)
    time.sleep(max(0.0, start - time.time()))
    begun, early = time.time(), 0
    for i in range(0, count, BATCH):
        pictures(face, rng, BATCH)
        if not early and i >= count // 4:
            early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return begun, time.time(), early, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Prints pictures a second over all processes, processor time a picture, and peak memory."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    processes = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    face, rng = model(), np.random.default_rng(0)
    pictures(face, rng, BATCH)
    before = time.process_time()
    for _ in range(100 // BATCH):
        pictures(face, rng, BATCH)
    processor_ms = 1e3 * (time.process_time() - before) / 100
    each = count // processes
    with get_context("spawn").Pool(processes) as pool:
        start = time.time() + 5
        results = pool.map(work, [(seed, each, start) for seed in range(processes)], chunksize=1)
    begun, ended, early, late = zip(*results, strict=True)
    rate = processes * each / (max(ended) - min(begun))
    print(
        f"model {face.id}, {len(face.identity_mean):,} vertices, {SIZE[0]} x {SIZE[1]} px, batches of {BATCH}"
    )
    print(f"{rate:.0f} pictures a second, {processes} processes; {processor_ms:.2f} ms of processor for each")
    print(f"peak memory: {max(early) >> 10} MiB after a quarter, {max(late) >> 10} MiB at the end")


if __name__ == "__main__":
    main()
