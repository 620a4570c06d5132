"""The rasteriser's inner loops, compiled by numba: one thread, whole pictures, nothing allocated in a loop.

Vertices are snapped to 1/1024 px, so that edge functions are exact in float64: two triangles that share an
edge agree about every pixel centre on it, whichever way each walks it. J. Pineda, "A parallel algorithm for
polygon rasterization", SIGGRAPH 1988. Numbers that index arrays are unsigned, which spares numba the test for
Python's negative indices.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types

from mien.compiled import compiled
from mien.raster import GRID, GUARD_PX

_inner = numba.njit(error_model="numpy")  # Python's own tests each division for zero, and makes no vectors
GROUP = 128
"""Small triangles that are drawn together."""
FIELDS = 14
"""Numbers kept of each of them."""
LANES = 8
"""Pixels of a row that are drawn at once: LLVM makes vectors of a loop whose length is a multiple of this."""


@_inner
def _least(a, b, c):
    """min(a, b, c) in two instructions; numba's own keeps Python's rules for NaN."""
    d = a if a < b else b
    return d if d < c else c


@_inner
def _most(a, b, c):
    d = a if a > b else b
    return d if d > c else c


@_inner
def corners_of(triangles, t):
    """Vertex numbers of triangle `t` of the flat list."""
    first = np.uintp(3) * np.uintp(t)
    i, j, k = triangles[first], triangles[first + np.uintp(1)], triangles[first + np.uintp(2)]
    return np.uintp(np.uint32(i)), np.uintp(np.uint32(j)), np.uintp(np.uint32(k))


@_inner
def _vertex(placed, i):
    """x, y and 1 / depth of vertex `i` of the flat list."""
    n = np.uintp(3) * i
    return placed[n], placed[n + np.uintp(1)], placed[n + np.uintp(2)]


@_inner
def _box(a, b, c, end):
    """First pixel at or after the triangle along one axis, and the first one past it, cut off to [0, end]."""
    low, high = np.ceil(_least(a, b, c)), np.ceil(_most(a, b, c))
    return low if low > np.float32(0) else np.float32(0), high if high < end else end


@_inner
def _exclusion(dx, dy):
    """0 for a top or left edge, which owns the pixel centres on it; else the smallest value above 0."""
    zero, least = type(dx)(0), type(dx)(1 / GRID**2)
    return zero if (dy < 0) | ((dy == 0) & (dx > 0)) else least


@_inner
def _snap(points, near, placed):
    """x and y on the grid, counted so that pixel i's centre is at i, and 1 / depth.

    A vertex that cannot be drawn gets NaN, which no triangle's area survives.
    """
    half, infinity, nan = np.float32(0.5), np.float32(np.inf), np.float32(np.nan)
    grid, cell, guard = np.float32(GRID), np.float32(1 / GRID), np.float32(GUARD_PX)
    for v in range(np.uintp(points.shape[0] // 3)):
        n = np.uintp(3) * v
        x, y, depth = points[n], points[n + np.uintp(1)], points[n + np.uintp(2)]
        usable = (depth > near) & (depth < infinity) & (abs(x) < guard) & (abs(y) < guard)
        x = np.floor(x * grid + half) * cell - half
        placed[n] = x if usable else nan
        placed[n + np.uintp(1)] = np.floor(y * grid + half) * cell - half
        placed[n + np.uintp(2)] = np.float32(1) / depth


@_inner
def _sort_out(placed, triangles, cull, width, height, large, ids, nearest):
    """Draws the small triangles, of 2 x 2 pixel centres at most, and writes the numbers of the others.

    Left out are those that face away or have no pixel centre in their box. The area in float32 may be 0 where
    it is not, but never has the wrong sign.

    Returns:
        How many are large; -1 if a triangle names a vertex that does not exist.
    """
    vertices, largest = np.uintp(placed.shape[0] // 3), np.float32(0) if cull else np.float32(np.inf)
    side = np.float32(2) if cull else np.float32(0)  # the small ones' code knows one way round
    group, pixels = np.zeros(FIELDS * GROUP, np.float32), np.empty(GROUP, np.int32)
    numbers, hits = np.empty(GROUP, np.int32), np.empty(4 * GROUP + 1, np.int32)
    count, n = np.uintp(0), np.uintp(0)
    for t in range(np.uintp(triangles.shape[0] // 3)):
        i, j, k = corners_of(triangles, t)
        if (i >= vertices) | (j >= vertices) | (k >= vertices):
            return -1
        (x0, y0, inverse0), (x1, y1, inverse1) = _vertex(placed, i), _vertex(placed, j)
        x2, y2, inverse2 = _vertex(placed, k)
        if (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0) <= largest:
            group[_field(0, n)], group[_field(1, n)], group[_field(2, n)] = x0, y0, inverse0
            group[_field(3, n)], group[_field(4, n)], group[_field(5, n)] = x2, y2, inverse2
            group[_field(6, n)], group[_field(7, n)], group[_field(8, n)] = x1, y1, inverse1
            numbers[n] = t
            n += np.uintp(1)
            if n == GROUP:
                _test_group(group, pixels, side, width, height)
                count = _draw_group(group, pixels, numbers, n, hits, width, large, count, ids, nearest)
                n = np.uintp(0)
    _test_group(group, pixels, side, width, height)
    return np.int64(_draw_group(group, pixels, numbers, n, hits, width, large, count, ids, nearest))


@_inner
def _field(field, n):
    """Where `_test_group`'s field of the group's triangle `n` is kept."""
    return np.uintp(field * GROUP) + n


@_inner
def _test_group(group, pixels, side, width, height):
    """Tests the pixel centres of small triangles, all triangles of a group at once, without a branch.

    Within 3 px of a centre float32 holds the edge functions of the grid exactly.

    Args:
        group: (FIELDS GROUP,) reads 0 to 8: x, y, 1 / depth of three corners, clockwise as the eye sees the
            picture's axes; writes 9: whether the triangle is large, else 0; 10 to 13: 1 / depth at the 2 x 2
            centres of its box, 0 where not covered.
        pixels: (GROUP,) receives the first of those centres.
        side: centres to a side of a small triangle's box.
    """
    none, end_x, end_y = np.float32(0), np.float32(width), np.float32(height)
    for n in range(np.uintp(GROUP)):
        x0, y0, inverse0 = group[_field(0, n)], group[_field(1, n)], group[_field(2, n)]
        x1, y1, inverse1 = group[_field(3, n)], group[_field(4, n)], group[_field(5, n)]
        x2, y2, inverse2 = group[_field(6, n)], group[_field(7, n)], group[_field(8, n)]
        left, right = _box(x0, x1, x2, end_x)
        top, bottom = _box(y0, y1, y2, end_y)
        columns, rows = right - left, bottom - top
        drawn, small = (columns > 0) & (rows > 0), (columns <= side) & (rows <= side)
        group[_field(9, n)] = np.float32(drawn & (not small))
        pixels[n] = np.int32(top) * width + np.int32(left)
        x0, y0, x1, y1, x2, y2 = x0 - left, y0 - top, x1 - left, y1 - top, x2 - left, y2 - top
        dx0, dy0, dx1, dy1, dx2, dy2 = x2 - x1, y2 - y1, x0 - x2, y0 - y2, x1 - x0, y1 - y0
        e0, e1, e2 = x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0
        least0, least1, least2 = _exclusion(dx0, dy0), _exclusion(dx1, dy1), _exclusion(dx2, dy2)
        scale = np.float32(1) / (e0 + e1 + e2)
        slope1, slope2 = (inverse1 - inverse0) * scale, (inverse2 - inverse0) * scale
        for corner in (0, 1, 2, 3):
            dx, dy = np.float32(corner // 2), np.float32(corner % 2)
            f0, f1, f2 = e0 + dx * dx0 - dy * dy0, e1 + dx * dx1 - dy * dy1, e2 + dx * dx2 - dy * dy2
            inside = (f0 >= least0) & (f1 >= least1) & (f2 >= least2) & (columns > dy) & (rows > dx)
            here = inverse0 + f1 * slope1 + f2 * slope2
            group[_field(10 + corner, n)] = here if inside & drawn & small else none


@_inner
def _draw_group(group, pixels, numbers, count, hits, width, large, larges, ids, nearest):
    """Draws what `_test_group` found; appends to the numbers of large triangles and returns how many now."""
    last = np.uintp(0)
    for n in range(count):
        large[larges] = numbers[n]
        larges += np.uintp(group[_field(9, n)] > 0)
        for corner in range(np.uintp(4)):
            hits[last] = n + corner * np.uintp(GROUP)
            last += np.uintp(group[_field(10, n + corner * np.uintp(GROUP))] > 0)
    for hit in range(last):
        at = np.uintp(np.uint32(hits[hit]))
        n, corner, here = at % np.uintp(GROUP), at // np.uintp(GROUP), group[_field(10, at)]
        pixel = (
            np.uintp(np.uint32(pixels[n])) + corner % np.uintp(2) + corner // np.uintp(2) * np.uintp(width)
        )
        if here > nearest[pixel]:
            nearest[pixel], ids[pixel] = here, numbers[n]
    return larges


@_inner
def _draw(placed, triangles, chosen, cull, width, height, ids, nearest):
    """Writes the number of the nearest triangle at each pixel centre, and its 1 / depth."""
    end_x, end_y = np.float32(width), np.float32(height)
    for n in range(np.uintp(chosen.shape[0])):
        t = chosen[n]
        i, j, k = corners_of(triangles, t)
        (x0, y0, inverse0), (x1, y1, inverse1) = _vertex(placed, i), _vertex(placed, j)
        x2, y2, inverse2 = _vertex(placed, k)
        left, right = _box(x0, x1, x2, end_x)
        top, bottom = _box(y0, y1, y2, end_y)
        left, right, top, bottom = np.int32(left), np.int32(right), np.int32(top), np.int32(bottom)
        x0, y0, inverse0 = np.float64(x0), np.float64(y0), np.float64(inverse0)
        x1, y1, inverse1 = np.float64(x1), np.float64(y1), np.float64(inverse1)
        x2, y2, inverse2 = np.float64(x2), np.float64(y2), np.float64(inverse2)
        area = (x2 - x0) * (y1 - y0) - (x1 - x0) * (y2 - y0)
        if area < 0 and not cull:
            area = -area
        else:
            x1, y1, inverse1, x2, y2, inverse2 = x2, y2, inverse2, x1, y1, inverse1
        if not area > 0:
            continue
        dx0, dy0 = x2 - x1, y2 - y1
        dx1, dy1 = x0 - x2, y0 - y2
        dx2, dy2 = x1 - x0, y1 - y0
        row0 = dx0 * (top - y1) - dy0 * (left - x1)
        row1 = dx1 * (top - y2) - dy1 * (left - x2)
        row2 = dx2 * (top - y0) - dy2 * (left - x0)
        least0, least1, least2 = _exclusion(dx0, dy0), _exclusion(dx1, dy1), _exclusion(dx2, dy2)
        scale = 1.0 / area
        slope1 = (inverse1 - inverse0) * scale
        slope2 = (inverse2 - inverse0) * scale
        pixel = np.uintp(top) * np.uintp(width) + np.uintp(left)
        count = np.uintp(right - left)
        padded = (count + np.uintp(LANES - 1)) // np.uintp(LANES) * np.uintp(LANES)
        # pixels past the box lie outside the triangle and stay as they are, but the row must have them
        columns = padded if np.uintp(left) + padded <= np.uintp(width) else count
        for _ in range(np.uintp(bottom - top)):
            ids_here, nearest_here = ids[pixel:], nearest[pixel:]
            for c in range(columns):
                e0, e1, e2 = row0 - dy0 * c, row1 - dy1 * c, row2 - dy2 * c
                here = np.float32(inverse0 + e1 * slope1 + e2 * slope2)
                nearer = (here > nearest_here[c]) | ((here == nearest_here[c]) & (t < ids_here[c]))
                seen = (e0 >= least0) & (e1 >= least1) & (e2 >= least2) & nearer
                nearest_here[c] = here if seen else nearest_here[c]
                ids_here[c] = t if seen else ids_here[c]
            row0 += dx0
            row1 += dx1
            row2 += dx2
            pixel += np.uintp(width)


@_inner
def _finish(placed, triangles, width, height, ids, barycentric, depth):
    """Perspective-correct weights at each covered pixel; depth in place of its inverse, inf where empty."""
    barycentric[:], depth[:] = 0, np.inf
    group, pixels = np.zeros(FIELDS * GROUP, np.float32), np.empty(GROUP, np.int32)
    pixel, n = np.uintp(0), np.uintp(0)
    for row in range(np.uintp(height)):
        for column in range(np.uintp(width)):
            if ids[pixel] >= 0:
                i, j, k = corners_of(triangles, np.uint32(ids[pixel]))
                group[_field(0, n)], group[_field(1, n)], group[_field(2, n)] = _vertex(placed, i)
                group[_field(3, n)], group[_field(4, n)], group[_field(5, n)] = _vertex(placed, j)
                group[_field(6, n)], group[_field(7, n)], group[_field(8, n)] = _vertex(placed, k)
                group[_field(9, n)], group[_field(10, n)] = np.float32(column), np.float32(row)
                pixels[n] = pixel
                n += np.uintp(1)
                if n == GROUP:
                    _finish_group(group, pixels, n, barycentric, depth)
                    n = np.uintp(0)
            pixel += np.uintp(1)
    _finish_group(group, pixels, n, barycentric, depth)


@_inner
def _finish_group(group, pixels, count, barycentric, depth):
    """Writes weights and depth of `count` pixels: x, y, 1 / depth of the three corners, and the centre."""
    for n in range(np.uintp(GROUP)):
        cx, cy = group[_field(9, n)], group[_field(10, n)]
        x0, y0, inverse0 = group[_field(0, n)] - cx, group[_field(1, n)] - cy, group[_field(2, n)]
        x1, y1, inverse1 = group[_field(3, n)] - cx, group[_field(4, n)] - cy, group[_field(5, n)]
        x2, y2, inverse2 = group[_field(6, n)] - cx, group[_field(7, n)] - cy, group[_field(8, n)]
        e0, e1, e2 = x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0
        w0, w1, w2 = e0 * inverse0, e1 * inverse1, e2 * inverse2
        scale = np.float32(1) / (w0 + w1 + w2)
        group[_field(10, n)], group[_field(11, n)], group[_field(12, n)] = w0 * scale, w1 * scale, w2 * scale
        group[_field(13, n)] = (e0 + e1 + e2) * scale
    for n in range(count):
        pixel = np.uintp(np.uint32(pixels[n]))
        weights = np.uintp(3) * pixel
        barycentric[weights] = group[_field(10, n)]
        barycentric[weights + np.uintp(1)] = group[_field(11, n)]
        barycentric[weights + np.uintp(2)] = group[_field(12, n)]
        depth[pixel] = group[_field(13, n)]


_points = types.Array(types.float32, 3, "C", readonly=True)
_triangles = types.Array(types.int32, 1, "C", readonly=True)


@compiled(
    types.boolean(
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
        triangles: (3 T,) corners of one triangle after the other.
        near: depth_mm at and below which a vertex drops its triangles.
        cull: whether triangles that are clockwise in the picture as seen are dropped.
        triangle, barycentric, depth: (B, H, W), (B, H, W, 3), (B, H, W), any contents.

    Returns:
        Whether the vertices of all triangles exist; if not, nothing sensible was drawn.
    """
    vertices, height, width = points.shape[1], np.int32(triangle.shape[1]), np.int32(triangle.shape[2])
    placed = np.empty(3 * vertices, np.float32)
    large = np.empty(triangles.shape[0] // 3 + 1, np.int32)
    for b in range(points.shape[0]):
        ids, weights, nearest = triangle[b].reshape(-1), barycentric[b].reshape(-1), depth[b].reshape(-1)
        ids[:] = -1
        nearest[:] = 0
        _snap(points[b].reshape(-1), near, placed)
        count = _sort_out(placed, triangles, cull, width, height, large, ids, nearest)
        if count < 0:
            return False
        _draw(placed, triangles, large[:count], cull, width, height, ids, nearest)
        _finish(placed, triangles, width, height, ids, weights, nearest)
    return True


@compiled(
    types.void(
        types.Array(types.float32, 3, "C", readonly=True),
        _triangles,
        types.Array(types.int32, 2, "C", readonly=True),
        types.Array(types.float32, 3, "C", readonly=True),
        types.float32[:, :, ::1],
    ),
    nogil=True,
    error_model="numpy",
)
def interpolate_pictures(attributes, triangles, triangle, barycentric, out):
    """Vertex attributes at the points seen, 0 where there is none.

    Args:
        attributes: (B, V, C).
        triangles: (3 T,) corners of one triangle after the other.
        triangle, barycentric: (B, N), (B, N, 3) fragments.
        out: (B, N, C).
    """
    for b in range(np.uintp(out.shape[0])):
        for n in range(np.uintp(out.shape[1])):
            if triangle[b, n] < 0:
                out[b, n, :] = 0
                continue
            i, j, k = corners_of(triangles, np.uint32(triangle[b, n]))
            w0, w1, w2 = barycentric[b, n, 0], barycentric[b, n, 1], barycentric[b, n, 2]
            for c in range(np.uintp(out.shape[2])):
                out[b, n, c] = w0 * attributes[b, i, c] + w1 * attributes[b, j, c] + w2 * attributes[b, k, c]
