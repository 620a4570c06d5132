"""The layer of the eyeballs, which stay where they look while lids move over them."""

from __future__ import annotations

import cv2
import numpy as np

from mien.composite.head import EYES, SKIN
from mien.composite.layer import Layer
from mien.composite.view import View
from mien.composite.warp import moved, soft
from mien.image import srgb_to_linear

_LID_SHADE = 0.6  # lids and lashes keep this share of the light from the eyes
_OPEN = 0.25  # share of an eye that the photograph must show for it to be taken from there
_LID_TONE = 0.9  # how far a closed lid's colours may be from the skin's, logarithm of linear light


def eye_layer(view: View) -> Layer:
    """The layer. Of an open eye the photograph's pixels continue below lids that open further; an eye that
    the photograph shows closed is drawn, but not over sunglasses.
    """
    here = view.covered & (view.kind == EYES)
    visible = here & view.visible
    known = np.zeros(here.shape, np.float32)
    count, eye = cv2.connectedComponents(here.astype(np.uint8))
    for number in range(1, count):
        one = eye == number
        if visible[one].mean() > _OPEN:
            known[one] = 1
        elif _has_skin_tone(view, one):
            visible &= ~one
        else:
            here &= ~one
    drawn = _LID_SHADE * np.exp(view.seen(view.after.log_albedo) + view.seen(view.after.log_light))
    return Layer(
        share=soft(here.astype(np.float32), 0.8),
        offset_px=_continued(view.offset_px, visible),
        log_gain=_relit(view, here),
        drawn=drawn * here[..., None],
        known=cv2.dilate(known, np.ones((5, 5), np.uint8)) if known.any() else known,
    )


def _has_skin_tone(view: View, here: np.ndarray) -> bool:
    """Whether the photograph shows something like the face's skin where (H, W) an eye shall be."""
    shown = np.log(np.maximum(srgb_to_linear(moved(view.photo, view.offset_px)), 1e-3))
    skin = shown[view.visible & (view.kind == SKIN)]
    return bool(len(skin) and np.abs(np.median(shown[here], 0) - np.median(skin, 0)).max() < _LID_TONE)


def _relit(view: View, here: np.ndarray) -> np.ndarray:
    """(H, W, 3) logarithm of the change of light; one for both eyes: wet, they have no shades."""
    change = np.zeros((*here.shape, 3), np.float32)
    if here.any():
        change += np.median(view.seen(view.after.log_light - view.before.log_light)[here], axis=0)
        iris = view.after.log_albedo - view.before.log_albedo
        change += view.seen(iris) * here[..., None]
    return change


def _continued(offset_px: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """(H, W, 2) offsets to the nearest pixel that is visible."""
    if not visible.any():
        return np.zeros_like(offset_px, np.float32)
    _, nearest = cv2.distanceTransformWithLabels(
        (~visible).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    rows, columns = np.nonzero(visible)
    order = np.zeros(nearest.max() + 1, int)
    order[nearest[rows, columns]] = np.arange(len(rows))
    row, column = rows[order[nearest]], columns[order[nearest]]
    height, width = visible.shape
    place = np.stack([column - np.arange(width), row - np.arange(height)[:, None]], axis=-1)
    return np.float32(offset_px[row, column] + place)
