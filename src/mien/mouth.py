"""The mouth's inside, which photographs of closed mouths do not show: where it is, and what it looks like."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mien.camera import rotation_matrix
from mien.morphable import MorphableModel
from mien.raster import rasterize
from mien.warp import step

_UPPER_MM = np.cumsum([0, 8.5, 6.5, 7.5, 7.0, 7.0, 10.0, 9.5])
_LOWER_MM = np.cumsum([0, 5.0, 5.5, 7.0, 7.0, 7.0, 11.0, 10.5])
"""Borders between the teeth along the arch, from the middle: mean widths of the crowns (S. J. Nelson,
M. M. Ash, "Wheeler's dental anatomy, physiology, and occlusion", 9th ed. 2010, tables 1-1 and following)."""

_CROWN_MM = 9.5  # height of the crowns; above it the gums begin
_ENAMEL = np.array([0.62, 0.55, 0.45], np.float32)
_GUM = np.array([0.36, 0.14, 0.12], np.float32)
_FLESH = np.array([0.10, 0.03, 0.025], np.float32)
_TONGUE = np.array([0.17, 0.06, 0.05], np.float32)


@lru_cache(maxsize=4)
def cavity(model: MorphableModel) -> np.ndarray:
    """(V,) bool: the skin of the mouth's inside: what of a closed mouth nobody sees from anywhere."""
    head = np.asarray(model.identity_mean, np.float32)
    seen = np.zeros(len(head), bool)
    for pitch in np.linspace(-1.3, 1.3, 7):
        for yaw in np.linspace(-1.2, 1.2, 7):
            turn = rotation_matrix(np.array([pitch, 0.0, 0.0])) @ rotation_matrix(np.array([0.0, yaw, 0.0]))
            x, y, z = (head @ turn.T.astype(np.float32)).T
            points = np.stack([4 * x + 600, 600 - 4 * y, 1000 - z], axis=-1)
            triangle = rasterize(points, model.triangles, 1200, 1200).triangle
            seen[model.triangles[np.unique(triangle[triangle >= 0])]] = True
    teeth = head[_part(model, "teeth_upper") | _part(model, "teeth_lower")]
    if not len(teeth):
        return np.zeros(len(head), bool)
    near = (head > teeth.min(axis=0) - [8, 30, 200]) & (head < teeth.max(axis=0) + [8, 10, 8])
    return ~seen & near.all(axis=1) & _part(model, "skin")


def inside_albedo(model: MorphableModel, rest: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Colours of the mouth's inside, drawn tooth by tooth.

    Args:
        rest: (N, 3) millimetres, where the points are on the mean head at rest.
        part: (N,) part of the model that they are on.

    Returns:
        (N, 3) linear RGB.
    """
    colour = np.broadcast_to(_FLESH, rest.shape).copy()
    names = np.array(model.part_names)[part]
    colour[names == "tongue"] = _TONGUE
    for name, borders, up in (("teeth_upper", _UPPER_MM, 1.0), ("teeth_lower", _LOWER_MM, -1.0)):
        on = names == name
        if not on.any():
            continue
        whole = np.asarray(model.identity_mean)[_part(model, name)]
        colour[on] = _teeth(rest[on], whole, borders, up)
    return colour


def _teeth(rest: np.ndarray, whole: np.ndarray, borders: np.ndarray, up: float) -> np.ndarray:
    """(N, 3) linear RGB on a row of teeth; `up` is 1 for the upper jaw, -1 for the lower."""
    front, back = whole[:, 2].max(), whole[:, 2].min()
    radius = np.abs(whole[:, 0]).max()
    along = np.abs(np.arctan2(rest[:, 0] / radius, (rest[:, 2] - back) / (front - back)))
    along *= 0.5 * (radius + front - back)
    gap = np.abs(along[:, None] - borders).min(axis=1)
    tooth = np.clip(np.searchsorted(borders, along) - 1, 0, len(borders) - 2)
    place = (along - borders[tooth]) / (borders[tooth + 1] - borders[tooth])
    edge = (whole[:, 1] * up).min()
    height = rest[:, 1] * up - edge
    arch = np.sqrt(np.clip(4 * place * (1 - place), 0, 1))
    enamel = _ENAMEL * (1 - 0.018 * along[:, None]) * (1 - 0.25 * step(height, 4, 10)[:, None])
    enamel = enamel * (1 - 0.45 * np.exp(-((gap / 0.55) ** 2)))[:, None]
    gum = step(height - (_CROWN_MM - 2.5 + 2.5 * arch), -0.5, 0.8)[:, None]
    notch = step(height - 1.4 * (1 - arch), 0.3, -0.3)[:, None]
    colour = enamel + gum * (_GUM - enamel)
    return (colour * (1 - 0.5 * notch)).astype(np.float32)


def _part(model: MorphableModel, name: str) -> np.ndarray:
    return np.array(model.part_names)[np.asarray(model.part)] == name
