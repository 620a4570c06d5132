"""One face through several networks: what each of them makes of the same photograph, side by side."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mien.align import align
from mien.crop_camera import to_crop_camera, to_photo_camera
from mien.errors import MienError, NoFace
from mien.evaluation.encoders import LoadedEncoder
from mien.evaluation.figures import faces_figure
from mien.image import load_image, to_uint8
from mien.overlay import BACKDROP
from mien.render import render
from mien.thesis.crop import hull_crop, hull_square
from mien.thesis.preset import hull_finder
from mien.training.bootstrap import PhotoCrops, read_crops

SHOWN_PX = 280
"""Side of each picture."""
CANDIDATES = 30
"""Photographs among which those with a face are sought."""


def through_networks(photos: Sequence[Path], encoders: Mapping[str, LoadedEncoder], most: int = 3) -> bytes:
    """PNG with a row for each of the first photographs in which there is a face: itself, then each drawing.

    Every network reads its preset's crop, and all faces are drawn in the same square of the photograph. Where
    a network of the thesis is among them, a face is one that its detectors find too.

    Args:
        photos: picture files.
        encoders: by their titles.
        most: rows.

    Raises:
        NoFace: no photograph has one.
        MissingLibrary: matplotlib, or a preset's detectors, are not installed.
    """
    rows = []
    with _finder({encoder.recipe.preset for encoder in encoders.values()}) as find:
        for path in photos:
            if len(rows) == most:
                break
            try:
                image = load_image(path)
            except MienError:
                continue
            if found := find(image):
                rows.append([align(found[1], SHOWN_PX).warp(image)])
                rows[-1] += [drawn(image, *found, encoder) for encoder in encoders.values()]
    if not rows:
        raise NoFace(f"in none of {len(photos)} photographs a face was found to be shown; give others")
    return faces_figure(["photograph", *encoders], rows)


@contextmanager
def _finder(
    presets: Collection[str],
) -> Iterator[Callable[[np.ndarray], tuple[np.ndarray | None, np.ndarray] | None]]:
    """What finds a picture's largest face: the thesis's landmarks if asked for, and MediaPipe's."""
    if "thesis" in presets:
        with hull_finder() as find:
            yield find
        return
    from mien.detect import detect_faces

    def find(image: np.ndarray) -> tuple[None, np.ndarray] | None:
        faces = detect_faces(image, 1)
        return (None, faces[0].landmarks_px[:, :2]) if faces else None

    yield find


def drawn(
    image: np.ndarray, landmarks68_px: np.ndarray | None, landmarks_px: np.ndarray, encoder: LoadedEncoder
) -> np.ndarray:
    """(SHOWN_PX, SHOWN_PX, 3) sRGB: what a network reads in a photograph, drawn in the square of `align`.

    Args:
        image: (H, W, 3) float, sRGB in [0, 1].
        landmarks68_px: (68, 2) of the thesis's detectors; only its networks need them.
        landmarks_px: (478, 2) MediaPipe's.
        encoder: whose network reads.
    """
    size, pixels = encoder.recipe.size, to_uint8(image)
    if encoder.recipe.preset == "thesis":
        alignment = hull_square(landmarks68_px, size)
        crop, _ = hull_crop(pixels, landmarks68_px, size)
    else:
        alignment = align(landmarks_px, size)
        crop = alignment.warp(pixels)
    points = alignment.to_crop(landmarks_px).astype(np.float32)
    code = read_crops(encoder.network, PhotoCrops(("",), crop[None], points[None]), encoder.model.id)[0]
    principal_px = np.array(image.shape[1::-1]) / 2
    in_photo = to_photo_camera(code, principal_px, alignment)
    shown = to_crop_camera(in_photo, principal_px, align(landmarks_px, SHOWN_PX))
    return render(encoder.model, shown, (SHOWN_PX, SHOWN_PX), supersample=2, background=BACKDROP).image
