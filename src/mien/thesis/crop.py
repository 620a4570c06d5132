"""The thesis's crop: the hull of iBUG's 68 landmarks without the inside of the mouth, black outside."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from array_api_compat import array_namespace

from mien.align import Alignment

SIDE = 224
"""Side of the crop in pixels, as in the thesis."""

DISTANCE_MM = 10_000.0
"""Of the face from the camera: so far that perspective hardly shows."""

INNER_LIPS = slice(60, 68)
"""iBUG's points around the inside of the mouth."""

_ROUNDS = 3  # of centring; each leaves a hundredth of what was off
_SHIFT = 4  # binary places behind the point of the coordinates that OpenCV draws


def hull_square(landmarks68_px: np.ndarray, size: int) -> Alignment:
    """The upright square around the hull, which touches its longer sides.

    Args:
        landmarks68_px: (..., 68, 2) pixels of the picture.
        size: side of the crop in its own pixels.
    """
    low, high = landmarks68_px.min(-2), landmarks68_px.max(-2)
    side = (high - low).max(-1)
    return Alignment((low + high) / 2, side, np.zeros_like(side), size)


def hull_mask(landmarks68_px: np.ndarray, size: int) -> np.ndarray:
    """(size, size) bool: the hull of the landmarks (68, 2) in a crop, without the inside of the mouth."""
    points = np.rint((landmarks68_px - 0.5) * 2**_SHIFT).astype(np.int32)
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(points), 1, cv2.LINE_8, _SHIFT)
    cv2.fillPoly(mask, [points[INNER_LIPS]], 0, cv2.LINE_8, _SHIFT)
    return mask.astype(bool)


def hull_crop(image: np.ndarray, landmarks68_px: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A photograph's face as the thesis's networks see it.

    Args:
        image: (H, W, 3) uint8 sRGB.
        landmarks68_px: (68, 2) pixels of the photograph.
        size: side of the crop in pixels.

    Returns:
        (size, size, 3) uint8 crop, and (68, 2) float64 landmarks in its pixels.
    """
    square = hull_square(landmarks68_px, size)
    inside = square.to_crop(landmarks68_px)
    return square.warp(image) * hull_mask(inside, size)[..., None], inside


def frame(landmarks_mm: Any, rotation: Any) -> tuple[Any, Any]:
    """Where a face stands whose hull fills the crop: the square of `hull_square`, seen by a far camera.

    Args:
        landmarks_mm: (..., 68, 3) float, model frame; NumPy or torch.
        rotation: (..., 3, 3) matrix R of the pose.

    Returns:
        (..., 3) translation in millimetres, camera frame; (...) focal length in sides of the crop.
    """
    xp = array_namespace(landmarks_mm)
    turned = xp.matmul(landmarks_mm, xp.matrix_transpose(rotation))
    across = xp.stack([turned[..., 0], -turned[..., 1]], axis=-1)
    depth = DISTANCE_MM - turned[..., 2:]
    shift = xp.zeros_like(across[..., 0, :])
    for _ in range(_ROUNDS):
        seen = (across + shift[..., None, :]) / depth
        low, high = xp.min(seen, axis=-2), xp.max(seen, axis=-2)
        shift = shift - 0.5 * DISTANCE_MM * (low + high)
    seen = (across + shift[..., None, :]) / depth
    side = xp.max(xp.max(seen, axis=-2) - xp.min(seen, axis=-2), axis=-1)
    far = xp.full_like(shift[..., :1], DISTANCE_MM)
    return xp.concat([shift, far], axis=-1), 1 / side
