"""Colours of a face by name: directions in the code of the albedo.

A trait is a linear measure of the log albedo, such as how much darker the beard's region is than the cheeks.
Codes are standard normal, so the direction along which a measure grows as it does among faces, nothing else
being asked, is its gradient: E[code | measure] is proportional to it.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from mien.morphable import MorphableModel
from mien.overlay import LUMINANCE

TRAITS: tuple[str, ...] = ("tone", "stubble", "lips", "brows")
"""Lighter skin, a darker beard's region, redder lips, darker brows."""

_TONE = 3  # components that carry the skin's tone and undertones: no other trait may change them
_REDNESS = np.array([1.0, -0.5, -0.5])

_LIPS = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146]
_BROW = [70, 63, 105, 66, 107, 55, 65, 52, 53, 46]
_BEARD = [132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361]
_BEARD += [410, 391, 2, 165, 186]
"""MediaPipe's outlines: of the lips, of the right brow, and of the jaw up to the nose."""


def has_traits(model: MorphableModel) -> bool:
    """Whether the model's albedo is logarithmic, and has the components that traits are made of."""
    return model.albedo_is_log and len(model.albedo_components) > _TONE


@lru_cache(maxsize=16)
def direction(model: MorphableModel, name: str) -> np.ndarray:
    """(A,) float64 change of the albedo's code that is one standard deviation of a trait.

    Raises:
        ValueError: the model's albedo is not logarithmic, or has too few components.
    """
    components = np.asarray(model.albedo_components, np.float64)
    if not has_traits(model):
        raise ValueError(f"the albedo of {model.id} has no named traits")
    if name == "tone":
        return np.eye(1, len(components))[0]
    lips, brows, beard = (_within(model, outline) for outline in (_LIPS, _BROW, _BEARD))
    brows |= brows[np.asarray(model.refinement.mirror)]
    beard &= ~lips
    x, y, z = model.refinement(np.asarray(model.identity_mean)).T
    cheeks = (np.abs(x) < 50) & (np.abs(x) > 22) & (y > -50) & (y < -18) & (z > -20)
    where, colour = {
        "stubble": (beard, -LUMINANCE),
        "lips": (lips, _REDNESS - 0.5 * LUMINANCE),
        "brows": (brows, -LUMINANCE),
    }[name]
    along = (components[:, where].mean(axis=1) - components[:, cheeks].mean(axis=1)) @ colour
    along[:_TONE] = 0
    return along / np.linalg.norm(along)


def _within(model: MorphableModel, outline: list[int]) -> np.ndarray:
    """(V_detail,) bool: vertices of the skin's front within an outline of landmarks, seen from the front."""
    mean = np.asarray(model.identity_mean)
    points = model.refinement(mean)
    ring = model.landmarks478(mean)[outline]
    contour = np.float32(ring[:, None, :2])
    inside = [cv2.pointPolygonTest(contour, (float(x), float(y)), False) >= 0 for x, y, _ in points]
    skin = np.asarray(model.refinement.part) == 0
    return np.array(inside) & skin & (points[:, 2] > ring[:, 2].min() - 10)
