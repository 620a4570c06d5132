"""Light to bytes in one pass over the pixels, compiled by numba."""

from __future__ import annotations

import numba
import numpy as np
from numba import types

from mien.compiled import compiled
from mien.raster_kernel import corners_of


@numba.njit(error_model="numpy")
def _byte(light, encoded):
    """Nearest entry of the table; the last for light above 1 and for NaN."""
    light = light if light < 1 else np.float32(1)
    light = light if light > 0 else np.float32(0)
    return encoded[np.uintp(np.int32(light * np.float32(encoded.shape[0] - 1) + np.float32(0.5)))]


@numba.njit(error_model="numpy", inline="always")
def _encode_picture(samples, colours, triangles, triangle, barycentric, behind, encoded, decoded, out):
    """`encode_pictures` of one picture; a constant 1 for `samples` leaves the compiler no loop over them."""
    share = np.float32(1) / np.float32(samples * samples)
    for row in range(np.uintp(out.shape[0])):
        for column in range(np.uintp(out.shape[1])):
            red = green = blue = np.float32(0)
            free = np.float32(1)
            for y in range(row * samples, (row + np.uintp(1)) * samples):
                for x in range(column * samples, (column + np.uintp(1)) * samples):
                    if triangle[y, x] >= 0:
                        i, j, k = corners_of(triangles, np.uint32(triangle[y, x]))
                        w0, w1, w2 = (
                            share * barycentric[y, x, 0],
                            share * barycentric[y, x, 1],
                            share * barycentric[y, x, 2],
                        )
                        red += w0 * colours[i, 0] + w1 * colours[j, 0] + w2 * colours[k, 0]
                        green += w0 * colours[i, 1] + w1 * colours[j, 1] + w2 * colours[k, 1]
                        blue += w0 * colours[i, 2] + w1 * colours[j, 2] + w2 * colours[k, 2]
                        free -= share
            below, here = behind[row, column], out[row, column]
            if free == 1:
                here[0], here[1], here[2] = below[0], below[1], below[2]
            else:
                here[0] = _byte(red + free * decoded[below[0]], encoded)
                here[1] = _byte(green + free * decoded[below[1]], encoded)
                here[2] = _byte(blue + free * decoded[below[2]], encoded)


@compiled(
    types.void(
        types.Array(types.float32, 3, "C", readonly=True),
        types.Array(types.int32, 1, "C", readonly=True),
        types.Array(types.int32, 3, "C", readonly=True),
        types.Array(types.float32, 4, "C", readonly=True),
        types.Array(types.uint8, 4, "A", readonly=True),
        types.Array(types.uint8, 1, "C", readonly=True),
        types.Array(types.float32, 1, "C", readonly=True),
        types.uint8[:, :, :, ::1],
    ),
    nogil=True,
    error_model="numpy",
)
def encode_pictures(radiance, triangles, triangle, barycentric, behind, encoded, decoded, out):
    """Interpolates radiance at the samples, takes each pixel's mean over the background, encodes it.

    Args:
        radiance: (B, V, 3) linear RGB of the vertices.
        triangles: (3 T,) corners of one triangle after the other.
        triangle, barycentric: (B, H s, W s), (B, H s, W s, 3) fragments of s² samples a pixel.
        behind: (B, H, W, 3) the background, sRGB.
        encoded: (N,) sRGB bytes of N linear values spaced evenly over [0, 1].
        decoded: (256,) linear values of the sRGB bytes.
        out: (B, H, W, 3) sRGB.
    """
    samples = np.uintp(triangle.shape[1] // max(out.shape[1], 1))
    for b in range(np.uintp(out.shape[0])):
        light, ids, weights = radiance[b], triangle[b], barycentric[b]
        below, here = behind[b], out[b]
        if samples == 1:
            _encode_picture(np.uintp(1), light, triangles, ids, weights, below, encoded, decoded, here)
        else:
            _encode_picture(samples, light, triangles, ids, weights, below, encoded, decoded, here)
