"""The rasteriser's inner loops, compiled by numba: one thread, whole pictures, no allocation per triangle.

Vertices are snapped to 1/4096 px, so that edge functions are exact integers: two triangles that share an edge
agree about every pixel centre on it, whichever way each walks it. J. Pineda, "A parallel algorithm for polygon
rasterization", SIGGRAPH 1988.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types

SUBPIXELS = 12
"""Bits below the pixel of a snapped vertex."""
GUARD_PX = 2.0**17
"""Vertices further than this from the picture's corner cannot be snapped; their triangles are dropped."""


def compiled(signature, **options):
    """`numba.njit` for an explicit signature, cached on disk where some folder can be written to."""

    def decorate(function):
        try:
            return numba.njit(signature, cache=True, **options)(function)
        except RuntimeError:  # numba found no folder for its cache
            return numba.njit(signature, **options)(function)

    return decorate


@numba.njit(inline="always")
def _snap(points, near, snapped, inverse):
    """Vertices to integer coordinates in which pixel centre i is at i << SUBPIXELS; 1 / depth, 0 if unusable."""
    scale = np.float32(1 << SUBPIXELS)
    for v in range(points.shape[0]):
        x, y, z = points[v, 0], points[v, 1], points[v, 2]
        if z > near and z < np.inf and abs(x) < GUARD_PX and abs(y) < GUARD_PX:
            snapped[v, 0] = np.int32(np.floor(x * scale + np.float32(0.5))) - (1 << (SUBPIXELS - 1))
            snapped[v, 1] = np.int32(np.floor(y * scale + np.float32(0.5))) - (1 << (SUBPIXELS - 1))
            inverse[v] = np.float32(1) / z
        else:
            snapped[v, 0] = 0
            snapped[v, 1] = 0
            inverse[v] = 0


@numba.njit(inline="always")
def _choose(triangles, snapped, inverse, cull, height, width, chosen):
    """Numbers of the triangles whose box holds a pixel centre and that face the camera, in order; how many."""
    count = 0
    last = (1 << SUBPIXELS) - 1
    for t in range(triangles.shape[0]):
        i, j, k = np.uint32(triangles[t, 0]), np.uint32(triangles[t, 1]), np.uint32(triangles[t, 2])
        x0, y0 = snapped[i, 0], snapped[i, 1]
        x1, y1 = snapped[j, 0], snapped[j, 1]
        x2, y2 = snapped[k, 0], snapped[k, 1]
        left = (min(x0, x1, x2) + last) >> SUBPIXELS
        right = max(x0, x1, x2) >> SUBPIXELS
        top = (min(y0, y1, y2) + last) >> SUBPIXELS
        bottom = max(y0, y1, y2) >> SUBPIXELS
        area = np.int64(x1 - x0) * np.int64(y2 - y0) - np.int64(x2 - x0) * np.int64(y1 - y0)
        visible = (area < 0) | ((area > 0) & (not cull))
        visible &= (max(left, 0) <= min(right, width - 1)) & (max(top, 0) <= min(bottom, height - 1))
        visible &= min(inverse[i], inverse[j], inverse[k]) > 0
        chosen[count] = t
        count += visible
    return count


@numba.njit(inline="always")
def _corners(t, triangles, snapped):
    """Vertices of a triangle in the order in which its area is positive in (x right, y down) coordinates."""
    i, j, k = np.uint32(triangles[t, 0]), np.uint32(triangles[t, 1]), np.uint32(triangles[t, 2])
    x0, y0 = np.int64(snapped[i, 0]), np.int64(snapped[i, 1])
    x1, y1 = np.int64(snapped[j, 0]), np.int64(snapped[j, 1])
    x2, y2 = np.int64(snapped[k, 0]), np.int64(snapped[k, 1])
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    return i, j, k, x0, y0, x1, y1, x2, y2, area


