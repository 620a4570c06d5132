"""The light of each photograph: what is divided out of it to see the albedo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.lighting import CONSTANTS

SAMPLES_PER_FREEDOM = 40.0
"""How many neighbouring vertices say as much as one independent one."""

DARKEST = 0.12
"""Shading below this share of the face's median is not trusted: nothing is divided by less."""


@dataclass(frozen=True, eq=False)
class LightPrior:
    """Normal distribution of light relative to its strength, per channel of the face's median colour.

    Attributes:
        mean: (27,) of illumination (9, 3) flattened.
        precision: (27, 27) inverse covariance.
    """

    mean: np.ndarray
    precision: np.ndarray

    @classmethod
    def white(cls) -> LightPrior:
        """Uniform white light, give or take a lamp: 0.45 for the three directional terms, 0.12 for the
        quadratic ones, a tenth of that between channels; strength all but free."""
        mean = np.zeros((9, 3))
        mean[0] = 1.0 / CONSTANTS[0]
        grey = np.array([1.0] + [0.45] * 3 + [0.12] * 5) / CONSTANTS
        chroma = np.array([0.3] + [0.04] * 3 + [0.012] * 5) / CONSTANTS
        return cls(mean.ravel(), np.linalg.inv(_channel_covariance(grey, chroma)))

    @classmethod
    def of(cls, lights: np.ndarray) -> LightPrior:
        """The distribution of fitted lights (P, 9, 3), each over its own strength; strength free again."""
        relative = lights / lights[:, :1, :].mean(-1, keepdims=True) / CONSTANTS[0]
        flat = relative.reshape(len(lights), 27)
        free = np.zeros((9, 3))
        free[0] = 1.0 / CONSTANTS[0]
        covariance = np.cov(flat.T) + 1e-4 * np.eye(27) + np.outer(free, free)
        return cls(flat.mean(0), np.linalg.inv(covariance))


def fit_light(
    relative: np.ndarray, basis: np.ndarray, weight: np.ndarray, prior: LightPrior, noise: float = 0.15
) -> np.ndarray:
    """Light of one photograph by robust linear least squares with a prior.

    Args:
        relative: (N, 3) radiance divided by albedo, about 1 on the median.
        basis: (N, 9) spherical harmonics of the normals. weight: (N,) in [0, 1].
        noise: standard deviation of `relative` that albedo and geometry leave unexplained.

    Returns:
        (9, 3) illumination.
    """
    light = prior.mean.reshape(9, 3)
    trust = weight
    reliable = weight > 0.3
    for _ in range(6):
        weighted = basis.T * trust / (noise**2 * SAMPLES_PER_FREEDOM)
        matrix = np.kron(weighted @ basis, np.eye(3)) + prior.precision
        right = (weighted @ relative).ravel() + prior.precision @ prior.mean
        light = np.linalg.solve(matrix, right).reshape(9, 3)
        size = np.abs(relative - basis @ light).mean(1)
        spread = max(1.5 * np.median(size[reliable]) if reliable.any() else noise, 0.3 * noise)
        trust = weight / (1.0 + (size / (2.0 * spread)) ** 2) ** 2
    return light


def _channel_covariance(grey: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """(27, 27) covariance of (9, 3): a deviation all channels share, and a smaller one of each."""
    blocks = np.zeros((9, 3, 9, 3))
    for k in range(9):
        blocks[k, :, k, :] = grey[k] ** 2 * np.ones((3, 3)) + chroma[k] ** 2 * np.eye(3)
    return blocks.reshape(27, 27)
