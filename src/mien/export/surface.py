"""Geometry as mesh files want it: one texture coordinate for each vertex."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.morphable import MorphableModel


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles of a model, cut along the seams of its texture layout.

    Attributes:
        vertices: (N,) the model's vertex that each vertex is a copy of.
        uv: (N, 2) texture coordinates, v up.
        triangles: (T, 3) vertex numbers in [0, N).
    """

    vertices: np.ndarray
    uv: np.ndarray
    triangles: np.ndarray


def cut_at_seams(model: MorphableModel, triangles: np.ndarray | None = None) -> Surface:
    """The base mesh, or only the triangles of these numbers: seam vertices doubled, unused ones left out."""
    chosen = slice(None) if triangles is None else triangles
    corners = np.stack([model.triangles[chosen], model.uv_triangles[chosen]], axis=-1).reshape(-1, 2)
    pairs, inverse = np.unique(corners, axis=0, return_inverse=True)
    return Surface(pairs[:, 0], model.uv[pairs[:, 1]], inverse.reshape(-1, 3).astype(np.int32))