@numba.njit(inline="always")
def _draw(t, triangles, snapped, inverse, ids, nearest):
    """Writes triangle `t` where it covers a pixel centre and is nearer: its number and 1 / depth.

    A centre exactly on an edge belongs to the triangle whose top or left edge it is.
    """
    height, width = ids.shape
    last = (1 << SUBPIXELS) - 1
    i, j, k, x0, y0, x1, y1, x2, y2, area = _corners(t, triangles, snapped)
    if area < 0:
        j, k, x1, y1, x2, y2, area = k, j, x2, y2, x1, y1, -area
    left = max((min(x0, x1, x2) + last) >> SUBPIXELS, 0)
    right = min(max(x0, x1, x2) >> SUBPIXELS, width - 1)
    top = max((min(y0, y1, y2) + last) >> SUBPIXELS, 0)
    bottom = min(max(y0, y1, y2) >> SUBPIXELS, height - 1)
    dx0, dy0 = x2 - x1, y2 - y1
    dx1, dy1 = x0 - x2, y0 - y2
    dx2, dy2 = x1 - x0, y1 - y0
    px, py = np.int64(left) << SUBPIXELS, np.int64(top) << SUBPIXELS
    bias0 = np.int64(not ((dy0 < 0) | ((dy0 == 0) & (dx0 > 0))))
    bias1 = np.int64(not ((dy1 < 0) | ((dy1 == 0) & (dx1 > 0))))
    bias2 = np.int64(not ((dy2 < 0) | ((dy2 == 0) & (dx2 > 0))))
    row0 = dx0 * (py - y1) - dy0 * (px - x1) - bias0
    row1 = dx1 * (py - y2) - dy1 * (px - x2) - bias1
    row2 = dx2 * (py - y0) - dy2 * (px - x0) - bias2
    scale = np.float32(1) / np.float32(area)
    slope1 = (inverse[j] - inverse[i]) * scale
    slope2 = (inverse[k] - inverse[i]) * scale
    for y in range(top, bottom + 1):
        e0, e1, e2 = row0, row1, row2
        for x in range(left, right + 1):
            if (e0 | e1 | e2) >= 0:
                near = inverse[i] + np.float32(e1 + bias1) * slope1 + np.float32(e2 + bias2) * slope2
                if near > nearest[y, x]:
                    nearest[y, x] = near
                    ids[y, x] = t
            e0 -= dy0 << SUBPIXELS
            e1 -= dy1 << SUBPIXELS
            e2 -= dy2 << SUBPIXELS
        row0 += dx0 << SUBPIXELS
        row1 += dx1 << SUBPIXELS
        row2 += dx2 << SUBPIXELS


@numba.njit(inline="always")
def _finish(triangles, snapped, inverse, ids, barycentric, depth):
    """Perspective-correct weights of each covered pixel's corners; 1 / depth becomes depth, inf where empty."""
    height, width = ids.shape
    for y in range(height):
        for x in range(width):
            t = ids[y, x]
            if t < 0:
                barycentric[y, x, :] = 0
                depth[y, x] = np.inf
                continue
            i, j, k, x0, y0, x1, y1, x2, y2, area = _corners(t, triangles, snapped)
            px, py = np.int64(x) << SUBPIXELS, np.int64(y) << SUBPIXELS
            e1 = (x0 - x2) * (py - y2) - (y0 - y2) * (px - x2)
            e2 = (x1 - x0) * (py - y0) - (y1 - y0) * (px - x0)
            w0 = np.float32(area - e1 - e2) * inverse[i]
            w1 = np.float32(e1) * inverse[j]
            w2 = np.float32(e2) * inverse[k]
            total = np.float32(1) / (w0 + w1 + w2)
            barycentric[y, x, 0] = w0 * total
            barycentric[y, x, 1] = w1 * total
            barycentric[y, x, 2] = w2 * total
            depth[y, x] = np.float32(area) * total


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
    pictures, vertices = points.shape[0], points.shape[1]
    height, width = triangle.shape[1], triangle.shape[2]
    snapped = np.empty((vertices, 2), np.int32)
    inverse = np.empty(vertices, np.float32)
    chosen = np.empty(triangles.shape[0], np.int32)
    for b in range(pictures):
        ids, nearest = triangle[b], depth[b]
        _snap(points[b], near, snapped, inverse)
        count = _choose(triangles, snapped, inverse, cull, height, width, chosen)
        ids[:] = -1
        nearest[:] = 0
        for i in range(count):
            _draw(chosen[i], triangles, snapped, inverse, ids, nearest)
        _finish(triangles, snapped, inverse, ids, barycentric[b], nearest)
