"""The nearest point of a triangle mesh, exactly and fast: what every distance to a surface rests on."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numba import types

_LEAF = 4
"""Triangles below which a box of the tree is not divided further."""


@dataclass(frozen=True, eq=False)
class Surface:
    """A triangle mesh in a tree of boxes, asked for its points nearest to others.

    Attributes:
        corners: (T, 3, 3) float64, triangles in the order of the tree's leaves.
        triangle: (T,) int64 number of each in the mesh.
        low, high: (N, 3) float64 corners of the boxes; box 0 holds all.
        child: (N,) int64 number of the first of two children, which follow each other; -1 in a leaf.
        first, last: (N,) int64 range of the triangles in each box.
    """

    corners: np.ndarray
    triangle: np.ndarray
    low: np.ndarray
    high: np.ndarray
    child: np.ndarray
    first: np.ndarray
    last: np.ndarray

    @classmethod
    def of(cls, vertices: np.ndarray, triangles: np.ndarray) -> Surface:
        """The surface of (V, 3) vertices and (T, 3) triangles.

        Raises:
            ValueError: there is no triangle.
        """
        if len(triangles) == 0:
            raise ValueError("a surface needs at least one triangle, this mesh has none")
        corners = np.ascontiguousarray(np.asarray(vertices, np.float64)[triangles])
        order, *tree = _build(corners)
        return cls(corners[order], order, *tree)

    def closest(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The nearest surface points.

        Args:
            points: (N, 3).

        Returns:
            (N, 3) float64 points of the surface, and the (N,) int64 numbers of the triangles they are on.
        """
        found, place = _query(
            np.ascontiguousarray(points, np.float64), self.corners, self.low, self.high, self.child,
            self.first, self.last,
        )  # fmt: skip
        return found, self.triangle[place]


_F1, _F2, _F3, _I1 = types.float64[::1], types.float64[:, ::1], types.float64[:, :, ::1], types.int64[::1]


@numba.njit(types.Tuple((_I1, _F2, _F2, _I1, _I1, _I1))(_F3), cache=True)
def _build(corners):
    """Boxes halved at the median centroid along their longest side."""
    count = len(corners)
    centroid = np.empty((count, 3))
    for t in range(count):
        for axis in range(3):
            centroid[t, axis] = (corners[t, 0, axis] + corners[t, 1, axis] + corners[t, 2, axis]) / 3
    order = np.arange(count)
    room = 2 * count
    low, high = np.empty((room, 3)), np.empty((room, 3))
    child, first, last = np.full(room, -1), np.zeros(room, np.int64), np.zeros(room, np.int64)
    last[0] = count
    boxes, box = 1, 0
    while box < boxes:
        start, stop = first[box], last[box]
        widest, width = 0, -1.0
        for axis in range(3):
            a, b = np.inf, -np.inf
            centre_a, centre_b = np.inf, -np.inf
            for k in range(start, stop):
                t = order[k]
                centre_a, centre_b = min(centre_a, centroid[t, axis]), max(centre_b, centroid[t, axis])
                for corner in range(3):
                    a, b = min(a, corners[t, corner, axis]), max(b, corners[t, corner, axis])
            low[box, axis], high[box, axis] = a, b
            if centre_b - centre_a > width:
                widest, width = axis, centre_b - centre_a
        if stop - start > _LEAF:
            inside = order[start:stop].copy()
            key = np.empty(stop - start)
            for k in range(stop - start):
                key[k] = centroid[inside[k], widest]
            order[start:stop] = inside[np.argsort(key)]
            middle = (start + stop) // 2
            child[box] = boxes
            first[boxes], last[boxes] = start, middle
            first[boxes + 1], last[boxes + 1] = middle, stop
            boxes += 2
        box += 1
    return order, low[:boxes], high[:boxes], child[:boxes], first[:boxes], last[:boxes]


@numba.njit(inline="always")
def _gap(px, py, pz, low, high, box):
    """Squared distance of a point from a box, 0 inside."""
    dx = max(low[box, 0] - px, 0.0, px - high[box, 0])
    dy = max(low[box, 1] - py, 0.0, py - high[box, 1])
    dz = max(low[box, 2] - pz, 0.0, pz - high[box, 2])
    return dx * dx + dy * dy + dz * dz


