"""The rasteriser's inner loops, compiled by numba: one thread, whole pictures, no memory but the picture's.

Corners are snapped to 1/1024 px, so that edge functions are exact in float64: two triangles that share an
edge agree about every pixel centre on it, whichever way each walks it. J. Pineda, "A parallel algorithm for
polygon rasterization", SIGGRAPH 1988.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types

GRID = 1024.0
"""Snapped positions to the pixel."""
GUARD_PX = 32768.0
"""Triangles that reach further than this from the picture's corner, where snapping fails, are dropped."""
LANES = 8
"""Pixels of a row that are drawn at once: LLVM makes vectors of a loop whose length is a multiple of this."""


def compiled(signature, **options):
    """`numba.njit` for an explicit signature, cached on disk where some folder can be written to."""

    def decorate(function):
        try:
            return numba.njit(signature, cache=True, **options)(function)
        except RuntimeError:  # numba found no folder for its cache
            return numba.njit(signature, **options)(function)

    return decorate


@numba.njit(inline="always")
def _snap(x):
    """Position on the grid, so counted that the centre of pixel i is at i."""
    return np.floor(np.float64(x) * GRID + 0.5) * (1 / GRID) - 0.5


@numba.njit(inline="always")
def _strictness(dx, dy):
    """0 for a top or left edge, which owns the pixel centres on it; else the smallest edge function above 0."""
    return 0.0 if (dy < 0) | ((dy == 0) & (dx > 0)) else 1 / (GRID * GRID)


@numba.njit(inline="always")
def _visit(points, triangles, near, cull, ids, nearest, height, width):
    """Writes the number of the nearest triangle at each pixel centre, and its 1 / depth."""
    for t in range(np.uint32(triangles.shape[0])):
        i, j, k = np.uint32(triangles[t, 0]), np.uint32(triangles[t, 1]), np.uint32(triangles[t, 2])
        x0, y0 = np.float64(points[i, 0]), np.float64(points[i, 1])
        x1, y1 = np.float64(points[j, 0]), np.float64(points[j, 1])
        x2, y2 = np.float64(points[k, 0]), np.float64(points[k, 1])
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if not ((area < 0) | ((area > 0) & (not cull))):
            continue
        low, high = min(x0, x1, x2), max(x0, x1, x2)
        if not ((low > -GUARD_PX) & (high < GUARD_PX)):
            continue
        left, right = max(np.ceil(_snap(low)), 0.0), min(np.ceil(_snap(high)), np.float64(width))
        low, high = min(y0, y1, y2), max(y0, y1, y2)
        if not ((low > -GUARD_PX) & (high < GUARD_PX)):
            continue
        top, bottom = max(np.ceil(_snap(low)), 0.0), min(np.ceil(_snap(high)), np.float64(height))
        if not ((left < right) & (top < bottom)):
            continue
        z0, z1, z2 = points[i, 2], points[j, 2], points[k, 2]
        if not ((min(z0, z1, z2) > near) & (max(z0, z1, z2) < np.float32(np.inf))):
            continue
        x0, y0, x1, y1, x2, y2 = _snap(x0), _snap(y0), _snap(x1), _snap(y1), _snap(x2), _snap(y2)
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area < 0:
            x1, y1, z1, x2, y2, z2, area = x2, y2, z2, x1, y1, z1, -area
        if area == 0:
            continue
        dx0, dy0 = x2 - x1, y2 - y1
        dx1, dy1 = x0 - x2, y0 - y2
        dx2, dy2 = x1 - x0, y1 - y0
        least0, least1, least2 = _strictness(dx0, dy0), _strictness(dx1, dy1), _strictness(dx2, dy2)
        row0 = dx0 * (top - y1) - dy0 * (left - x1)
        row1 = dx1 * (top - y2) - dy1 * (left - x2)
        row2 = dx2 * (top - y0) - dy2 * (left - x0)
        inverse = 1.0 / z0
        slope1 = (1.0 / z1 - inverse) / area
        slope2 = (1.0 / z2 - inverse) / area
        first = np.uint32(top) * width + np.uint32(left)
        count = np.uint32(right) - np.uint32(left)
        padded = (count + np.uint32(LANES - 1)) // np.uint32(LANES) * np.uint32(LANES)
        for _ in range(np.uint32(bottom) - np.uint32(top)):
            # lanes past the box lie outside the triangle; only past the picture's end must they not be touched
            columns = padded if first + padded <= ids.shape[0] else count
            id_row, nearest_row = ids[first:], nearest[first:]
            for x in range(columns):
                e0, e1, e2 = row0 - dy0 * x, row1 - dy1 * x, row2 - dy2 * x
                here = np.float32(inverse + e1 * slope1 + e2 * slope2)
                seen = (e0 >= least0) & (e1 >= least1) & (e2 >= least2) & (here > nearest_row[x])
                nearest_row[x] = here if seen else nearest_row[x]
                id_row[x] = t if seen else id_row[x]
            row0 += dx0
            row1 += dx1
            row2 += dx2
            first += width


