"""Creases: the folds of the skin that an expression brings.

A crease is a dark line with lighter flanks, laid over the skin's albedo: a mesh of this size is too coarse to
show it.

Source: P. Ekman, W. V. Friesen, J. C. Hager, "Facial Action Coding System: the manual" (2002), which names
for each action unit the furrows that it makes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mien.facecode import ARKIT_NAMES
from mien.morphable import MorphableModel

DEPTH = 0.6
"""What a crease takes from the log albedo at full strength of its expression, mean of people; our choice."""

NARROW_MM, WIDE_MM = 1.5, 3.0
"""Widths of most people's creases, as standard deviations of their profile across the line; our choice."""

_FLANK = 0.3
_TINT = (0.85, 1.0, 1.05)
_STEPS = 12
_DEEPEST = 1.2  # how far several expressions deepen one crease, in parts of what one does


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
        {"noseSneerRight": 0.5, "browDownRight": 0.1},
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


def depths(expression: np.ndarray) -> np.ndarray:
    """(N, 52) ARKit coefficients to (N, 2 C): how far each crease is folded, the right half's first."""
    return np.clip(expression @ _drivers(), 0.0, _DEEPEST)


def deepened(model: MorphableModel, before: np.ndarray, after: np.ndarray) -> np.ndarray | None:
    """What an edit takes from the log albedo of a photograph by the creases that it deepens.

    Those that it smooths stay: where on this face they are, the model does not know.

    Args:
        model: NumPy.
        before, after: (E,) expressions.

    Returns:
        (V, 3), or None for a model whose expressions are not ARKit's.
    """
    if model.expression_names != ARKIT_NAMES:
        return None
    folded = depths(np.stack([before, after]))
    return np.tensordot(DEPTH * np.maximum(folded[1] - folded[0], 0.0), crease_shades(model), 1)


@lru_cache(maxsize=4)
def crease_shades(model: MorphableModel, width_mm: float = (NARROW_MM + WIDE_MM) / 2) -> np.ndarray:
    """(2 C, V, 3) float32: what each at depth 1 takes from the log albedo of the base vertices.

    Args:
        model: NumPy, with ARKit's expressions.
        width_mm: standard deviation of a crease's profile across its line.
    """
    landmarks = model.landmarks478(model.identity_mean).astype(np.float64)
    vertices = np.asarray(model.identity_mean, np.float64)
    skin = np.asarray(model.part) == model.part_names.index("skin")
    right = []
    for crease in CREASES.values():
        distance = distance_mm(crease.lines, vertices, landmarks)
        line, flank = (np.exp(-0.5 * (distance / (k * width_mm)) ** 2) for k in (1, 3))
        right.append((line - _FLANK * flank) * skin)
    right = np.stack(right)
    return (np.concatenate([right, right[:, model.mirror]])[..., None] * _TINT).astype(np.float32)


def distance_mm(lines: tuple, vertices: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(V,) mm from polylines through landmarks (478, 3), as `Crease.lines` has them."""
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
