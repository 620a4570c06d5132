"""Values known at some pixels of a picture, spread smoothly over all; and pictures moved by them."""

from __future__ import annotations

import cv2
import numpy as np


def spread(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Fills a picture from the pixels that are known, the coarser the further away: pull and push.

    Source: S. J. Gortler, R. Grzeszczuk, R. Szeliski, M. F. Cohen, "The lumigraph", SIGGRAPH 1996, sec. 3.4.

    Args:
        values: (H, W, C) float32.
        weights: (H, W) float32 in [0, 1]: where 1, the values stay as they are.

    Returns:
        (H, W, C) float32; 0 where no pixel at all is known.
    """
    known = np.concatenate([values * weights[..., None], weights[..., None]], axis=-1)
    levels = [known]
    while min(levels[-1].shape[:2]) > 2:
        levels.append(cv2.pyrDown(levels[-1]))
    filled = levels[-1][..., :-1] / np.maximum(levels[-1][..., -1:], 1e-8)
    for level in levels[-2::-1]:
        height, width = level.shape[:2]
        filled = cv2.pyrUp(filled, dstsize=(width, height)).reshape(height, width, -1)
        weight = level[..., -1:]
        # a coarse level's few known pixels speak for all around them
        share = np.minimum(weight if level is known else 2 * weight, 1.0)
        filled += share * (level[..., :-1] / np.maximum(weight, 1e-8) - filled)
    return filled


def moved(image: np.ndarray, offset_px: np.ndarray) -> np.ndarray:
    """(H, W, C) what `image` shows at each pixel's place plus its offset (H, W, 2); its border continues."""
    height, width = offset_px.shape[:2]
    x = np.arange(width, dtype=np.float32) + offset_px[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + offset_px[..., 1]
    seen = cv2.remap(image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.clip(seen, 0.0, 1.0, out=seen)


def soft(mask: np.ndarray, radius_px: float) -> np.ndarray:
    """A (H, W) mask with an edge that wide on either side."""
    return cv2.GaussianBlur(mask, (0, 0), max(radius_px / 2, 0.3))


def grown(mask: np.ndarray, radius_px: float) -> np.ndarray:
    """A (H, W) mask grown to all sides, or shrunk where the radius is negative."""
    side = 2 * round(abs(radius_px)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.dilate(mask, disc) if radius_px > 0 else cv2.erode(mask, disc)


def step(value: np.ndarray, start: float, end: float) -> np.ndarray:
    """Rises smoothly from 0 at `start` to 1 at `end`, which may be below `start`."""
    t = np.clip((value - start) / (end - start), 0.0, 1.0)
    return t * t * (3 - 2 * t)
