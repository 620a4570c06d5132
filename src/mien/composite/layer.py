"""One layer of a changed picture, and how layers are laid over the photograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mien.composite.warp import moved, soft, step
from mien.image import linear_to_srgb, srgb_to_linear
from mien.overlay import LUMINANCE, is_grey

_STILL_PX, _SAME = 0.3, 0.01  # offsets and logarithms of gain below which nothing changes


@dataclass(frozen=True, eq=False)
class Layer:
    """What becomes of one kind of surface, at the scale it was computed at.

    Attributes:
        share: (H, W) of each pixel that it takes.
        offset_px: (H, W, 2) from each pixel to where the photograph shows the same.
        log_gain: (H, W, 3) logarithm of what linear light is multiplied by.
        drawn: (H, W, 3) linear RGB for where the photograph does not show it; None if it does everywhere.
        known: (H, W) how far the photograph shows it.
        hidden: (H, W) where the photograph shows another surface, whose pixels must not be moved here.
        instead: (H, W, 3) sRGB to move in their place.
    """

    share: np.ndarray
    offset_px: np.ndarray
    log_gain: np.ndarray
    drawn: np.ndarray | None = None
    known: np.ndarray | None = None
    hidden: np.ndarray | None = None
    instead: np.ndarray | None = None

    def change(self) -> np.ndarray:
        """(H, W) from 0, nothing, to 1."""
        moves = np.linalg.norm(self.offset_px, axis=-1) / _STILL_PX
        gains = np.abs(self.log_gain).max(axis=-1) / _SAME
        new = 0 if self.drawn is None else 10 * (1 - self.known)
        return np.minimum(self.share * np.maximum(np.maximum(moves, gains), new), 1)


def laid_over(photo: np.ndarray, layers: Sequence[Layer]) -> np.ndarray:
    """The photograph (H', W', 3), of any scale, as layers whose shares add up to 1 change it."""
    height, width = photo.shape[:2]

    def full(picture: np.ndarray) -> np.ndarray:
        if picture.shape[:2] == (height, width):
            return picture
        return cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)

    result = np.zeros_like(photo)
    for layer in layers:
        share = full(layer.share)[..., None]
        if not share.any():
            continue
        source = photo
        if layer.hidden is not None and layer.hidden.any():
            source = photo + full(layer.hidden)[..., None] * (full(layer.instead) - photo)
        offset_px = full(layer.offset_px) * (width / layer.share.shape[1])
        value = srgb_to_linear(moved(source, offset_px)) * np.exp(full(layer.log_gain))
        if layer.drawn is not None:
            drawn = full(layer.drawn)
            value = drawn + full(layer.known)[..., None] * (value - drawn)
        result += share * value
    if is_grey(photo):
        result = np.repeat((result @ LUMINANCE)[..., None], 3, axis=-1)
    result = linear_to_srgb(np.minimum(result, 1.0))
    change = np.maximum.reduce([layer.change() for layer in layers])
    changed = full(step(soft(change, 2.0), 0.1, 0.9))[..., None]
    return photo + changed * (result - photo)
