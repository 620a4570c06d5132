"""Speed of the thesis's pictures with a Basel Face Model 2017 of full size: 224 by 224 pixels, one thread.

    python benchmarks/thesis.py

The model is that of `benchmarks/model_files.py`, added to a folder of its own.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"

import statistics  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

BLOCKS = 6


def measure() -> None:
    """Prints the time of a picture: the median over blocks after the first."""
    from mien.morphable import load_model
    from mien.synthesis import BLOCK, generate
    from mien.thesis.preset import MODEL, model_name, recipe

    model = load_model(model_name(MODEL))
    generate(model, recipe(), 0, 0)
    times = []
    for block in range(1, BLOCKS):
        start = time.process_time()
        generate(model, recipe(), 0, block)
        times.append(1e3 * (time.process_time() - start) / BLOCK)
    print(f"{len(model.part):,} vertices: {statistics.median(times):.1f} ms of a core a picture")


def main() -> None:
    """Adds the model, then measures in a process of its own."""
    if sys.argv[1:] == ["--measure"]:
        measure()
        return
    from model_files import write_full_size

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model2017-1_bfm_nomouth.h5"
        write_full_size(file)
        environment = os.environ | {"XDG_DATA_HOME": folder}
        add = [sys.executable, "-m", "mien", "models", "add", "bfm2017", str(file)]
        subprocess.run(add, env=environment, check=True, capture_output=True)
        subprocess.run([sys.executable, __file__, "--measure"], env=environment, check=True)


if __name__ == "__main__":
    main()
