"""Pose and perspective: model frame to camera frame to picture, as docs/conventions.md fixes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera without distortion.

    Attributes:
        focal_px: (...) focal length.
        principal_px: (..., 2) x and y of the principal point.
        image_size: width and height of the picture, whole pixels.
    """

    focal_px: Any
    principal_px: Any
    image_size: tuple[int, int]


def rotation_matrix(rotvec_radians: Any) -> Any:
    """The rotation about `rotvec_radians` by its length; smooth everywhere, also at zero.

    Source: O. Rodrigues, "Des lois géométriques qui régissent les déplacements d'un système solide", 1840.

    Args:
        rotvec_radians: (..., 3) axis times angle.

    Returns:
        (..., 3, 3) matrices.
    """
    xp = array_namespace(rotvec_radians)
    x, y, z = (rotvec_radians[..., i] for i in range(3))
    squared = x * x + y * y + z * z
    small = squared < 1e-3
    safe = xp.where(small, xp.ones_like(squared), squared)
    angle = xp.sqrt(safe)
    half_sine = xp.sin(0.5 * angle)
    # sin(t) / t and (1 - cos(t)) / t², below 0.03 rad by their Taylor series
    a = xp.where(small, 1 - squared / 6 * (1 - squared / 20 * (1 - squared / 42)), xp.sin(angle) / angle)
    b = xp.where(
        small, 0.5 - squared / 24 * (1 - squared / 30 * (1 - squared / 56)), 2 * half_sine * half_sine / safe
    )
    rows = [
        [1 - b * (y * y + z * z), b * x * y - a * z, b * x * z + a * y],
        [b * x * y + a * z, 1 - b * (x * x + z * z), b * y * z - a * x],
        [b * x * z - a * y, b * y * z + a * x, 1 - b * (x * x + y * y)],
    ]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def rotation_vector(matrix: np.ndarray) -> np.ndarray:
    """Inverse of `rotation_matrix`, NumPy only.

    Args:
        matrix: (..., 3, 3) rotations.

    Returns:
        (..., 3) axis times angle, the angle in [0, pi].
    """
    from scipy.spatial.transform import Rotation

    rotvec = Rotation.from_matrix(matrix.reshape(-1, 3, 3)).as_rotvec()
    return rotvec.reshape(matrix.shape[:-1]).astype(matrix.dtype)


def to_camera(vertices: Any, rotation: Any, translation: Any) -> Any:
    """Model frame to camera frame: F (R X) + translation.

    Args:
        vertices: (..., V, 3) millimetres, model frame.
        rotation: (..., 3) axis-angle, radians.
        translation: (..., 3) millimetres, camera frame.

    Returns:
        (..., V, 3) millimetres, camera frame.
    """
    turned = rotate(vertices, rotation)
    xp = array_namespace(turned)
    flip = xp.asarray([1.0, -1.0, -1.0], dtype=turned.dtype, device=device(turned))
    return turned * flip + translation[..., None, :]


def rotate(vectors: Any, rotation: Any) -> Any:
    """(..., V, 3) vectors turned by (..., 3) axis-angle: model-frame normals become light-frame normals."""
    xp = array_namespace(vectors, rotation)
    return xp.matmul(vectors, xp.matrix_transpose(rotation_matrix(rotation)))


def project(points_camera: Any, camera: Camera) -> Any:
    """Camera frame to picture.

    Args:
        points_camera: (..., V, 3) millimetres, camera frame. Depths are not checked: a point with Z <= 0
            gives numbers without meaning, which `mien.raster.rasterize` drops.
        camera: batch axes broadcast with those of the points.

    Returns:
        (..., V, 3) of (x_px, y_px, depth_mm).
    """
    xp = array_namespace(points_camera)
    like = {"dtype": points_camera.dtype, "device": device(points_camera)}
    focal = xp.asarray(camera.focal_px, **like)[..., None]
    principal = xp.asarray(camera.principal_px, **like)
    depth = points_camera[..., 2]
    nonzero = xp.where(depth == 0, xp.ones_like(depth), depth)
    x = focal * points_camera[..., 0] / nonzero + principal[..., None, 0]
    y = focal * points_camera[..., 1] / nonzero + principal[..., None, 1]
    return xp.stack([x, y, xp.broadcast_to(depth, x.shape)], axis=-1)
