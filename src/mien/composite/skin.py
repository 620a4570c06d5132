"""The layer of everything but eyes and the mouth's inside: skin, and around it hair, clothes, background."""

from __future__ import annotations

import cv2
import numpy as np

from mien.composite.head import REACH_MM, SKIN
from mien.composite.layer import Layer
from mien.composite.mouth import INNER_LIPS, opening
from mien.composite.view import View
from mien.composite.warp import grown, moved, soft, spread, step
from mien.image import srgb_to_linear

_FADE_MM = 10.0  # how far changes of light and colour reach beyond the head
_LIP_MM = 1.0  # width of lip that is not told from the mouth's inside
_OTHER_STRENGTH = 0.7, 1.2  # logarithms, by which what is not skin is darker or brighter than expected
_OTHER_TINT = 0.25  # and by which its tint differs
_TINT, _HAIR = 0.4, 0.5  # share of a change of light that is taken for its tint, and for hair


def skin_layer(view: View, share: np.ndarray) -> Layer:
    """The layer, with the share (H, W) that the others leave to it."""
    here = view.covered & (view.kind == SKIN)
    still = view.far_mm > REACH_MM
    known = (here & view.visible) | still
    offset = spread(np.where(still[..., None], 0, view.offset_px), known.astype(np.float32))
    hidden = grown(opening(view, view.before), _LIP_MM * view.before.px_per_mm)
    return Layer(
        share=share,
        offset_px=offset,
        log_gain=_changed_colour(view, here, offset) + _lip_seam(view)[..., None],
        hidden=hidden,
        instead=spread(view.photo, 1 - hidden),
    )


def _changed_colour(view: View, here: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """(H, W, 3) logarithm of what light and albedo change."""
    before, after = view.before, view.after
    if np.array_equal(before.log_light, after.log_light) and np.array_equal(
        before.log_albedo, after.log_albedo
    ):
        return np.zeros((*here.shape, 3), np.float32)
    trust = _skin_share(view, here, offset)
    return _relit(view, here, trust) + _recoloured(view, here, trust)


def _relit(view: View, here: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """(H, W, 3) logarithm of the light after over the light before: in full on skin, less on hair.

    Held within what fitted light is good for: nine harmonics say more about strength than about tint.
    """
    change = view.seen(view.after.log_light - view.before.log_light)
    strength = change.mean(axis=-1, keepdims=True)
    change = np.tanh(strength) + _TINT * (change - strength)
    change = soft(spread(change, here.astype(np.float32)), 4.0 * view.after.px_per_mm)
    within = _HAIR * soft((view.far_mm == 0).astype(np.float32), 4.0 * view.after.px_per_mm) ** 2
    return change * np.maximum(trust, within)[..., None]


def _recoloured(view: View, here: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """(H, W, 3) logarithm of the albedo after over that before."""
    change = view.seen(view.after.log_albedo - view.before.log_albedo)
    return spread(change, here.astype(np.float32)) * trust[..., None]


def _skin_share(view: View, here: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """(H, W) how far the photograph shows what the model expects: skin; not hair, clothes, background."""
    seen = here & view.visible
    if not seen.any():
        return np.zeros(here.shape, np.float32)
    expected = spread(
        view.seen(view.before.log_albedo) + view.seen(view.before.log_light), here.astype(np.float32)
    )
    shown = np.log(np.maximum(srgb_to_linear(moved(view.photo, offset)), 1e-3))
    difference = shown - expected
    difference -= np.median(difference[seen], axis=0)
    strength = difference.mean(axis=-1)
    tint = np.linalg.norm(difference - strength[..., None], axis=-1)
    strength /= np.where(strength < 0, *_OTHER_STRENGTH)
    share = 1 / (1 + strength**4 + (tint / _OTHER_TINT) ** 4)
    return soft(share, 3.0 * view.after.px_per_mm) * step(view.far_mm, _FADE_MM, 0.0)


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
