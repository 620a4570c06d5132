"""What is darker in a picture than the albedo says: creases of expressions, brows and lips, the mouth inside.

A crease is a dark line with lighter flanks, laid over the skin's albedo: a mesh of this size is too coarse to
show it. How deep they are differs from person to person, and some stay at rest, so a picture without them
says little and one with them much. Marks are what a mean of many people has blurred: brows, lashes, the red
of the lips, beards. A detector goes by them; without them its landmarks would err on random pictures as they
do not on photographs. Into the mouth little light falls, which shading by the normal alone does not know.

Source: P. Ekman, W. V. Friesen, J. C. Hager, "Facial Action Coding System: the manual" (2002), which names
for each action unit the furrows that it makes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mien.facecode import ARKIT_NAMES
from mien.morphable import MorphableModel

_WIDTH_MM, _FLANK = 1.5, 0.3
_TINT = (0.85, 1.0, 1.05)
_DEPTH = 0.45
_STEPS = 12

_HOLLOW = {"teeth_upper": 0.25, "teeth_lower": 0.25, "tongue": 1.0}
_HOLLOW_MM = 25.0  # way into the mouth on which light falls to 1 / e
_TEETH_MM = 7.0  # from the upper lip back to the teeth
_UPPER_LIP = 13  # MediaPipe's landmark on its inner border
_LIPS_MEET = (((78,), (80, 88), (81, 178), (82, 87), (13, 14)),)
_LINE, _LINE_MM = 0.8, 1.5  # shadow where the lips meet


@dataclass(frozen=True)
class Crease:
    """A fold of the right half of the face; the left one is its mirror.

    Attributes:
        drivers: ARKit coefficients that make it, with their weights; "Right" stands for the half's own side.
        lines: polylines through MediaPipe's landmarks; a corner is the mean of the landmarks named for it.
    """

    drivers: dict[str, float]
    lines: tuple[tuple[tuple[int, ...], ...], ...]


CREASES: dict[str, Crease] = {
    "nasolabial fold": Crease(
        {"mouthSmileRight": 0.9, "cheekSquintRight": 0.4, "noseSneerRight": 0.7, "mouthUpperUpRight": 0.6},
        (((129,), (203,), (206,), (216,), (212, 57)),),
    ),
    "mouth to chin": Crease(
        {"mouthFrownRight": 1.0, "mouthShrugLower": 0.3, "mouthStretchRight": 0.4},
        (((61,), (61, 61, 43), (43,), (202, 204)),),
    ),
    "crow's feet": Crease(
        {"cheekSquintRight": 0.9, "eyeSquintRight": 0.5, "mouthSmileRight": 0.2},
        (((113,), (124,), (156,)), ((226,), (35,), (143,)), ((31,), (111,))),
    ),
    "below the eye": Crease(
        {"cheekSquintRight": 0.8, "eyeSquintRight": 0.5, "noseSneerRight": 0.2},
        (((31,), (228,), (229,), (230,), (231,)),),
    ),
    "between the brows": Crease({"browDownRight": 1.3}, (((9, 107, 107), (8, 55), (189, 193)),)),
    "root of the nose": Crease(
        {"noseSneerRight": 1.0, "browDownRight": 0.2},
        (((168,), (193,)), ((6,), (122,), (188,)), ((197,), (196,), (174,), (217,))),
    ),
    "forehead": Crease(
        {"browInnerUp": 1.0},
        (((66, 69), (107, 108), (9, 151)), ((69, 69, 67), (108, 108, 109), (151, 151, 10))),
    ),
    "above the brow": Crease(
        {"browOuterUpRight": 1.0},
        (((63, 68), (105, 104), (66, 69)), ((104, 104, 103), (69, 69, 67))),
    ),
    "chin": Crease(
        {"mouthShrugLower": 1.0}, (((194, 32), (182, 194), (83, 182), (83, 84), (18, 17)),)
    ),
    "beside the mouth": Crease(
        {"mouthDimpleRight": 1.0, "mouthPressRight": 0.4, "mouthStretchRight": 0.4},
        (((186, 57), (57, 61), (43, 57)),),
    ),
}  # fmt: skip


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
    skin = np.minimum(rng.exponential(_DEPTH, (count, 1)), 1.5)
    at_rest = rng.random((count, creases // 2)) * (rng.random((count, 1)) < 0.4) * 0.4
    shown = np.clip(expression @ _drivers(), 0.0, 1.2)
    own = np.exp(rng.normal(size=(count, creases)) * 0.4)
    worn, depth = np.array([(mark.worn, mark.depth) for mark in MARKS.values()]).T
    marks = (rng.random((count, len(MARKS))) < worn) * rng.random((count, len(MARKS))) * depth
    lips = np.clip(rng.normal(size=(count, 1)) * 0.35 + 0.7, 0.0, 1.5)
    hollow = np.exp(rng.normal(size=(count, 1)) * 0.4)
    folds = skin * own * (shown + np.tile(at_rest, 2))
    return np.hstack([folds, marks, lips, hollow]).astype(np.float32)


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
    right = []
    for crease in CREASES.values():
        distance = _distance(crease.lines, vertices, landmarks)
        line, flank = (np.exp(-0.5 * (distance / (k * _WIDTH_MM)) ** 2) for k in (1, 3))
        right.append((line - _FLANK * flank) * skin)
    right = np.stack(right)
    creases = np.concatenate([right, right[:, model.mirror]])[..., None] * _TINT
    marks = []
    for mark in MARKS.values():
        side = (
            np.exp(-((_distance(mark.lines, vertices, landmarks) / mark.width_mm) ** 4)) * skin * (1 - lips)
        )
        marks.append(np.maximum(side, side[model.mirror])[:, None] * mark.tint)
    hollow = np.broadcast_to(_hollow(model, vertices, landmarks, lips)[:, None], vertices.shape)
    lips = lips[:, None] * _LIPS_TINT
    return np.concatenate([creases, np.stack(marks), lips[None], hollow[None]]).astype(np.float32)


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
    line = np.exp(-((_distance(_LIPS_MEET, vertices, landmarks) / _LINE_MM) ** 2))
    hollow = behind * (lips > 0) + _LINE * np.maximum(line, line[model.mirror])
    for name in set(_HOLLOW) & set(model.part_names):
        inside = part == model.part_names.index(name)
        hollow[inside] = _HOLLOW[name] + behind[inside]
    return hollow


def _distance(lines: tuple, vertices: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(V,) mm from polylines."""
    from scipy.spatial import cKDTree

    return cKDTree(np.concatenate([_along(line, landmarks) for line in lines])).query(vertices)[0]


def _along(line: tuple[tuple[int, ...], ...], landmarks: np.ndarray) -> np.ndarray:
    """(P, 3) points along a polyline."""
    corners = np.stack([landmarks[list(corner)].mean(0) for corner in line])
    place = np.linspace(0, len(corners) - 1, _STEPS * (len(corners) - 1) + 1)
    return np.stack([np.interp(place, range(len(corners)), axis) for axis in corners.T], -1)


@lru_cache(maxsize=1)
def _drivers() -> np.ndarray:
    """(52, 2 C) weights."""
    table = np.zeros((len(ARKIT_NAMES), 2, len(CREASES)))
    for column, crease in enumerate(CREASES.values()):
        for name, weight in crease.drivers.items():
            for half, side in enumerate(("Right", "Left")):
                table[ARKIT_NAMES.index(name.replace("Right", side)), half, column] = weight
    return table.reshape(len(ARKIT_NAMES), -1)
