"""The default model's skin laid on another model's mean face: the correspondence that all else crosses by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.interpolate import RBFInterpolator
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from mien.adoption.landmarks import seen_squarely
from mien.adoption.views import View
from mien.mesh import vertex_normals
from mien.morphable import MorphableModel
from mien.raster import rasterize
from mien.surface import SurfacePoints, bending_energy, closest_points, similarity

_STIFFNESS = (60.0, 20.0, 8.0, 3.0, 1.2, 0.6, 0.3)
"""Weight of bending in each round of the iterative closest points."""
_REACH_MM = 10.0
"""Distance from the surface at which a vertex is no longer pulled to it."""
_SAME_POINT_MM = 2.0
"""Distance at which a vertex has no correspondence in the end."""
_FACING = 0.5
"""Least cosine between the normals of points that correspond."""
_OUTSIDE = tuple(
    View(yaw, pitch, size_px=768) for yaw, pitch in ((0, 0), (60, 0), (-60, 0), (0, 40), (0, -40))
)
"""Views from which all is seen that is not inside mouth, nose or behind the eyes."""


@dataclass(frozen=True)
class Registration:
    """The default model's base vertices on another model's mean face.

    Attributes:
        vertices: (N, 3) float64 mm, in the other model's frame.
        on: where each is on the other model's surface.
        weight: (N,) float64 in [0, 1], trust in that; 0 where the other model has no such place.
    """

    vertices: np.ndarray
    on: SurfacePoints
    weight: np.ndarray


def register(
    default: MorphableModel,
    landmarks: np.ndarray,
    vertices: np.ndarray,
    triangles: np.ndarray,
    skin: np.ndarray,
) -> Registration:
    """Lays the default model's mean skin on a face by landmarks and non-rigid iterative closest points.

    Source: B. Amberg, S. Romdhani, T. Vetter, "Optimal step nonrigid ICP algorithms for surface
    registration", CVPR 2007, with a bending energy of the displacement as the regulariser.

    Args:
        default: model.
        landmarks: (478, 3) MediaPipe's points on the face, roughly; those count that are `seen_squarely`.
        vertices: (V, 3) mm of the face, aligned with the default model by a motion. triangles: (T, 3) of it.
        skin: (V,) bool, which of its vertices are skin.
    """
    mean = default.identity_mean.astype(np.float64)
    squarely = seen_squarely(default)
    own, landmarks = default.landmarks478(mean)[squarely], landmarks[squarely]
    scale, rotation, shift = similarity(own, landmarks)
    start = scale * mean @ rotation.T + shift
    points = scale * own @ rotation.T + shift
    warp = RBFInterpolator(points, landmarks - points, kernel="thin_plate_spline", smoothing=30.0)
    moved = start + _taper(start, points)[:, None] * warp(start)

    is_skin = default.part == default.part_names.index("skin")
    own_triangles = default.triangles[is_skin[default.triangles].all(axis=1)]
    trust = (is_skin & seen_from_outside(mean, default.triangles)).astype(np.float64)
    surface = triangles[(skin & seen_from_outside(vertices, triangles))[triangles].all(axis=1)]
    edge = boundary(surface, len(vertices))
    energy = bending_energy(start, own_triangles)
    fixed = default.landmarks478
    sample = sp.csr_matrix(
        (
            fixed.barycentric[squarely].ravel(),
            (np.repeat(np.arange(len(own)), 3), fixed.vertices[squarely].ravel()),
        ),
        (len(own), len(start)),
    )
    for stiffness in _STIFFNESS:
        match, weight = _match(moved, default, vertices, surface, edge, _REACH_MM)
        weight = trust * weight
        guide = 0.1 * min(stiffness, 1.0)
        form = sp.diags(weight + 1e-6) + guide * sample.T @ sample + stiffness * energy
        wanted = weight[:, None] * np.where(weight[:, None] > 0, match.positions - start, 0.0)
        wanted += guide * (sample.T @ (landmarks - sample @ start)) + 1e-6 * (moved - start)
        if stiffness > 10:
            wanted += 0.3 * stiffness * (energy @ (moved - start))
        moved = start + splu(form.tocsc()).solve(wanted)
    match, weight = _match(moved, default, vertices, surface, edge, _SAME_POINT_MM)
    return Registration(moved, match, trust * weight)


def seen_from_outside(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V,) bool: which vertices (V, 3), model frame, are neither in mouth or nose nor behind the eyes."""
    seen = np.zeros(len(vertices), bool)
    for view in _OUTSIDE:
        found = rasterize(view.points_px(vertices), triangles, view.size_px, view.size_px).triangle
        seen[triangles[np.unique(found[found >= 0])]] = True
    return seen


def boundary(triangles: np.ndarray, count: int) -> np.ndarray:
    """(count,) bool: vertices of edges that only one triangle has."""
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    pairs, times = np.unique(edges, axis=0, return_counts=True)
    on = np.zeros(count, bool)
    on[pairs[times == 1]] = True
    return on


def _match(
    moved: np.ndarray,
    default: MorphableModel,
    vertices: np.ndarray,
    surface: np.ndarray,
    edge: np.ndarray,
    reach_mm: float,
) -> tuple[SurfacePoints, np.ndarray]:
    """The nearest points that face the same way, and the trust (N,) in them: none at the surface's end."""
    normals = vertex_normals(moved.astype(np.float32), default.triangles)
    match = closest_points(moved, vertices, surface, normals, _FACING, neighbours=24)
    inner = (match.barycentric * ~edge[match.vertices]).sum(axis=1) > 0.02
    return match, np.clip(2.0 - 2.0 * match.distance / reach_mm, 0.0, 1.0) * inner


def _taper(vertices: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(V,) how much of the landmarks' warp applies: all near the face, none at the back of the head."""
    distance, _ = cKDTree(points).query(vertices)
    return np.exp(-0.5 * (np.maximum(distance - 15.0, 0.0) / 35.0) ** 2)
