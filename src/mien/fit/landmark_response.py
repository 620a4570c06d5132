"""How MediaPipe's landmarks answer a face: they follow expressions in their own way, and err together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from safetensors.numpy import load_file

from mien import assets
from mien.morphable import MorphableModel


@dataclass(frozen=True, eq=False)
class LandmarkNoise:
    """Errors of detected landmarks on an upright face: Gaussian, with a part that landmarks share.

    The covariance is diag(variance) + factorsᵀ factors. Without the shared part 478 landmarks would seem to
    say far more about a head than they do.

    Attributes:
        variance: (2, L) mm² at the face, x right and y down in the picture, of each landmark by itself.
        factors: (R, 2, L) mm per standard deviation of each shared error.
    """

    variance: np.ndarray
    factors: np.ndarray

    def rolled(self, rotation: np.ndarray) -> LandmarkNoise:
        """The noise in the picture of a head with pose R (3, 3): turned with the head's in-plane angle."""
        down = -rotation[:2, 1] * [1, -1]
        cosine, sine = np.array([down[1], -down[0]]) / max(np.hypot(*down), 1e-6)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        return LandmarkNoise(
            np.einsum("ab,bl->al", turn**2, self.variance),
            np.einsum("ab,rbl->ral", turn, self.factors),
        )


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
    arrays, noise = _measured(model.name), landmark_noise(model.name)
    if arrays is None:
        count = model.layout.expression
        return LandmarkResponse(np.eye(count), np.zeros((count, 2, 478)), np.zeros((2, 478)), noise)
    return LandmarkResponse(arrays["answer"], arrays["besides"], arrays["bias"], noise)


def landmark_noise(model_name: str) -> LandmarkNoise:
    """The noise of `landmark_response` alone."""
    arrays = _measured(model_name)
    if arrays is None:
        return LandmarkNoise(np.zeros((2, 478)), np.zeros((0, 2, 478)))
    return LandmarkNoise(arrays["variance"], arrays["factors"])


@lru_cache(maxsize=2)
def _measured(model_name: str) -> dict[str, np.ndarray] | None:
    file = f"{model_name}.landmarks.safetensors"
    if file not in assets.catalogue():
        return None
    return {name: array.astype(np.float64) for name, array in load_file(assets.path(file)).items()}
