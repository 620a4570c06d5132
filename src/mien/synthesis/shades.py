"""What is darker in a picture than the albedo says: creases of expressions, brows and lips, the mouth inside.

How deep creases are differs from person to person, and some stay at rest, so a picture without them says
little and one with them much. Marks are what a mean of many people has blurred: brows, lashes, the red
of the lips, beards. A detector goes by them; without them its landmarks would err on random pictures as they
do not on photographs. Into the mouth little light falls, which shading by the normal alone does not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mien.creases import CREASES, DEPTH, NARROW_MM, WIDE_MM, crease_shades, depths, distance_mm
from mien.morphable import MorphableModel

_HOLLOW = {"teeth_upper": 0.25, "teeth_lower": 0.25, "tongue": 1.0}
_HOLLOW_MM = 25.0  # way into the mouth on which light falls to 1 / e
_TEETH_MM = 7.0  # from the upper lip back to the teeth
_UPPER_LIP = 13  # MediaPipe's landmark on its inner border
_LIPS_MEET = (((78,), (80, 88), (81, 178), (82, 87), (13, 14)),)
_LINE, _LINE_MM = 0.8, 1.5  # shadow where the lips meet


@dataclass(frozen=True)
class Mark:
    """Hair or colour of the right half of the face; the left one is its mirror.

    Attributes:
        lines: as of a crease.
        width_mm: distance from them at which it ends.
        tint: of the logarithm of red, green and blue.
        worn: share of people that have it.
        depth: of those, the most that it takes from the logarithm of the albedo.
    """

    lines: tuple[tuple[tuple[int, ...], ...], ...]
    width_mm: float
    tint: tuple[float, float, float]
    worn: float
    depth: float


MARKS: dict[str, Mark] = {
    "brow": Mark((((70, 46), (63, 53), (105, 52), (66, 65), (107, 55)),), 4.5, (0.9, 1.0, 1.1), 0.9, 1.2),
    "core of the brow": Mark((((63, 53), (105, 52), (66, 65), (55, 107)),), 2.8, (0.9, 1.0, 1.1), 0.9, 1.0),
    "lashes": Mark((((33,), (161,), (159,), (157,), (173,)),), 1.5, (1.0, 1.0, 1.0), 0.8, 1.0),
    "beard": Mark(
        (((93,), (58,), (172,), (136,), (150,), (149,), (176,), (148,), (152,)), ((204,), (194,), (200,))),
        15.0, (0.9, 1.0, 1.1), 0.2, 1.2,
    ),
    "moustache": Mark((((57,), (92,), (165,), (167,), (164,)),), 5.0, (0.9, 1.0, 1.1), 0.2, 1.2),
}  # fmt: skip

_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
_LIPS_TINT, _LIPS_SOFT_MM = (0.2, 0.8, 0.6), 1.0


def random_depths(rng: np.random.Generator, expression: np.ndarray) -> np.ndarray:
    """(N, 2 C + M + 2) float32: depth of each crease, the right half's before the left's, marks, lips, mouth.

    Args:
        rng: source of chance.
        expression: (N, 52) ARKit coefficients.
    """
    count, creases = len(expression), 2 * len(CREASES)
    skin = np.minimum(rng.exponential(DEPTH, (count, 1)), 1.5)
    at_rest = rng.random((count, creases // 2)) * (rng.random((count, 1)) < 0.4) * 0.4
    own = np.exp(rng.normal(size=(count, creases)) * 0.4)
    worn, depth = np.array([(mark.worn, mark.depth) for mark in MARKS.values()]).T
    marks = (rng.random((count, len(MARKS))) < worn) * rng.random((count, len(MARKS))) * depth
    lips = np.clip(rng.normal(size=(count, 1)) * 0.35 + 0.7, 0.0, 1.5)
    hollow = np.exp(rng.normal(size=(count, 1)) * 0.4)
    folds = skin * own * (depths(expression) + np.tile(at_rest, 2))
    return np.hstack([folds, marks, lips, hollow]).astype(np.float32)


def random_creases(model: MorphableModel, rng: np.random.Generator, expression: np.ndarray) -> np.ndarray:
    """(V, 3) float32: what creases of an expression (52,) alone, of any width, take from the log albedo."""
    folds = random_depths(rng, expression[None])[0, : 2 * len(CREASES)]
    narrow, wide = (np.tensordot(folds, crease_shades(model, mm), 1) for mm in (NARROW_MM, WIDE_MM))
    return narrow + np.float32(rng.random()) * (wide - narrow)


def shaded(model: MorphableModel, albedo: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """The albedo (..., V, 3) of the base mesh with all that `random_depths` (..., 2 C + M + 2) is about."""
    return albedo * np.exp(-np.tensordot(depths, shades(model), 1))


@lru_cache(maxsize=2)
def shades(model: MorphableModel) -> np.ndarray:
    """(2 C + M + 2, V, 3) float32: what each at depth 1 takes from the log albedo of the base vertices.

    Args:
        model: NumPy, with ARKit's expressions.
    """
    landmarks = model.landmarks478(model.identity_mean).astype(np.float64)
    vertices = np.asarray(model.identity_mean, np.float64)
    skin = np.asarray(model.part) == model.part_names.index("skin")
    lips = _lips(vertices, landmarks) * skin
    marks = []
    for mark in MARKS.values():
        side = (
            np.exp(-((distance_mm(mark.lines, vertices, landmarks) / mark.width_mm) ** 4)) * skin * (1 - lips)
        )
        marks.append(np.maximum(side, side[model.mirror])[:, None] * mark.tint)
    hollow = np.broadcast_to(_hollow(model, vertices, landmarks, lips)[:, None], vertices.shape)
    lips = lips[:, None] * _LIPS_TINT
    return np.concatenate([crease_shades(model), np.stack(marks), lips[None], hollow[None]]).astype(
        np.float32
    )


def _lips(vertices: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(V,) 1 inside the outline of the lips as seen from before, and behind it; 0 outside."""
    import cv2

    outline = landmarks[list(_LIPS), :2].astype(np.float32)
    near = landmarks[_UPPER_LIP, 2] - vertices[:, 2] < 40.0
    inside = np.array([cv2.pointPolygonTest(outline, tuple(map(float, v[:2])), True) for v in vertices])
    return np.clip(inside / _LIPS_SOFT_MM + 0.5, 0.0, 1.0) * near


def _hollow(
    model: MorphableModel, vertices: np.ndarray, landmarks: np.ndarray, lips: np.ndarray
) -> np.ndarray:
    """(V,) of the mouth at depth 1: a line where the lips meet; the more, the farther behind the teeth."""
    part = np.asarray(model.part)
    behind = np.maximum(landmarks[_UPPER_LIP, 2] - _TEETH_MM - vertices[:, 2], 0.0) / _HOLLOW_MM
    line = np.exp(-((distance_mm(_LIPS_MEET, vertices, landmarks) / _LINE_MM) ** 2))
    hollow = behind * (lips > 0) + _LINE * np.maximum(line, line[model.mirror])
    for name in set(_HOLLOW) & set(model.part_names):
        inside = part == model.part_names.index(name)
        hollow[inside] = _HOLLOW[name] + behind[inside]
    return hollow
