"""What is done to each pixel of a picture, compiled by numba."""

from __future__ import annotations

import numpy as np
from numba import types

from mien.compiled import compiled


@compiled(
    types.void(
        types.Array(types.uint8, 3, "A"),
        types.Array(types.uint8, 3, "A", readonly=True),
        types.Array(types.uint8, 2, "C", readonly=True),
        types.int64,
    ),
    nogil=True,
)
def lay_over(image, colour, alpha, opacity):
    """image += (colour - image) alpha / 255 opacity / 256, rounded, in place.

    Args:
        image: (H, W, 3).
        colour: (H, W, 3).
        alpha: (H, W), 255 covers.
        opacity: 256 covers.
    """
    height, width = alpha.shape
    for i in range(height):
        for j in range(width):
            weight = alpha[i, j] * opacity
            if weight:
                for c in range(3):
                    old = int(image[i, j, c])
                    mixed = old * 65280 + (int(colour[i, j, c]) - old) * weight
                    image[i, j, c] = (mixed + 32640) // 65280


@compiled(
    types.uint8[:, :, ::1](
        types.Array(types.uint8, 3, "C", readonly=True),
        types.Array(types.uint8, 2, "C", readonly=True),
        types.Array(types.int8, 3, "A", readonly=True),
        types.int32,
    ),
    nogil=True,
)
def develop(image, curve, grain, strength):
    """(H, W, 3) curve[image] + strength / 256 grain, rounded and clipped.

    Args:
        image: (H, W, 3).
        curve: (256, 3), for each channel.
        grain: (H, W, 3).
        strength: 256 adds the grain as it is.
    """
    out = np.empty(image.shape, np.uint8)
    for i in range(np.uintp(out.shape[0])):
        for j in range(np.uintp(out.shape[1])):
            for c in range(np.uintp(3)):
                noise = (np.int32(grain[i, j, c]) * strength + np.int32(128)) >> np.int32(8)
                value = np.int32(curve[np.uintp(image[i, j, c]), c]) + noise
                out[i, j, c] = min(max(value, np.int32(0)), np.int32(255))
    return out
