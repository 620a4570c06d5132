"""The layer of the mouth's inside, and what it looks like where the photograph does not show it."""

from __future__ import annotations

import cv2
import numpy as np

from mien.composite.head import MOUTH, SKIN, Head, vertices_of
from mien.composite.layer import Layer
from mien.composite.view import View, pixel_centres
from mien.composite.warp import grown, moved, soft, spread, step
from mien.morphable import MorphableModel

INNER_LIPS = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95]
"""MediaPipe's points around the inside of the lips, from the subject's right corner over the upper lip."""

_UPPER_MM = np.cumsum([0, 8.5, 6.5, 7.5, 7.0, 7.0, 10.0, 9.5])
_LOWER_MM = np.cumsum([0, 5.0, 5.5, 7.0, 7.0, 7.0, 11.0, 10.5])
"""Borders between the teeth along the arch, from the middle: mean widths of the crowns (S. J. Nelson,
M. M. Ash, "Wheeler's dental anatomy, physiology, and occlusion", 9th ed. 2010, tables 1-1 and following)."""

_CROWN_MM = 9.5  # height of the crowns; above it the gums begin
_ENAMEL = np.array([0.70, 0.63, 0.53], np.float32)
_GUM = np.array([0.36, 0.14, 0.12], np.float32)
_FLESH = np.array([0.06, 0.018, 0.015], np.float32)
_TONGUE = np.array([0.11, 0.038, 0.032], np.float32)
_HIDDEN = np.array([0.02, 0.006, 0.005], np.float32)  # radiance where the model has nothing
_OPEN_MM = 0.6, 1.6  # heights from which lips are seen to part
_REACHED = 1.2  # of the light on skin: teeth are wet
_LIT_MM, _DEPTH_MM = 4.0, 12.0  # behind the lips from where light falls, and on what way to 1 / e
_ASIDE_MM = 20.0  # from the middle: there the cheeks' shadow has taken as much
_SOFT_MM = 0.8  # edges of teeth and tongue


def inner_mouth_layer(view: View) -> Layer:
    """The layer: what the photograph shows of the teeth stays with the upper jaw, the rest is drawn."""
    opened = opening(view, view.before)
    offset = _with_upper_jaw(view)
    share = opening(view, view.after) * _parted(view, moved(opened, offset))
    edge = 0.5 * view.before.px_per_mm
    shown, asked = (soft(grown(mask, -edge), edge) for mask in (opened, share))
    known = np.minimum((moved(shown, offset) + 0.02) / (asked + 0.02), 1)
    # at the rim, where nothing is asked for, a closed mouth would count as seen, and skin show
    known *= soft(grown(moved(opened, offset), edge), edge)
    shade = _shade(share, view.after.px_per_mm)
    darker = np.log(np.minimum(shade / moved(_shade(opened, view.before.px_per_mm), offset), 1))
    return Layer(
        share=share,
        offset_px=offset,
        log_gain=_relit(view)[None, None] + darker[..., None],
        drawn=_drawn(view, shade) if share.any() else np.zeros_like(view.photo),
        known=known,
    )


