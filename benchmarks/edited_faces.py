"""Photographs with each of the seven expressions put into them, for others to name.

    python benchmarks/edited_faces.py ../shared/data/photos_open/cc0 edited
    peers/bin/python benchmarks/expression_peers.py edited --face-api peers

What is done is what `mien edit` does at full strength. Faces are written cut out tightly and grey. Left out
are photographs without a face, and faces seen from the side, or smiling: their skin has the folds of a smile.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import mien
from accuracy_common import progress
from mien.detect import detect_faces
from mien.expressions.prototypes import EXPRESSIONS
from mien.image import save_png
from small_faces import small_face

SIZE_PX = 96
FRONTAL_DEGREES = 25.0
CALM_SMILE = 0.25


def main() -> None:
    options = _options()
    for path in progress("editing")(sorted(options.photos.glob("*.jpg"))):
        faces = mien.reconstruct(path, max_faces=1)
        if not faces or not _calm(faces[0]):
            continue
        for name in EXPRESSIONS:
            edited = faces[0].with_expression(name)
            picture = edited.picture()
            again = detect_faces(picture, max_faces=1)
            if again:
                place = options.out / name / f"{path.stem}.png"
                place.parent.mkdir(parents=True, exist_ok=True)
                save_png(place, small_face(picture, again[0].landmarks_px, SIZE_PX))


def _calm(face: mien.Reconstruction) -> bool:
    """Whether a face looks at the camera and does not smile."""
    smile = np.mean([face.blendshapes[f"mouthSmile{side}"] for side in ("Left", "Right")])
    turn = np.degrees(abs(float(face.code.rotation[1])))
    return bool(smile < CALM_SMILE and turn < FRONTAL_DEGREES)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, help="folder of JPEG pictures")
    parser.add_argument("out", type=Path, help="gets a sub-folder for each expression")
    return parser.parse_args()


if __name__ == "__main__":
    main()
