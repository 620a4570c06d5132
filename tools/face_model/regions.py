"""Soft masks of the regions of the face on the detail mesh: what lips, brows, irises, beard and scalp are."""

from __future__ import annotations

import numpy as np

from face_model.anny_head import PART_NAMES, AnnyHead
from mien.mesh import vertex_normals
from mien.morphable import Embedding, Refinement
from mien.surface import fit_sphere

BROW_LEFT = [300, 293, 334, 296, 336, 285, 295, 282, 283, 276]
LIPS_OUTER = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146]
EYE_LEFT = [263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466]
IRIS_MM, PUPIL_MM = 6.0, 2.1
"""Radii of the painted irises and pupils."""


def refinement_marks(head: AnnyHead) -> list[np.ndarray]:
    """Which base vertices' triangles are split at each of three levels: the face once, lips and lids twice,
    the fronts of the eyeballs three times."""
    face = (head.part == 0) & ((head.mask("face") > 0.02) | (head.mask("lips") > 0.02))
    eyes = np.isin(head.part, (1, 2))
    front = eyes & (head.rest[:, 2] > head.rest[eyes, 2].max() - 9.0)
    fine = (head.mask("lips") > 0.3) & (head.mask("inside-mouth") < 0.5)
    return [face | eyes, front | fine, front]


def regions(
    head: AnnyHead, refinement: Refinement, mean: np.ndarray, embedding: Embedding
) -> dict[str, np.ndarray]:
    """Masks (V_detail,) float64 in [0, 1] by name, each symmetric.

    skin, face, lips, brows, eyelids, lash_line, ears, inside_mouth, nostrils, cheeks, nose, under_eyes,
    beard, moustache, scalp, neck, sclera, iris, pupil, teeth, tongue.

    Args:
        head: topology and the package's painted masks.
        refinement: base to detail mesh.
        mean: (V, 3) the mean head.
        embedding: of MediaPipe's points.
    """
    detail = refinement(mean)
    part = refinement.part
    skin = (part == 0).astype(np.float64)
    points = embedding(mean)
    painted = {
        name: refinement(head.mask(name)[:, None])[:, 0] * skin
        for name in ("face", "lips", "eyelids", "ears")
    }
    inside_mouth = refinement(head.mask("inside-mouth")[:, None])[:, 0] * skin
    x, y, z = detail.T
    front = skin * (z > -60.0)
    both = _Both(refinement.mirror)

    def blob(number: int, radius: float) -> np.ndarray:
        distance = np.linalg.norm(detail - points[number], axis=1)
        return both(np.exp(-0.5 * (distance / radius) ** 2)) * skin

    masks = {"skin": skin * (1.0 - inside_mouth), "inside_mouth": inside_mouth, **painted}
    masks["brows"] = both(_inside(detail, points[BROW_LEFT], 2.5)) * front
    masks["lips"] = both(_inside(detail, points[LIPS_OUTER], 1.6)) * front * (1.0 - inside_mouth)
    rim = np.linalg.norm(detail[:, None] - points[EYE_LEFT][None], axis=2).min(axis=1)
    masks["lash_line"] = both(np.exp(-0.5 * (rim / 1.6) ** 2)) * skin
    masks["cheeks"], masks["nose"] = blob(280, 15.0), blob(4, 9.0)
    masks["under_eyes"] = both(np.maximum(blob(348, 6.0), blob(347, 6.0)))
    masks["nostrils"] = blob(328, 2.6) * _step(-_normals(detail, refinement)[:, 1], 0.1, 0.5)
    mouth, nose_base, brow_top = points[[61, 291], 1].mean(), points[2, 1], points[10, 1]
    low = _step(nose_base - 1.0 - y, 0.0, 6.0)
    side = np.abs(x) - 14.0 - 0.9 * np.maximum(y - mouth, 0.0) + 30.0 * (y < mouth)
    beard = low * np.clip(side / 10.0 + (np.abs(x) < 24.0), 0.0, 1.0) * np.clip(2.0 * masks["face"], 0.0, 1.0)
    masks["beard"] = np.clip(beard * (1.0 - masks["lips"]), 0.0, 1.0) * masks["skin"]
    masks["moustache"] = masks["beard"] * _step(y - mouth, -4.0, 2.0) * _step(34.0 - np.abs(x), 0.0, 8.0)
    above = _step(y - (brow_top + 4.0), 0.0, 8.0)
    behind = _step(-45.0 - z, 0.0, 12.0) * _step(y + 25.0, -5.0, 10.0)
    masks["scalp"] = np.clip(above + behind, 0.0, 1.0) * masks["skin"] * (1.0 - painted["ears"])
    masks["neck"] = (
        masks["skin"] * (1.0 - np.clip(masks["face"] * 2.0, 0, 1)) * (1.0 - masks["scalp"]) * (y < -40.0)
    )
    masks["sclera"], masks["iris"], masks["pupil"] = np.zeros((3, len(detail)))
    for name in ("eye_left", "eye_right"):
        ball = part == PART_NAMES.index(name)
        centre, _ = fit_sphere(detail[ball])
        lateral = np.linalg.norm(detail[ball][:, :2] - centre[:2], axis=1)
        ahead = detail[ball][:, 2] > centre[2]
        masks["pupil"][ball] = _step(PUPIL_MM - lateral, -0.35, 0.35) * ahead
        masks["iris"][ball] = _step(IRIS_MM - lateral, -0.5, 0.5) * ahead
        masks["sclera"][ball] = 1.0 - masks["iris"][ball]
    masks["teeth"] = np.isin(part, [PART_NAMES.index(n) for n in ("teeth_upper", "teeth_lower")]).astype(
        float
    )
    masks["tongue"] = (part == PART_NAMES.index("tongue")).astype(float)
    return masks


