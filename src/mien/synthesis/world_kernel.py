"""Laying one picture over another, compiled by numba."""

from __future__ import annotations

from numba import types

from mien.compiled import compiled


@compiled(
    types.void(
        types.uint8[:, :, ::1],
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
