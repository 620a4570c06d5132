"""Our topology laid on ICT's mean head, and the fixed correspondence through which ICT's shapes come over."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from scipy.interpolate import RBFInterpolator
from scipy.sparse.linalg import splu

from face_model import ict as ict_head
from face_model.anny_head import PART_NAMES, AnnyHead
from face_model.ict import IctModel
from face_model.surface import (
    SurfacePoints,
    bending_energy,
    closest_points,
    fill_smoothly,
    fit_sphere,
    mirrored,
    similarity,
    similarity_fields,
)
from mien.mesh import vertex_normals

_STIFFNESS = (60.0, 20.0, 8.0, 3.0, 1.2, 0.6, 0.3, 0.15, 0.15, 0.15)
"""Weight of bending in each round of the iterative closest points."""
_SAME_POINT_MM = 1.5
"""Beyond this distance from ICT's surface a vertex counts as without correspondence."""
_ICT_TRIANGLES_BELOW = 14062
"""ICT's skin and the sockets of its mouth and eyes."""
_GUIDES = {
    "eye_left": ict_head.EYE_LEFT,
    "eye_right": ict_head.EYE_RIGHT,
    "teeth_upper": ict_head.TEETH_UPPER,
    "teeth_lower": ict_head.TEETH_LOWER,
    "tongue": ict_head.TEETH_LOWER,
}


