"""Light as nine spherical harmonics: distant light on a matte surface needs no more (Basri, Jacobs 2003)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

CONSTANTS = np.array(
    [0.282095] + [0.488603] * 3 + [1.092548] * 2 + [0.315392, 1.092548, 0.546274], np.float32
)
"""(9,) constants of the basis, in the order of docs/conventions.md."""


def sh_basis(normals: Any) -> Any:
    """The nine real spherical harmonics up to degree two.

    Source: R. Ramamoorthi and P. Hanrahan, "An efficient representation for irradiance environment maps",
    SIGGRAPH 2001, equation 3; order as in docs/conventions.md.

    Args:
        normals: (..., 3) unit vectors, light frame.

    Returns:
        (..., 9) values.
    """
    xp = array_namespace(normals)
    x, y, z = normals[..., 0], normals[..., 1], normals[..., 2]
    c0, c1, c4, c6, c8 = (float(CONSTANTS[k]) for k in (0, 1, 4, 6, 8))
    return xp.stack(
        [
            c0 * xp.ones_like(x),
            c1 * y,
            c1 * z,
            c1 * x,
            c4 * x * y,
            c4 * y * z,
            c6 * (3 * z * z - 1),
            c4 * x * z,
            c8 * (x * x - y * y),
        ],
        axis=-1,
    )


def sh_basis_gradient(normals: Any) -> Any:
    """Derivative of `sh_basis` by the normal's three components: (..., 3) to (..., 9, 3)."""
    xp = array_namespace(normals)
    x, y, z = normals[..., 0], normals[..., 1], normals[..., 2]
    c1, c4, c6, c8 = (float(CONSTANTS[k]) for k in (1, 4, 6, 8))
    none, one = xp.zeros_like(x), xp.ones_like(x)
    rows = [
        [none, none, none],
        [none, c1 * one, none],
        [none, none, c1 * one],
        [c1 * one, none, none],
        [c4 * y, c4 * x, none],
        [none, c4 * z, c4 * y],
        [none, none, 6 * c6 * z],
        [c4 * z, none, c4 * x],
        [2 * c8 * x, -2 * c8 * y, none],
    ]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def shading(normals: Any, illumination: Any) -> Any:
    """Irradiance / pi on surfaces of the given normals; times linear albedo it is the radiance to the eye.

    Args:
        normals: (..., N, 3) unit vectors, light frame.
        illumination: (..., 9, 3) coefficients for linear red, green, blue.

    Returns:
        (..., N, 3), never negative.
    """
    xp = array_namespace(normals, illumination)
    light = xp.matmul(sh_basis(normals), illumination)
    return xp.where(light > 0, light, xp.zeros_like(light))


def rotate_light(illumination: Any, rotation: Any) -> Any:
    """Light seen from a turned camera: on a surface that turned with the frame nothing changes.

    The nine harmonics of a turned direction are linear in those of the direction: fixed by any directions on
    which the basis has full rank.

    Args:
        illumination: (..., 9, 3).
        rotation: (..., 3, 3), old light frame to new.

    Returns:
        (..., 9, 3) such that shading(rotation n, result) = shading(n, illumination).
    """
    xp = array_namespace(illumination, rotation)
    like = {"dtype": illumination.dtype, "device": device(illumination)}
    directions, inverse = _spread_directions()
    seen = sh_basis(xp.matmul(xp.asarray(directions, **like), rotation))
    return xp.matmul(xp.asarray(inverse, **like), xp.matmul(seen, illumination))


@lru_cache(maxsize=1)
def _spread_directions() -> tuple[np.ndarray, np.ndarray]:
    """(26, 3) unit vectors spread over the sphere, and (9, 26) the inverse of their basis."""
    grid = np.stack(np.meshgrid(*[[-1.0, 0.0, 1.0]] * 3), -1).reshape(-1, 3)
    directions = grid[np.abs(grid).sum(1) > 0]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions, np.linalg.pinv(sh_basis(directions))


def uniform_light(strength: float = 1.0) -> np.ndarray:
    """(9, 3) float32: white light from everywhere, under which albedo 1 has radiance `strength`."""
    illumination = np.zeros((9, 3), np.float32)
    illumination[0] = strength / CONSTANTS[0]
    return illumination


def directional_light(direction: Any, strength: Any = 1.0) -> np.ndarray:
    """A distant white lamp, its clamped cosine cut off after degree two.

    Source: Ramamoorthi and Hanrahan 2001, equation 8 for the factors pi, 2 pi / 3, pi / 4.

    Args:
        direction: (..., 3) toward the lamp, light frame, any length.
        strength: (...) radiance of albedo 1 that faces the lamp, to 6 % (the cut-off).

    Returns:
        (..., 9, 3) float32 coefficients.
    """
    direction = np.asarray(direction, np.float32)
    unit = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    cosine = np.pi * np.repeat([1.0, 2 / 3, 1 / 4], [1, 3, 5])
    coefficients = np.asarray(strength)[..., None] * cosine * sh_basis(unit)
    return np.repeat(coefficients[..., None], 3, axis=-1).astype(np.float32)


def studio_light() -> np.ndarray:
    """(9, 3) float32: a soft lamp before and above the face, brighter from the picture's left, and fill."""
    return uniform_light(0.40) + directional_light((-0.45, 0.55, 0.9), 0.62)
