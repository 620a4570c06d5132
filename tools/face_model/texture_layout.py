"""Room in the texture by need: the face most, the scalp less, small parts beside them.

The package's layout is that of a whole body: the face has a twentieth of its area, lying on its side.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

_STRIP = 0.26
"""Height of the strip below the head's chart, for all other charts."""
_MARGIN = 0.008
_MAGNIFIED = {1: 4.0, 2: 4.0, 3: 2.0, 4: 2.0}
"""How much finer than by their area eyes and teeth are drawn, by number of the part."""


def lay_out(
    vertices: np.ndarray, triangles: np.ndarray, part: np.ndarray, uv: np.ndarray, uv_triangles: np.ndarray
) -> np.ndarray:
    """New texture coordinates: the package's charts moved, turned and stretched, (U, 2) float32 in [0, 1].

    The largest chart, the head's, is turned upright and stretched smoothly: from its middle line and its chin
    outward resolution falls. The others are put on shelves below it, scaled to their area on the head.

    Args:
        vertices: (V, 3) millimetres, model frame.
        triangles, part: (T, 3), (V,).
        uv, uv_triangles: (U, 2), (T, 3) of the package, v up.
    """
    edges = uv_triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    graph = sparse.coo_matrix((np.ones(len(edges)), edges.T), shape=(len(uv), len(uv)))
    count, chart = connected_components(graph, directed=False)
    of_triangle = chart[uv_triangles[:, 0]]
    corners = vertices[triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    flat = uv[uv_triangles].astype(np.float64)
    flat_area = np.abs(np.linalg.det(flat[:, 1:] - flat[:, :1]))
    areas, flat_areas = (np.bincount(of_triangle, a, minlength=count) for a in (area, flat_area))

    out = np.zeros(uv.shape)
    head = areas.argmax()
    out[chart == head] = _head(uv[chart == head])
    shelf = []
    for number in np.flatnonzero(np.arange(count) != head):
        members = chart == number
        of_part = part[triangles[of_triangle == number][0, 0]]
        scale = np.sqrt(areas[number] / flat_areas[number]) * _MAGNIFIED.get(int(of_part), 1.0)
        shelf.append((members, (uv[members] - uv[members].min(axis=0)) * scale))
    for members, place in _shelves(shelf):
        out[members] = place
    return out.astype(np.float32)


def _head(uv: np.ndarray) -> np.ndarray:
    """The head's chart: u runs from its crown to its chin, v from its right to its left."""
    across = uv[:, 1] - 0.5 * (uv[:, 1].min() + uv[:, 1].max())
    across /= np.abs(across).max()
    up = (uv[:, 0].max() - uv[:, 0]) / np.ptp(uv[:, 0])
    width, height = 0.5 - _MARGIN, 1 - _STRIP - 2 * _MARGIN
    x = 0.5 + width * np.sign(across) * _concave(np.abs(across), 1.6)
    y = _STRIP + _MARGIN + height * _concave(up, 1.0)
    return np.stack([x, y], axis=-1)


def _concave(t: np.ndarray, strength: float) -> np.ndarray:
    """[0, 1] to [0, 1], rising, ever slower."""
    return -np.expm1(-strength * t) / -np.expm1(-strength)


def _shelves(charts: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Charts in rows, tallest first, all scaled alike by the largest factor that fits the strip."""
    charts = sorted(charts, key=lambda chart: -np.ptp(chart[1][:, 1]))
    low, high = 0.0, 1.0
    for _ in range(40):
        scale = 0.5 * (low + high)
        placed, height = [], _MARGIN
        left, tallest = _MARGIN, 0.0
        for members, place in charts:
            size = place.max(axis=0) * scale
            if left + size[0] > 1 - _MARGIN:
                left, height = _MARGIN, height + tallest + _MARGIN
                tallest = 0.0
            placed.append((members, place * scale + [left, height]))
            left += size[0] + _MARGIN
            tallest = max(tallest, size[1])
            if left > 1:
                height = np.inf
        if height + tallest <= _STRIP:
            low, best = scale, placed
        else:
            high = scale
    return best