@dataclass(frozen=True)
class Registration:
    """Where our vertices are on ICT's head.

    Attributes:
        vertices: (V, 3) float64 mm, our topology on ICT's mean head, symmetric; origin between the eyes.
        centre: (3,) that origin in ICT's frame.
        corners: (V, 3) int32 ICT vertices of the triangle under each vertex.
        barycentric: (V, 3) float64 weights.
        confidence: (V,) float64 in [0, 1]; 0 where ICT has nothing to say.
        distance: (V,) float64 mm between vertex and ICT's surface.
    """

    vertices: np.ndarray
    centre: np.ndarray
    corners: np.ndarray
    barycentric: np.ndarray
    confidence: np.ndarray
    distance: np.ndarray

    def save(self, path: Path) -> None:
        """Writes all arrays to one npz file."""
        np.savez(path, **{f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Registration:
        """Reads what `save` wrote."""
        with np.load(path) as arrays:
            return cls(**arrays)

    def on_ict(self, field: np.ndarray) -> np.ndarray:
        """(..., N, C) attribute of ICT's vertices at the points under ours: (..., V, C)."""
        return np.einsum("...vkc,vk->...vc", field[..., self.corners, :].astype(np.float64), self.barycentric)


def register(head: AnnyHead, ict: IctModel, landmarks: np.ndarray, ict_landmarks: np.ndarray) -> Registration:
    """Lays the head's skin on ICT's by landmarks and non-rigid iterative closest points.

    Source: B. Amberg, S. Romdhani, T. Vetter, "Optimal step nonrigid ICP algorithms for surface registration",
    CVPR 2007, with a bending energy of the displacement as the regulariser.

    Args:
        head: of the package.
        ict: with the metric that is kept.
        landmarks: (468, 3) on `head.rest`, symmetric.
        ict_landmarks: (468, 3) the same points on ICT's mean, its own frame.
    """
    centre = 0.5 * (ict.mean[ict_head.EYE_LEFT].mean(axis=0) + ict.mean[ict_head.EYE_RIGHT].mean(axis=0))
    centre = centre * [0.0, 1.0, 1.0]
    target = ict.mean - centre
    surface = ict.triangles_below(_ICT_TRIANGLES_BELOW)
    goal = ict_landmarks - centre

    scale, rotation, shift = similarity(landmarks, goal)
    start = scale * head.rest @ rotation.T + shift
    points = scale * landmarks @ rotation.T + shift
    warp = RBFInterpolator(points, goal - points, kernel="thin_plate_spline", smoothing=30.0)
    moved = start + _taper(start, points)[:, None] * warp(start)
    moved = 0.5 * (moved + mirrored(moved, head.mirror))

    skin_triangles = head.triangles[(head.part[head.triangles] == 0).all(axis=1)]
    energy = bending_energy(start, skin_triangles)
    inside = np.clip(2.0 * head.mask("inside-mouth"), 0.0, 1.0)
    trust = np.where(head.part == 0, 1.0 - inside, 0.0) * (1.0 - 0.9 * head.mask("ears"))
    on_start = closest_points(points, start, skin_triangles)
    sample = sp.csr_matrix(
        (on_start.barycentric.ravel(), (np.repeat(np.arange(len(points)), 3), on_start.vertices.ravel())),
        (len(points), len(start)),
    )
    for stiffness in _STIFFNESS:
        match = _match(moved, target, surface, head)
        weight = trust * _agreement(match)
        guide = 0.1 * min(stiffness, 1.0)
        form = sp.diags(weight + 1e-6) + guide * sample.T @ sample + stiffness * energy
        wanted = weight[:, None] * np.where(weight[:, None] > 0, match.positions - start, 0.0)
        wanted += guide * (sample.T @ (goal - sample @ start))
        before = energy @ (moved - start) if stiffness > 10 else 0.0
        displacement = splu(form.tocsc()).solve(wanted + 0.3 * stiffness * before + 1e-6 * (moved - start))
        moved = np.where((head.part == 0)[:, None], start + displacement, moved)
        moved = 0.5 * (moved + mirrored(moved, head.mirror))

    match = _match(moved, target, surface, head)
    return Registration(
        vertices=_place_parts(moved, head, target),
        centre=centre,
        corners=match.vertices,
        barycentric=match.barycentric,
        confidence=trust * _agreement(match, _SAME_POINT_MM),
        distance=match.distance,
    )


def transfer(field: np.ndarray, ict: IctModel, registration: Registration, head: AnnyHead) -> np.ndarray:
    """ICT's displacements (K, N, 3) on our topology (K, V, 3).

    Skin with a correspondence takes ICT's displacement there, the rest bends smoothly after it; eyeballs, teeth
    and tongue move by the similarity that is nearest to the motion of ICT's own.
    """
    skin = head.triangles[(head.part[head.triangles] == 0).all(axis=1)]
    energy = bending_energy(registration.vertices, skin)
    moved = fill_smoothly(registration.on_ict(field), registration.confidence, energy, 0.02)
    for name, there in _GUIDES.items():
        here = head.part == PART_NAMES.index(name)
        points = ict.mean[there] - registration.centre
        turns = not name.startswith("eye")
        moved[:, here] = similar_motion(field[:, there], points, registration.vertices[here], turns)
    return moved


def similar_motion(motion: np.ndarray, there: np.ndarray, here: np.ndarray, turns: bool) -> np.ndarray:
    """The similarity nearest to the motion (K, M, 3) of points `there` (M, 3), of points `here`: (K, P, 3).

    Linearised in the seven parameters; without rotation unless `turns`.
    """
    centre = there.mean(axis=0)
    count = 7 if turns else 4
    system = similarity_fields(there, centre)[:count].reshape(count, -1).T
    parameters = np.linalg.lstsq(system, motion.reshape(len(motion), -1).T.astype(np.float64), rcond=None)[0]
    return np.tensordot(parameters.T, similarity_fields(here, centre)[:count], 1)


def _place_parts(moved: np.ndarray, head: AnnyHead, target: np.ndarray) -> np.ndarray:
    """Eyeballs on ICT's eyeballs, rows of teeth on its teeth, the tongue with the lower teeth; all symmetric."""
    placed = moved.copy()
    for name, sclera in (("eye_left", ict_head.SCLERA_LEFT), ("eye_right", ict_head.SCLERA_RIGHT)):
        here = head.part == PART_NAMES.index(name)
        centre, radius = fit_sphere(target[sclera])
        own_centre, own_radius = fit_sphere(moved[here])
        placed[here] = centre + radius / own_radius * (moved[here] - own_centre)
    for name, there, edge in (
        ("teeth_upper", ict_head.TEETH_UPPER, np.min), ("teeth_lower", ict_head.TEETH_LOWER, np.max)
    ):  # fmt: skip
        here, goal = moved[head.part == PART_NAMES.index(name)], target[there]
        scale = np.ptp(goal[:, 0]) / np.ptp(here[:, 0])
        own = np.array([0.0, edge(here[:, 1]), here[:, 2].max()])
        shift = np.array([0.0, edge(goal[:, 1]), goal[:, 2].max()]) - scale * own
        for part in (name, "tongue") if name == "teeth_lower" else (name,):
            chosen = head.part == PART_NAMES.index(part)
            placed[chosen] = scale * moved[chosen] + shift
    return 0.5 * (placed + mirrored(placed, head.mirror))


def _taper(vertices: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(V,) how much of the landmarks' warp applies: all near the face, none at the back of the head."""
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(points).query(vertices)
    return np.exp(-0.5 * (np.maximum(distance - 15.0, 0.0) / 35.0) ** 2)


def _match(moved: np.ndarray, target: np.ndarray, surface: np.ndarray, head: AnnyHead) -> SurfacePoints:
    return closest_points(moved, target, surface, vertex_normals(moved, head.triangles), neighbours=24)


def _agreement(match: SurfacePoints, reach: float = 10.0) -> np.ndarray:
    """(V,) 1 for a close match, falling to 0 at `reach` millimetres."""
    return np.clip(2.0 - 2.0 * match.distance / reach, 0.0, 1.0)
