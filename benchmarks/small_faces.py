"""Writes labelled photographs again as small posed sets come: faces cut out tightly, grey, a few pixels.

    python benchmarks/small_faces.py ../shared/data/expression_yale small --size 48
    mien evaluate expression small

A photograph without a face is left out and named.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from mien.detect import detect_faces
from mien.image import load_image, save_png

MARGIN = 1.02
"""Side of the square over the longer side of the landmarks' box."""


def main() -> None:
    options = _options()
    for path in sorted(
        p for p in options.folder.glob("*/*") if p.suffix.lower() in (".png", ".jpg", ".jpeg")
    ):
        image = load_image(path)
        faces = detect_faces(image, max_faces=1)
        if not faces:
            print(f"{path}: no face found; left out", file=sys.stderr)
            continue
        place = options.out / path.parent.name / f"{path.stem}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        save_png(place, small_face(image, faces[0].landmarks_px, options.size))


def small_face(image: np.ndarray, landmarks_px: np.ndarray, size: int) -> np.ndarray:
    """(size, size, 3) grey sRGB: the square about the landmarks.

    Args:
        image: (H, W, 3) float, sRGB in [0, 1].
        landmarks_px: (478, 2 or more).
        size: pixels.
    """
    low, high = landmarks_px[:, :2].min(0), landmarks_px[:, :2].max(0)
    half = 0.5 * MARGIN * (high - low).max()
    x0, y0 = np.rint((low + high) / 2 - half).astype(int)
    side = round(2 * half)
    border = cv2.copyMakeBorder(image, side, side, side, side, cv2.BORDER_REPLICATE)
    crop = border[y0 + side : y0 + 2 * side, x0 + side : x0 + 2 * side].astype(np.float32)
    grey = cv2.cvtColor(cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    return np.repeat(grey[..., None], 3, axis=2)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="with a sub-folder for each class")
    parser.add_argument("out", type=Path, help="the same, of small pictures")
    parser.add_argument("--size", type=int, default=48, help="side in pixels")
    return parser.parse_args()


if __name__ == "__main__":
    main()
