"""How MediaPipe's landmarks answer a face: they follow expressions in their own way, and err together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from safetensors.numpy import load_file

from mien import assets
from mien.fit.priors import LandmarkNoise
from mien.morphable import MorphableModel


@dataclass(frozen=True, eq=False)
class LandmarkResponse:
    """Measured on renders: landmarks of a head with expression e are those of `answer` e, moved and erring.

    Attributes:
        answer: (E, E) expression coefficients that the landmarks show, by those that the face shows.
        besides: (E, 2, 478) mm at an upright face, x right and y down in the picture: how each expression at
            full strength moves the landmarks besides, as none of the model's does.
        bias: (2, 478) mm, likewise: the mean of the errors.
        noise: what they scatter around it.
    """

    answer: np.ndarray
    besides: np.ndarray
    bias: np.ndarray
    noise: LandmarkNoise


@lru_cache(maxsize=2)
def landmark_response(model: MorphableModel) -> LandmarkResponse:
    """Of a packaged model; for any other the landmarks follow every expression, each with errors of its own.

    Raises:
        mien.errors.BadAsset: the file is missing or altered.
    """
    file = f"{model.name}.landmarks.safetensors"
    if file not in assets.catalogue():
        none = LandmarkNoise(np.zeros((2, 478)), np.zeros((0, 2, 478)))
        count = model.layout.expression
        return LandmarkResponse(np.eye(count), np.zeros((count, 2, 478)), np.zeros((2, 478)), none)
    arrays = {name: array.astype(np.float64) for name, array in load_file(assets.path(file)).items()}
    noise = LandmarkNoise(arrays["variance"], arrays["factors"])
    return LandmarkResponse(arrays["answer"], arrays["besides"], arrays["bias"], noise)
