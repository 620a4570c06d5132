"""What a published model may lack: texture coordinates, colours, and which vertex mirrors which."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from mien.adoption.registration import Registration
from mien.morphable import MorphableModel
from mien.surface import FLIP, closest_points

_ALIKE = {"mouth": "tongue", "sockets": "skin"}
"""Parts that the default model does not have, and those whose colours they take."""
_SKIN_SHARE = 0.8
"""Height of the skin's band in the texture; the other parts have theirs side by side below it."""


def mirror_of(vertices: np.ndarray, part: np.ndarray, part_names: tuple[str, ...]) -> np.ndarray:
    """(V,) int32 the vertex of the opposite part nearest to each one's mirror image, of (V, 3) vertices."""
    mirror = np.zeros(len(vertices), np.int32)
    for number, name in enumerate(part_names):
        other = name.replace("left", "right") if "left" in name else name.replace("right", "left")
        here, there = np.flatnonzero(part == number), np.flatnonzero(part == part_names.index(other))
        mirror[here] = there[cKDTree(vertices[there]).query(vertices[here] * FLIP)[1]]
    return mirror


def cylindrical_layout(
    vertices: np.ndarray, triangles: np.ndarray, part: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """(U, 2) texture coordinates and their (T, 3) int32 rows: each part rolled out around its vertical axis.

    The seam is at the back; triangles across it get corners of their own beyond the edge.

    Args:
        vertices: (V, 3) mm. triangles: (T, 3). part: (V,) of count parts, the first the skin.
        count: of the parts.
    """
    uv = np.zeros((len(vertices), 2))
    bands = np.zeros((count, 4))
    for number in range(count):
        here = part == number
        low, high = vertices[here].min(axis=0), vertices[here].max(axis=0)
        axis = 0.5 * (low + high) if number else np.array([0.0, 0.0, high[2] - 120.0])
        arm = vertices[here] - axis
        uv[here, 0] = 0.5 + np.arctan2(arm[:, 0], arm[:, 2]) / (2 * np.pi)
        uv[here, 1] = (vertices[here, 1] - low[1]) / max(high[1] - low[1], 1e-6)
        width = 1.0 / max(count - 1, 1)
        bands[number] = [(number - 1) * width, 0.0, 0.95 * width, 0.95 * (1 - _SKIN_SHARE)]
    bands[0] = [0.0, 1 - _SKIN_SHARE, 1.0, _SKIN_SHARE] if count > 1 else [0.0, 0.0, 1.0, 1.0]
    corners = uv[triangles]
    wrapped = (np.ptp(corners[..., 0], axis=1) > 0.5)[:, None] & (corners[..., 0] < 0.5)
    rows = np.where(wrapped, triangles + len(vertices), triangles)
    beyond = np.concatenate([uv, uv + [1.0, 0.0]])
    beyond[:, 0] = 0.02 + 0.96 * beyond[:, 0] / max(beyond[rows, 0].max(), 1.0)
    used, rows = np.unique(rows, return_inverse=True)
    band = bands[np.concatenate([part, part])[used]]
    return (band[:, :2] + band[:, 2:] * beyond[used]).astype(np.float32), rows.reshape(-1, 3).astype(np.int32)


def default_albedo(
    default: MorphableModel,
    registration: Registration,
    vertices: np.ndarray,
    part: np.ndarray,
    part_names: tuple[str, ...],
) -> tuple[np.ndarray, np.ndarray]:
    """The default model's colours on another model: (V, 3) mean and (A, V, 3) components of log linear RGB.

    Skin takes them from the nearest point of the default skin that was laid on it; another part from the
    default model's part of that name, stretched to the same box.
    """
    laid = default.refinement(registration.vertices)
    mean = np.zeros((len(vertices), 3), np.float32)
    components = np.zeros((len(default.albedo_components), len(vertices), 3), np.float32)
    rest = default.refinement(default.identity_mean.astype(np.float64))
    for number, name in enumerate(part_names):
        here = part == number
        name = _ALIKE.get(name, name)
        own = default.refinement.part == default.part_names.index(
            name if name in default.part_names else "skin"
        )
        if default.part_names[default.refinement.part[np.argmax(own)]] == "skin":
            places = laid
        else:
            places = _stretched(rest, own, vertices[here])
        triangles = default.refinement.triangles[own[default.refinement.triangles].all(axis=1)]
        on = closest_points(vertices[here], places, triangles)
        mean[here] = (default.albedo_mean[on.vertices] * on.barycentric[..., None]).sum(axis=1)
        components[:, here] = np.einsum(
            "avkc,vk->avc", default.albedo_components[:, on.vertices], on.barycentric.astype(np.float32)
        )
    return mean, components


def _stretched(points: np.ndarray, own: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Points (N, 3), the box of those that are `own` stretched to the box of `goal`."""
    low, high = points[own].min(axis=0), points[own].max(axis=0)
    goal_low, goal_high = goal.min(axis=0), goal.max(axis=0)
    return goal_low + (points - low) * (goal_high - goal_low) / np.maximum(high - low, 1e-6)
