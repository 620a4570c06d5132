"""How the detector errs: measured on rendered heads, whose landmarks are known, and the fit's noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from safetensors.numpy import load_file

from mien import assets


@dataclass(frozen=True, eq=False)
class LandmarkNoise:
    """Detected minus true landmarks of an upright face: Gaussian, with errors that landmarks share.

    The covariance is diag(variance) + factorsᵀ factors. Without the shared part 478 landmarks would seem to
    say far more about a head than they do.

    Attributes:
        bias: (2, L) mm at the face, x right and y down in the picture.
        variance: (2, L) mm², of each landmark by itself.
        factors: (R, 2, L) mm per standard deviation of each shared error.
    """

    bias: np.ndarray
    variance: np.ndarray
    factors: np.ndarray

    def rolled(self, rotation: np.ndarray) -> LandmarkNoise:
        """The noise in the picture of a head with pose R (3, 3): turned with the head's in-plane angle."""
        down = -rotation[:2, 1] * [1, -1]
        cosine, sine = np.array([down[1], -down[0]]) / max(np.hypot(*down), 1e-6)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        return LandmarkNoise(
            np.einsum("ab,bl->al", turn, self.bias),
            np.einsum("ab,bl->al", turn**2, self.variance),
            np.einsum("ab,rbl->ral", turn, self.factors),
        )


def load_landmark_noise(model_name: str) -> LandmarkNoise | None:
    """The measured noise of MediaPipe's landmarks on a packaged model; None if none was measured.

    Raises:
        mien.errors.BadAsset: the file is missing or altered.
    """
    file = f"{model_name}.landmark_noise.safetensors"
    if file not in assets.catalogue():
        return None
    arrays = load_file(assets.path(file))
    return LandmarkNoise(**{name: array.astype(np.float64) for name, array in arrays.items()})