def opening(view: View, head: Head) -> np.ndarray:
    """(H, W) share of what is within the inner lips of a head."""
    ring = view.model.landmarks478(head.points[:, :2])[INNER_LIPS]
    gap_mm = np.abs(ring[1:10, 1] - ring[:10:-1, 1]).max() / head.px_per_mm
    mask = np.zeros(view.kind.shape, np.uint8)
    for _ in range(2):  # G. Chaikin, "An algorithm for high-speed curve generation", 1974
        onward = np.roll(ring, -1, axis=0)
        ring = np.stack([0.75 * ring + 0.25 * onward, 0.25 * ring + 0.75 * onward], 1).reshape(-1, 2)
    cv2.fillPoly(mask, [np.rint(16 * ring - 8).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return soft(mask / np.float32(255), 0.5 * head.px_per_mm) * step(gap_mm, *_OPEN_MM)


def _parted(view: View, shown: np.ndarray) -> np.ndarray:
    """(H, W) where lips are apart at all: by the mesh, or by the open mouth (H, W) of the photograph."""
    apart = (view.covered & (view.kind == MOUTH)).astype(np.float32)
    unit = view.after.px_per_mm
    return soft(grown(np.maximum(apart, shown), 4 * unit), 2 * unit)


def _with_upper_jaw(view: View) -> np.ndarray:
    """(H, W, 2) offsets of what moves as the upper teeth do."""
    shape = view.kind.shape
    teeth = vertices_of(view.model, "teeth_upper")
    if not teeth.any():
        return np.zeros((*shape, 2), np.float32)
    after = np.column_stack([view.after.points[teeth, :2], np.ones(teeth.sum())])
    turn = np.linalg.lstsq(after, view.before.points[teeth, :2], rcond=None)[0].astype(np.float32)
    rows, columns = pixel_centres(shape)
    offset = columns[..., None] * turn[0] + rows[..., None] * turn[1] + turn[2]
    return offset - np.stack(np.broadcast_arrays(columns, rows), axis=-1)


def _relit(view: View) -> np.ndarray:
    """(3,) logarithm of the change of light."""
    front = view.after.facing > 0.5
    return np.median((view.after.log_light - view.before.log_light)[front], axis=0).astype(np.float32)


def _drawn(view: View, shade: np.ndarray) -> np.ndarray:
    """(H, W, 3) linear RGB: teeth, gums and tongue, the darker the deeper behind the lips."""
    inside = view.covered & (view.kind == MOUTH)
    on_skin = (view.covered & (view.kind == SKIN)).astype(np.float32)
    place = view.seen(np.concatenate([view.surface.rest, view.model.refinement(view.after.points[:, 2:])], 1))
    if not inside.any():
        return np.broadcast_to(_HIDDEN, view.photo.shape)
    colour = np.zeros_like(view.photo)
    part = view.surface.part[view.fragments.triangle[inside]]
    colour[inside] = _albedo(view.model, place[inside][:, :3], part)
    depth = place[..., 3:]
    known = inside.astype(np.float32)
    behind = np.maximum(spread(depth, known) - spread(depth, on_skin) - _LIT_MM, 0)
    reached = np.exp(-behind / _DEPTH_MM - (spread(place[..., :1], known) / _ASIDE_MM) ** 4)
    light = _REACHED * np.exp(np.median(view.after.log_light[view.after.facing > 0.5], axis=0))
    return soft(spread(colour, known) * reached, _SOFT_MM * view.after.px_per_mm) * light * shade[..., None]


def _shade(share: np.ndarray, px_per_mm: float) -> np.ndarray:
    """(H, W) share of the light that gets past the lips into a mouth (H, W): least below the upper lip."""
    shift = np.float32([[1, 0, 0], [0, 1, 1.3 * px_per_mm]])
    below = cv2.warpAffine(share, shift, share.shape[::-1])
    return 0.45 + 0.55 * np.clip(2 * soft(below, 3.0 * px_per_mm) - 1, 0, 1)


def _albedo(model: MorphableModel, rest: np.ndarray, part: np.ndarray) -> np.ndarray:
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
        whole = np.asarray(model.identity_mean)[vertices_of(model, name)]
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
    enamel = enamel * (1 - 0.3 * np.exp(-((gap / 0.55) ** 2)))[:, None]
    gum = step(height - (_CROWN_MM - 2.5 + 2.5 * arch), -0.5, 0.8)[:, None]
    notch = step(height - 1.4 * (1 - arch), 0.3, -0.3)[:, None]
    colour = enamel + gum * (_GUM - enamel)
    return (colour * (1 - 0.5 * notch)).astype(np.float32)


def _part(model: MorphableModel, name: str) -> np.ndarray:
    return np.array(model.part_names)[np.asarray(model.part)] == name
