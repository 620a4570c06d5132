"""One face through several networks: what each of them makes of the same photograph, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mien.align import align
from mien.errors import MienError, NoFace
from mien.evaluation.figures import faces_figure
from mien.image import load_image, to_uint8
from mien.morphable import MorphableModel
from mien.overlay import BACKDROP
from mien.render import render
from mien.training.bootstrap import PhotoCrops, read_crops
from mien.training.network import EncoderNetwork

SHOWN_PX = 280
"""Side of each picture."""
CANDIDATES = 30
"""Photographs among which those with a face are sought."""


def through_networks(
    photos: Sequence[Path], networks: Mapping[str, tuple[EncoderNetwork, MorphableModel, int]], most: int = 3
) -> bytes:
    """PNG with a row for each of the first photographs in which there is a face: itself, then each drawing.

    Args:
        photos: picture files.
        networks: {title: (network, its morphable model, side of its crops in pixels)}.
        most: rows.

    Raises:
        NoFace: no photograph has one.
        MissingLibrary: matplotlib is not installed.
    """
    from mien.detect import detect_faces

    rows = []
    for path in photos:
        if len(rows) == most:
            break
        try:
            image = load_image(path)
        except MienError:
            continue
        if faces := detect_faces(image, 1):
            landmarks = faces[0].landmarks_px
            rows.append([align(landmarks, SHOWN_PX).warp(image)])
            rows[-1] += [_drawn(image, landmarks, *parts) for parts in networks.values()]
    if not rows:
        raise NoFace(f"in none of {len(photos)} photographs a face was found to be shown; give others")
    return faces_figure(["photograph", *networks], rows)


def _drawn(
    image: np.ndarray, landmarks_px: np.ndarray, network: EncoderNetwork, model: MorphableModel, size: int
) -> np.ndarray:
    """(SHOWN_PX, SHOWN_PX, 3) the face that a network reads in a photograph, from its code alone."""
    crop = align(landmarks_px, size)
    points = crop.to_crop(landmarks_px[:, :2]).astype(np.float32)
    crops = PhotoCrops(("",), crop.warp(to_uint8(image))[None], points[None])
    code = read_crops(network, crops, model.id)[0]
    code = code.with_(focal_px=code.focal_px * np.float32(SHOWN_PX / size))
    return render(model, code, (SHOWN_PX, SHOWN_PX), supersample=2, background=BACKDROP).image
