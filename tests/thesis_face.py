"""A small file in the layout of the Basel Face Model 2017 with as many components as the thesis uses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from published_files import Face, face, orthogonal

COUNTS = 70, 66, 104
"""Components of the file: a few more than the thesis's 64, 64 and 100."""


def thesis_face() -> Face:
    """The front of the default model's head: its components, and waves where it has too few."""
    small = face(COUNTS[0], 51, 60)
    rng = np.random.default_rng(0)
    moves = np.concatenate([0.2 * small.expression, 0.1 * _waves(rng, small.mean, COUNTS[1] - 51)])
    tones = np.concatenate([small.albedo, 0.004 * _waves(rng, small.mean, COUNTS[2] - 60)])
    return replace(small, expression=orthogonal(moves), albedo=orthogonal(tones))


def _waves(rng: np.random.Generator, points: np.ndarray, count: int) -> np.ndarray:
    """(count, V, 3) random fields of long waves of unit size."""
    angles = points @ rng.normal(size=(count, 3, 3)) / 40 + rng.uniform(0, 2 * np.pi, (count, 1, 3))
    return np.sqrt(2) * np.sin(angles)
