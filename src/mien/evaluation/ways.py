"""The ways to read a face that are measured against each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from mien.crop_camera import encode_face
from mien.detect import DetectedFace
from mien.encoder import Encoder
from mien.facecode import ARKIT_NAMES, FaceCode
from mien.fit import Fitter
from mien.morphable import MorphableModel
from mien.reconstruction import reconstruct

Estimate = Callable[[np.ndarray, np.ndarray], FaceCode]
"""(H, W, 3) sRGB in [0, 1] and (478, 3) landmarks in pixels to a code."""

Way = Literal["encoder+fit", "encoder", "fit", "fit-without-polish", "fit-of-landmarks"]
WAYS: tuple[Way, ...] = get_args(Way)
"""What `mien reconstruct` does; with --no-refine; and the fit from the mean face, whole or in part."""


def estimate_by(way: Way, fitter: Fitter, encoder: Encoder | None) -> Estimate:
    """One of `WAYS` as a function.

    Args:
        way: its name.
        fitter: of the ways that fit.
        encoder: of the ways that encode; of the fitter's model.
    """

    def estimate(image: np.ndarray, landmarks_px: np.ndarray) -> FaceCode:
        start = encode_face(encoder, image, landmarks_px) if way.startswith("encoder") else None
        if way == "encoder":
            return start
        return fitter(
            landmarks_px,
            image.shape[1::-1],
            None if way == "fit-of-landmarks" else image,
            polish=way != "fit-without-polish",
            start=start,
        ).code

    return estimate


@dataclass(frozen=True, eq=False)
class _Found:
    """A detector that has found its face already."""

    face: DetectedFace

    def detect(self, image: np.ndarray, max_faces: int) -> list[DetectedFace]:
        return [self.face]


def as_reconstructed(model: MorphableModel, refine: bool = True) -> Estimate:
    """What `mien reconstruct` makes of a detected face, in any model.

    Args:
        model: packaged or added.
        refine: as in `mien.reconstruction.reconstruct`.
    """

    def estimate(image: np.ndarray, landmarks_px: np.ndarray) -> FaceCode:
        box = (*landmarks_px[:, :2].min(0), *landmarks_px[:, :2].max(0))
        face = DetectedFace(landmarks_px, np.zeros(len(ARKIT_NAMES)), box, 1.0)
        return reconstruct(image, model=model, refine=refine, detector=_Found(face))[0].code

    return estimate