def painted_albedo(masks: dict[str, np.ndarray]) -> np.ndarray:
    """(V_detail, 3) linear RGB of a plain face, by mask: enough for the detector to read it."""
    skin = np.array([0.54, 0.35, 0.27])
    colour = np.tile(skin, (len(masks["skin"]), 1))

    def paint(mask: np.ndarray, rgb: tuple[float, float, float], strength: float = 1.0) -> None:
        nonlocal colour
        weight = strength * mask[:, None]
        colour = colour * (1 - weight) + weight * np.array(rgb)

    paint(masks["cheeks"] + masks["nose"], (0.54, 0.29, 0.22), 0.4)
    paint(np.clip(masks["lips"], 0, 1), (0.40, 0.16, 0.14), 0.8)
    paint(masks["inside_mouth"], (0.25, 0.07, 0.06))
    paint(masks["brows"], (0.10, 0.06, 0.04), 0.75)
    paint(masks["lash_line"], (0.06, 0.04, 0.03), 0.45)
    paint(masks["nostrils"], (0.08, 0.03, 0.02), 0.7)
    paint(masks["sclera"], (0.72, 0.68, 0.65))
    paint(masks["iris"], (0.10, 0.06, 0.035))
    paint(masks["pupil"], (0.01, 0.01, 0.01))
    paint(masks["teeth"], (0.72, 0.66, 0.56))
    paint(masks["tongue"], (0.45, 0.15, 0.14))
    return np.clip(colour, 0.005, 1.0)


def painted_components(masks: dict[str, np.ndarray]) -> np.ndarray:
    """(6, V_detail, 3) of log linear RGB: melanin, blood, brows, lips, beard and eye colour."""
    steps = (
        ("skin", (-0.35, -0.50, -0.65)), ("skin", (0.02, -0.20, -0.10)), ("brows", (0.6, 0.6, 0.6)),
        ("lips", (0.10, -0.30, -0.20)), ("beard", (-0.6, -0.6, -0.6)), ("iris", (0.3, 0.6, 0.9)),
    )  # fmt: skip
    return np.stack([masks[name][:, None] * np.array(step) for name, step in steps])


def _normals(detail: np.ndarray, refinement: Refinement) -> np.ndarray:
    """(V_detail, 3) unit normals of the detail mesh."""
    return vertex_normals(detail, refinement.triangles)


class _Both:
    """Makes a mask painted on the left symmetric."""

    def __init__(self, mirror: np.ndarray) -> None:
        self._mirror = mirror

    def __call__(self, mask: np.ndarray) -> np.ndarray:
        return np.maximum(mask, mask[self._mirror])


def _step(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _inside(detail: np.ndarray, outline: np.ndarray, soft_mm: float) -> np.ndarray:
    """(V_detail,) 1 inside the outline (N, 3) as seen from the front, 0 outside, soft over `soft_mm`."""
    import cv2

    polygon = outline[:, :2].astype(np.float32).reshape(-1, 1, 2)
    depth = [cv2.pointPolygonTest(polygon, (float(px), float(py)), True) for px, py in detail[:, :2]]
    return np.clip(np.array(depth) / soft_mm + 0.5, 0.0, 1.0)
