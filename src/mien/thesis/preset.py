"""The preset `thesis` of the commands that make pictures and train: the thesis's settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.synthesis import Recipe
from mien.thesis.crop import SIDE, hull_crop
from mien.thesis.vectors import LAYOUT

if TYPE_CHECKING:
    from mien.training.config import TrainingConfig

MODEL = "bfm2017"
"""Name that `mien models add bfm2017` gives the Basel Face Model."""

LEARNING_RATE = 1.0
"""Adadelta's factor, as in its paper."""


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
def hull_crops(size: int) -> Iterator[Callable[[np.ndarray], tuple[np.ndarray, np.ndarray] | None]]:
    """Crops of the largest face by the thesis's detectors, for `mien.training.bootstrap.crop_faces`."""
    from mien.image import to_uint8
    from mien.thesis.detect import HaarDlibDetector

    detector = HaarDlibDetector()

    def crop(image: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        faces = detector.detect(image)
        return hull_crop(to_uint8(image), faces[0], size) if faces else None

    yield crop
