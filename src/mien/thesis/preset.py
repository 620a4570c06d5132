"""The preset `thesis` of the commands that make pictures and train: the thesis's settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.synthesis import Recipe
from mien.thesis.crop import SIDE, hull_crop, hull_square
from mien.thesis.vectors import LAYOUT

if TYPE_CHECKING:
    from mien.training.config import TrainingConfig

MODEL = "bfm2017"
"""Name that `mien models add bfm2017` gives the Basel Face Model."""

LEARNING_RATE = 1.0
"""Adadelta's factor, as in its paper."""

_SAME = 0.25  # of the crop's side: how far the middles of the same face lie apart at most


def model_name(name: str) -> str:
    """The added model of that name with as many components as the thesis has."""
    return f"{name}:{LAYOUT.identity},{LAYOUT.expression},{LAYOUT.albedo}"


def recipe(size: int = SIDE) -> Recipe:
    """Of the thesis's pictures, `size` pixels to a side."""
    return Recipe(size=size, world=False, preset="thesis")


def training_config(
    folder: Path, size: int = SIDE, model: str = MODEL, backbone: str = "resnet50", **settings: Any
) -> TrainingConfig:
    """A run as the thesis's: distances of coefficients in the model's space, Adadelta, nothing but pixels.

    Args:
        folder: of the run.
        size: side of the crops in pixels.
        model: name of an added model in the layout of the Basel Face Model 2017.
        backbone: "resnet50", "xception" or "inception_v3" in the thesis.
        settings: others of `TrainingConfig`.
    """
    from mien.training.config import TrainingConfig
    from mien.training.losses import LossWeights

    nothing = dict.fromkeys(LossWeights.__dataclass_fields__, 0.0)
    defaults = {"learning_rate": LEARNING_RATE, "weight_decay": 0.0}
    return TrainingConfig(
        folder=folder,
        recipe=recipe(size),
        model=model_name(model),
        backbone=backbone,
        landmarks=False,
        optimiser="adadelta",
        loss=LossWeights(**nothing | {"parameters": 1.0, "rotation": 1.0}),
        **defaults | settings,
    )


@contextmanager
def hull_finder() -> Iterator[Callable[[np.ndarray], tuple[np.ndarray, np.ndarray] | None]]:
    """What finds in an (H, W, 3) sRGB picture in [0, 1] the largest face: its (68, 2) and (478, 2) landmarks.

    The 68, by which the hull is cut, come from the thesis's detectors. The 478, by which all networks are
    judged, come from mien's detector: a face that only one of the two finds is none.
    """
    from mien.detect import Detector
    from mien.thesis.detect import HaarDlibDetector

    ours = HaarDlibDetector()
    with Detector() as detector:

        def find(image: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
            for landmarks68_px in ours.detect(image):
                square = hull_square(landmarks68_px, 1)
                for face in detector.detect(image):
                    landmarks_px = face.landmarks_px[:, :2]
                    if (np.abs(square.to_crop(landmarks_px).mean(0) - 0.5) < _SAME).all():
                        return landmarks68_px, landmarks_px
            return None

        yield find


@contextmanager
def hull_crops(size: int) -> Iterator[Callable[[np.ndarray], tuple[np.ndarray, np.ndarray] | None]]:
    """What makes of an (H, W, 3) sRGB picture in [0, 1] the hull crop of its largest face, and its landmarks.

    Which face that is, and whose landmarks: `hull_finder`.
    """
    from mien.image import to_uint8

    with hull_finder() as find:

        def crop(image: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
            found = find(image)
            if found is None:
                return None
            landmarks68_px, landmarks_px = found
            made, _ = hull_crop(to_uint8(image), landmarks68_px, size)
            return made, hull_square(landmarks68_px, size).to_crop(landmarks_px)

        yield crop
