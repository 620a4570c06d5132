"""The inner loops of `mien.texture`, compiled by numba: each one pass over the texels."""

from __future__ import annotations

import numpy as np
from numba import types

from mien.compiled import compiled

_f1 = types.Array(types.float32, 1, "C", readonly=True)
_f2 = types.Array(types.float32, 2, "C", readonly=True)
_f3 = types.Array(types.float32, 3, "C", readonly=True)
_i1 = types.Array(types.int32, 1, "C", readonly=True)
_i2 = types.Array(types.int32, 2, "C", readonly=True)
_float = types.float32
_texels = types.float32[:, ::1]
_fast = {"nogil": True, "error_model": "numpy"}


@compiled(types.void(_f2, _i1, _f1, _f3, _f2, _i2, _float, _texels, types.float32[::1]), **_fast)
def sample(points, part, camera, picture, depth, nearest_part, grazing, colour, seen):
    """What the picture shows at points of the surface, and how well.

    Args:
        points: (N, 4) millimetres, camera frame, and the cosine between normal and direction to the camera.
        part: (N,) part of the model they are on.
        camera: (3,) focal length and principal point of this picture, pixels.
        picture: (H, W, C) any quantity that may be interpolated.
        depth: (H, W) millimetres to the nearest surface around each pixel.
        nearest_part: (H, W) the part seen at each pixel.
        grazing: cosine at which the weight falls to zero.
        colour, seen: (N, C), (N,) receive the interpolated picture and the weight in [0, 1].
    """
    height, width = picture.shape[0], picture.shape[1]
    for n in range(points.shape[0]):
        pixel_mm = points[n, 2] / camera[0]
        x = points[n, 0] / pixel_mm + camera[1] - np.float32(0.5)
        y = points[n, 1] / pixel_mm + camera[2] - np.float32(0.5)
        seen[n] = 0
        for c in range(picture.shape[2]):
            colour[n, c] = 0
        slant = points[n, 3]
        if slant <= grazing or not (x >= 0 and y >= 0 and x < width - 1 and y < height - 1):
            continue
        column, row = int(x), int(y)
        fx, fy = x - column, y - row
        at = int(y + np.float32(0.5)), int(x + np.float32(0.5))
        if nearest_part[at] != part[n]:  # a lid is so near to its eye that depths cannot tell them apart
            continue
        slope_mm = pixel_mm * np.sqrt(np.float32(1) - min(slant * slant, np.float32(1))) / slant
        behind = (points[n, 2] - depth[at]) / (np.float32(1.5) + np.float32(2) * slope_mm)
        visible = min(max(np.float32(2) - behind, np.float32(0)), np.float32(1))
        if visible == 0:
            continue
        steep = min((slant - grazing) / (np.float32(0.65) - grazing), np.float32(1))
        seen[n] = visible * steep * steep * (np.float32(3) - np.float32(2) * steep)
        for c in range(picture.shape[2]):
            above = picture[row, column, c] * (1 - fx) + picture[row, column + 1, c] * fx
            below = picture[row + 1, column, c] * (1 - fx) + picture[row + 1, column + 1, c] * fx
            colour[n, c] = above * (1 - fy) + below * fy


@compiled(types.void(_i1, _f2, _i2, _f2, _f1, types.float32[:, ::1], types.float32[::1]), **_fast)
def gather(triangle, barycentric, corners, value, weight, total, total_weight):
    """Adds weight × barycentric × value of N points to the V vertices of their triangles, and the weights."""
    for n in range(triangle.shape[0]):
        if weight[n] == 0:
            continue
        for i in range(3):
            vertex = corners[triangle[n], i]
            share = weight[n] * barycentric[n, i]
            total_weight[vertex] += share
            for c in range(value.shape[1]):
                total[vertex, c] += share * value[n, c]


@compiled(types.void(_f2, _i2, _f2, _f2, _f1, _texels), **_fast)
def complete(places, index, value, smooth, seen, out):
    """Adds to `out` (N, C) the smooth values and the details, a texel's own where seen, else its partner's.

    Args:
        places: (N, 2) column and row of each texel's partner, pixel centres at + 0.5; negative without one.
        index: (S, S) number of the texel at each pixel, -1 where there is none.
        value: (N, C) of the texels; the details are its differences from the smooth values.
        smooth: (N, C or more); further columns are not read.
        seen: (N,) weights in [0, 1].
    """
    size, channels = index.shape[0], value.shape[1]
    for n in range(places.shape[0]):
        for c in range(channels):
            out[n, c] += smooth[n, c] + seen[n] * (value[n, c] - smooth[n, c])
        x, y = places[n, 0] - np.float32(0.5), places[n, 1] - np.float32(0.5)
        if seen[n] > np.float32(0.999) or not (x >= 0 and y >= 0 and x < size - 1 and y < size - 1):
            continue
        column, row = int(x), int(y)
        fx, fy = x - column, y - row
        for dy in range(2):
            for dx in range(2):
                m = index[row + dy, column + dx]
                if m < 0 or seen[m] == 0:
                    continue
                share = (fx if dx else 1 - fx) * (fy if dy else 1 - fy) * seen[m] * (1 - seen[n])
                for c in range(channels):
                    out[n, c] += share * (value[m, c] - smooth[m, c])


@compiled(types.void(_i2, _f2, _f1, _float, _float, types.float32[:, :, ::1]), **_fast)
def encode(nearest, value, table, first, steps_per_unit, picture):
    """Fills a picture (H, W, C) with a tabulated function of values (nearest entry).

    Args:
        nearest: (H, W) texel numbers.
        value: (N, C) arguments of the tabulated function.
        table: (K,) its values, the first at `first`, the others spaced 1 / `steps_per_unit`.
    """
    last = np.float32(table.shape[0] - 1)
    for row in range(nearest.shape[0]):
        for column in range(nearest.shape[1]):
            n = nearest[row, column]
            for c in range(value.shape[1]):
                step = (value[n, c] - first) * steps_per_unit + np.float32(0.5)
                picture[row, column, c] = table[int(min(max(step, np.float32(0)), last))]
