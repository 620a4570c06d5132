"""The inner loops of `mien.texture`, compiled by numba: one pass over the texels each, no temporary arrays."""

from __future__ import annotations

import numpy as np
from numba import types

from mien.raster_kernel import compiled

_f1 = types.Array(types.float32, 1, "C", readonly=True)
_f2 = types.Array(types.float32, 2, "C", readonly=True)
_f3 = types.Array(types.float32, 3, "C", readonly=True)
_i1 = types.Array(types.int32, 1, "C", readonly=True)
_i2 = types.Array(types.int32, 2, "C", readonly=True)
_float = types.float32
_texels = types.float32[:, ::1]
_fast = {"nogil": True, "error_model": "numpy"}


@compiled(types.void(_i1, _f2, _i2, _f2, _texels), **_fast)
def interpolate(triangle, barycentric, corners, attribute, out):
    """(T, 3) corners' rows of a (V, C) attribute at N points on triangles, to (N, C)."""
    for n in range(triangle.shape[0]):
        i, j, k = corners[triangle[n], 0], corners[triangle[n], 1], corners[triangle[n], 2]
        for c in range(attribute.shape[1]):
            out[n, c] = (
                barycentric[n, 0] * attribute[i, c]
                + barycentric[n, 1] * attribute[j, c]
                + barycentric[n, 2] * attribute[k, c]
            )


@compiled(types.void(_f2, _f1, _f3, _f2, _float, _float, _texels, types.float32[::1]), **_fast)
def sample(points, facing, picture, depth, pixel_mm, grazing, colour, seen):
    """What the picture shows at points of the surface, and how well.

    Args:
        points: (N, 3) x_px, y_px in this picture, depth_mm.
        facing: (N,) cosine between the normal and the direction to the camera.
        picture: (H, W, C) any quantity that may be interpolated.
        depth: (H, W) millimetres to the nearest surface around each pixel.
        pixel_mm: size of a pixel at the face.
        grazing: cosine at which the weight falls to zero.
        colour, seen: (N, C), (N,) receive the interpolated picture and the weight in [0, 1].
    """
    height, width = picture.shape[0], picture.shape[1]
    for n in range(points.shape[0]):
        x, y = points[n, 0] - np.float32(0.5), points[n, 1] - np.float32(0.5)
        seen[n] = 0
        for c in range(picture.shape[2]):
            colour[n, c] = 0
        slant = facing[n]
        if slant <= grazing or not (x >= 0 and y >= 0 and x < width - 1 and y < height - 1):
            continue
        column, row = int(x), int(y)
        fx, fy = x - column, y - row
        nearest = depth[int(y + np.float32(0.5)), int(x + np.float32(0.5))]
        slope_mm = pixel_mm * np.sqrt(np.float32(1) - min(slant * slant, np.float32(1))) / slant
        behind = (points[n, 2] - nearest) / (np.float32(1.5) + np.float32(2) * slope_mm)
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


@compiled(types.void(_f2, types.int32[:, ::1], _f2, _f1, _texels, types.float32[::1]), **_fast)
def look_up(places, index, value, weight, found, found_weight):
    """Weighted bilinear interpolation of N texels at N other places of the texture.

    Args:
        places: (N, 2) column and row in texels, pixel centres at + 0.5; negative where there is none.
        index: (S, S) number of the texel at each pixel, -1 where there is none.
        value, weight: (N, C), (N,) of the texels.
        found, found_weight: (N, C), (N,) receive the mean by weight, and the interpolated weight.
    """
    size = index.shape[0]
    for n in range(places.shape[0]):
        found_weight[n] = 0
        for c in range(value.shape[1]):
            found[n, c] = 0
        x, y = places[n, 0] - np.float32(0.5), places[n, 1] - np.float32(0.5)
        if not (x >= 0 and y >= 0 and x < size - 1 and y < size - 1):
            continue
        column, row = int(x), int(y)
        for dy in range(2):
            for dx in range(2):
                m = index[row + dy, column + dx]
                if m < 0:
                    continue
                share = weight[m] * abs(1 - dx - (x - column)) * abs(1 - dy - (y - row))
                found_weight[n] += share
                for c in range(value.shape[1]):
                    found[n, c] += share * value[m, c]
        if found_weight[n] > 0:
            for c in range(value.shape[1]):
                found[n, c] /= found_weight[n]