@numba.njit(inline="always")
def _nearest_weights(px, py, pz, corner):
    """Weights of the second and third corner at the nearest point of a triangle (3, 3).

    C. Ericson, "Real-Time Collision Detection", 2005, section 5.1.5; a triangle without area has edges.
    """
    ab0, ab1, ab2 = corner[1, 0] - corner[0, 0], corner[1, 1] - corner[0, 1], corner[1, 2] - corner[0, 2]
    ac0, ac1, ac2 = corner[2, 0] - corner[0, 0], corner[2, 1] - corner[0, 1], corner[2, 2] - corner[0, 2]
    ap0, ap1, ap2 = px - corner[0, 0], py - corner[0, 1], pz - corner[0, 2]
    d1, d2 = ab0 * ap0 + ab1 * ap1 + ab2 * ap2, ac0 * ap0 + ac1 * ap1 + ac2 * ap2
    if d1 <= 0 and d2 <= 0:
        return 0.0, 0.0
    bp0, bp1, bp2 = px - corner[1, 0], py - corner[1, 1], pz - corner[1, 2]
    d3, d4 = ab0 * bp0 + ab1 * bp1 + ab2 * bp2, ac0 * bp0 + ac1 * bp1 + ac2 * bp2
    if d3 >= 0 and d4 <= d3:
        return 1.0, 0.0
    vc = d1 * d4 - d3 * d2
    if vc <= 0 and d1 >= 0 and d3 <= 0 and d1 > d3:
        return d1 / (d1 - d3), 0.0
    cp0, cp1, cp2 = px - corner[2, 0], py - corner[2, 1], pz - corner[2, 2]
    d5, d6 = ab0 * cp0 + ab1 * cp1 + ab2 * cp2, ac0 * cp0 + ac1 * cp1 + ac2 * cp2
    if d6 >= 0 and d5 <= d6:
        return 0.0, 1.0
    vb = d5 * d2 - d1 * d6
    if vb <= 0 and d2 >= 0 and d6 <= 0 and d2 > d6:
        return 0.0, d2 / (d2 - d6)
    va = d3 * d6 - d5 * d4
    if va <= 0 and d4 >= d3 and d5 >= d6 and d4 - d3 + d5 - d6 > 0:
        w = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        return 1.0 - w, w
    total = va + vb + vc
    return vb / total, vc / total


@numba.njit(types.Tuple((_F2, _I1))(_F2, _F3, _F2, _F2, _I1, _I1, _I1), cache=True, error_model="numpy")
def _query(points, corners, low, high, child, first, last):
    found, place = np.empty_like(points), np.zeros(len(points), np.int64)
    waiting, gap = np.empty(128, np.int64), np.empty(128)
    for i in range(len(points)):
        px, py, pz = points[i]
        best = np.inf
        waiting[0], gap[0] = 0, _gap(px, py, pz, low, high, 0)
        top = 1
        while top > 0:
            top -= 1
            box = waiting[top]
            if gap[top] >= best:
                continue
            if child[box] < 0:
                for t in range(first[box], last[box]):
                    corner = corners[t]
                    v, w = _nearest_weights(px, py, pz, corner)
                    u = 1.0 - v - w
                    x = u * corner[0, 0] + v * corner[1, 0] + w * corner[2, 0]
                    y = u * corner[0, 1] + v * corner[1, 1] + w * corner[2, 1]
                    z = u * corner[0, 2] + v * corner[1, 2] + w * corner[2, 2]
                    squared = (x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2
                    if squared < best:
                        best = squared
                        found[i, 0], found[i, 1], found[i, 2] = x, y, z
                        place[i] = t
            else:
                near, far = child[box], child[box] + 1
                near_gap, far_gap = _gap(px, py, pz, low, high, near), _gap(px, py, pz, low, high, far)
                if far_gap < near_gap:
                    near, far, near_gap, far_gap = far, near, far_gap, near_gap
                waiting[top], gap[top] = far, far_gap
                waiting[top + 1], gap[top + 1] = near, near_gap
                top += 2
    return found, place
