"""An edited face put back into its photograph.

What the photograph shows is moved, not painted over: skin, eyes and the mouth's inside are three layers, each
moved by its own smooth field of offsets, which the mesh before and after the edit gives and which fades out
around the head. So hair, glasses and beards come along and nowhere is a seam. Only what the photograph does
not show, the inside of a mouth that opens above all, is drawn from the model. Light and colours change by the
ratio of the model's after and before (Z. Liu, Y. Shan, Z. Zhang, "Expressive expression mapping with ratio
images", SIGGRAPH 2001).
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from mien.camera import Camera
from mien.composite.eyes import eye_layer
from mien.composite.head import REACH_MM, Head
from mien.composite.layer import laid_over
from mien.composite.mouth import inner_mouth_layer
from mien.composite.registration import offsets_px
from mien.composite.skin import skin_layer
from mien.composite.view import View
from mien.facecode import FaceCode
from mien.image import to_uint8
from mien.morphable import MorphableModel

_SIDE_PX = 700  # of the head with its surroundings: finer fields would only cost time


def composite(
    model: MorphableModel,
    before: FaceCode,
    after: FaceCode,
    image: np.ndarray,
    camera: Camera,
    landmarks_px: np.ndarray | None = None,
    darker: np.ndarray | None = None,
) -> np.ndarray:
    """The photograph as if the face in it were another.

    Args:
        model: of both codes, NumPy.
        before: the face that the photograph shows (no batch axes).
        after: the face it shall show.
        image: (H, W, 3) float, sRGB in [0, 1].
        camera: the photograph's.
        landmarks_px: (478, 2) MediaPipe's landmarks as detected: the face is cut along lips and lids where
            these are seen; None to cut where the fit has them.
        darker: (V, 3) what the edit takes from the logarithm of the albedo besides, as new creases do.

    Returns:
        (H, W, 3) float32, sRGB in [0, 1]; where nothing changes the photograph's own pixels.
    """
    if np.array_equal(before.to_vector(), after.to_vector()):
        return np.array(image, np.float32)
    heads = Head.of(model, before, camera), Head.of(model, after, camera, neck_of=before)
    if darker is not None:
        heads[1].log_albedo -= model.refinement(np.asarray(darker, np.float32))
    for head, offset in zip(heads, offsets_px(model, *heads, landmarks_px), strict=True):
        head.points[:, :2] += offset
    low, high, scale = _frame(heads, image.shape)
    result = np.array(image, np.float32)
    if (high <= low).any():
        return result
    crop = np.ascontiguousarray(result[low[1] : high[1], low[0] : high[0]])
    small = _resized(crop, scale)
    for head in heads:
        head.points[:, :2] = (head.points[:, :2] - low) * scale
        head.px_per_mm *= scale
    view = View.of(model, *heads, small)
    eyes, mouth = eye_layer(view), inner_mouth_layer(view)
    skin = skin_layer(view, 1 - eyes.share - mouth.share)
    result[low[1] : high[1], low[0] : high[0]] = laid_over(crop, [skin, eyes, mouth])
    return result


def _frame(heads: tuple[Head, Head], shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, float]:
    """Left top and right bottom of the part of the picture that can change, and the scale to compute at."""
    xy = np.concatenate([head.points[:, :2] for head in heads])
    margin = 1.2 * REACH_MM * max(head.px_per_mm for head in heads)
    limits = np.array(shape[1::-1])
    low = np.clip(np.floor(xy.min(axis=0) - margin).astype(int), 0, limits)
    high = np.clip(np.ceil(xy.max(axis=0) + margin).astype(int), 0, limits)
    return low, high, min(1.0, _SIDE_PX / max((high - low).max(), 1))


def _resized(crop: np.ndarray, scale: float) -> np.ndarray:
    if scale == 1.0:
        return crop
    size = tuple(max(round(n * scale), 1) for n in crop.shape[1::-1])
    return np.asarray(Image.fromarray(to_uint8(crop)).resize(size, Image.Resampling.BOX), np.float32) / 255