@numba.njit(inline="always")
def _finish(points, triangles, ids, barycentric, depth):
    """Perspective-correct weights at each covered pixel; depth in place of its inverse, inf where empty."""
    zero, one, half = np.float32(0), np.float32(1), np.float32(0.5)
    height, width = np.uint32(ids.shape[0]), np.uint32(ids.shape[1])
    for row in range(height):
        y = np.float32(row) + half
        for column in range(width):
            if ids[row, column] < 0:
                barycentric[row, column, 0] = zero
                barycentric[row, column, 1] = zero
                barycentric[row, column, 2] = zero
                depth[row, column] = np.float32(np.inf)
                continue
            t = np.uint32(ids[row, column])
            x = np.float32(column) + half
            i, j, k = np.uint32(triangles[t, 0]), np.uint32(triangles[t, 1]), np.uint32(triangles[t, 2])
            x0, y0, z0 = points[i, 0] - x, points[i, 1] - y, points[i, 2]
            x1, y1, z1 = points[j, 0] - x, points[j, 1] - y, points[j, 2]
            x2, y2, z2 = points[k, 0] - x, points[k, 1] - y, points[k, 2]
            e0, e1, e2 = x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0
            if e0 + e1 + e2 < zero:
                e0, e1, e2 = -e0, -e1, -e2
            w0, w1, w2 = max(e0, zero) * (z1 * z2), max(e1, zero) * (z2 * z0), max(e2, zero) * (z0 * z1)
            total = w0 + w1 + w2
            if not total > zero:
                w0, total = one, one
            scale = one / total
            w0, w1, w2 = w0 * scale, w1 * scale, w2 * scale
            barycentric[row, column, 0] = w0
            barycentric[row, column, 1] = w1
            barycentric[row, column, 2] = w2
            depth[row, column] = w0 * z0 + w1 * z1 + w2 * z2


_points = types.Array(types.float32, 3, "C", readonly=True)
_triangles = types.Array(types.int32, 2, "C", readonly=True)


@compiled(
    types.void(
        _points, _triangles, types.float32, types.boolean,
        types.int32[:, :, ::1], types.float32[:, :, :, ::1], types.float32[:, :, ::1],
    ),
    nogil=True,
    error_model="numpy",
)  # fmt: skip
def rasterize_pictures(points, triangles, near, cull, triangle, barycentric, depth):
    """Fills `triangle`, `barycentric` and `depth` (see `mien.raster.Fragments`) for each picture of a batch.

    Args:
        points: (B, V, 3) x_px, y_px, depth_mm.
        triangles: (T, 3), every number in [0, V).
        near: depth_mm at and below which a vertex drops its triangles.
        cull: whether triangles that are clockwise in the picture as seen are dropped.
        triangle, barycentric, depth: (B, H, W), (B, H, W, 3), (B, H, W), any contents.
    """
    height, width = triangle.shape[1], triangle.shape[2]
    for b in range(points.shape[0]):
        ids, nearest = triangle[b].reshape(-1), depth[b].reshape(-1)
        ids[:] = -1
        nearest[:] = 0
        _visit(points[b], triangles, near, cull, ids, nearest, height, width)
        _finish(points[b], triangles, triangle[b], barycentric[b], depth[b])
