"""The layer of everything but eyes and the mouth's inside: skin, and around it hair, clothes, background."""

from __future__ import annotations

import cv2
import numpy as np

from mien.composite.head import REACH_MM, SKIN
from mien.composite.layer import Layer
from mien.composite.mouth import INNER_LIPS, openings
from mien.composite.view import View
from mien.composite.warp import grown, moved, soft, spread, step
from mien.image import srgb_to_linear

_FADE_MM = 25.0  # how far the change of light reaches beyond the head
_LIP_MM = 1.0  # width of lip that is not told from the mouth's inside
_OTHER = 0.7, 0.25  # differences in strength and tint, logarithms, from which a colour is not the skin's


def skin_layer(view: View, share: np.ndarray) -> Layer:
    """The layer, with the share (H, W) that the others leave to it."""
    here = view.covered & (view.kind == SKIN)
    still = view.far_mm > REACH_MM
    known = (here & view.visible) | still
    offset = spread(np.where(still[..., None], 0, view.offset_px), known.astype(np.float32))
    opened, _ = openings(view)
    return Layer(
        share=share,
        offset_px=offset,
        log_gain=_relit(view, here) + _recoloured(view, here, offset) + _lip_seam(view)[..., None],
        hidden=grown(opened, _LIP_MM * view.before.px_per_mm),
    )


def _relit(view: View, here: np.ndarray) -> np.ndarray:
    """(H, W, 3) logarithm of the light after over the light before."""
    change = view.seen(view.after.log_light - view.before.log_light)
    return spread(change, here.astype(np.float32)) * step(view.far_mm, _FADE_MM, 0.0)[..., None]


def _recoloured(view: View, here: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """(H, W, 3) logarithm of the albedo after over that before, where the photograph shows skin at all."""
    change = view.after.log_albedo - view.before.log_albedo
    if not change.any():
        return np.zeros((*here.shape, 3), np.float32)
    expected = spread(
        view.seen(view.before.log_albedo) + view.seen(view.before.log_light), here.astype(np.float32)
    )
    shown = np.log(np.maximum(srgb_to_linear(moved(view.photo, offset)), 1e-3))
    difference = shown - expected
    difference -= np.median(difference[here & view.visible], axis=0) if (here & view.visible).any() else 0
    strength = difference.mean(axis=-1)
    tint = np.linalg.norm(difference - strength[..., None], axis=-1)
    trust = 1 / (1 + (strength / _OTHER[0]) ** 4 + (tint / _OTHER[1]) ** 4)
    trust = soft(trust, 1.5 * view.after.px_per_mm) * step(view.far_mm, 0.4 * _FADE_MM, 0.0)
    return spread(view.seen(change), here.astype(np.float32)) * trust[..., None]


def _lip_seam(view: View) -> np.ndarray:
    """(H, W) logarithm of the shade between lips that were parted and now meet."""
    before, after = (view.model.landmarks478(h.points[:, :2])[INNER_LIPS] for h in (view.before, view.after))
    height = [np.abs(ring[1:10, 1] - ring[:10:-1, 1]).mean() for ring in (before, after)]
    closed = step((height[0] - height[1]) / view.after.px_per_mm, 0.5, 3.0)
    shade = np.zeros(view.kind.shape, np.uint8)
    if closed == 0:
        return shade.astype(np.float32)
    middle = (after[1:10] + after[:10:-1]) / 2
    line = np.rint(16 * np.concatenate([after[:1], middle, after[10:11]]) - 8).astype(np.int32)
    cv2.polylines(shade, [line], False, 255, max(1, round(0.8 * view.after.px_per_mm)), cv2.LINE_AA, 4)
    return -0.8 * closed * soft(shade / np.float32(255), 0.7 * view.after.px_per_mm)
