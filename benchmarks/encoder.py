"""Milliseconds of the encoder on the example photograph, by what is added to it; one thread.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/encoder.py [repeats]

Interleaved, medians of processor time: all threads added up. The fit from the mean face and from the
encoder's code are beside each other in the same run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mien.align import align
from mien.crop_camera import encode_face
from mien.detect import detect_faces
from mien.encoder import packaged_encoder
from mien.fit import fit_face
from mien.image import load_image, to_uint8
from mien.morphable import load_model
from mien.reconstruction import reconstruct

PHOTO = Path(__file__).parents[1] / "examples" / "astronaut.jpg"


def main() -> None:
    """Prints a line for each."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    model, encoder, image = load_model(), packaged_encoder(), load_image(PHOTO)
    landmarks_px = detect_faces(image, 1)[0].landmarks_px
    alignment = align(landmarks_px, encoder.size)
    crop = to_uint8(alignment.warp(image))[None]
    points = alignment.to_crop(landmarks_px[:, :2])[None]
    code = encode_face(encoder, image, landmarks_px)
    what: dict[str, Callable[[], object]] = {
        "network": lambda: encoder(crop, points),
        "network, crop and camera": lambda: encode_face(encoder, image, landmarks_px),
        "detection": lambda: detect_faces(image, 1),
        "photo to code without refinement": lambda: reconstruct(image, max_faces=1, refine=False),
        "fit from the encoder's code": lambda: fit_face(model, landmarks_px, image, start=code),
        "fit from the mean face": lambda: fit_face(model, landmarks_px, image),
        "photo to code with refinement": lambda: reconstruct(image, max_faces=1),
    }
    times: dict[str, list[float]] = {name: [] for name in what}
    for _ in range(repeats + 1):
        for name, function in what.items():
            start = time.process_time()
            function()
            times[name].append(1e3 * (time.process_time() - start))
    for name, values in times.items():
        print(f"{name:34s} {np.median(values[1:]):6.1f} ms")


if __name__ == "__main__":
    main()
