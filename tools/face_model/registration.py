"""Our topology laid on ICT's mean head, and the fixed correspondence through which ICT's shapes come over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.interpolate import RBFInterpolator
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from face_model import ict as ict_head
from face_model.anny_head import PART_NAMES, AnnyHead
from face_model.contacts import Seam
from mien.mesh import vertex_normals
from mien.model_files.published import PublishedModel
from mien.surface import (
    FLIP,
    SurfacePoints,
    bending_energy,
    closest_points,
    fill_smoothly,
    fit_sphere,
    mirrored,
    similarity,
    similarity_fields,
)

_STIFFNESS = (60.0, 20.0, 8.0, 3.0, 1.2, 0.6, 0.3, 0.15, 0.15, 0.15)
"""Weight of bending in each round of the iterative closest points."""
LIP_REACH_MM = 7.0
"""How far from the line where they touch the lips move to close."""
_SAME_POINT_MM = 1.5
"""Beyond this distance from ICT's surface a vertex counts as without correspondence."""
_ICT_TRIANGLES_BELOW = 14062
"""ICT's skin and the sockets of its mouth and eyes."""
_EAR_STANDS_OUT_MM = 80.0
"""Distance from the middle plane beyond which there is nothing but ears near the ears."""
_EAR_WEIGHT = 0.5
"""Pull of the ears toward the package's own shape of them."""
_LIP_OVERLAP_MM = 0.2
"""How deep the closed lips press into each other, so that nothing is seen between them."""
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

    def on_ict(self, field: np.ndarray) -> np.ndarray:
        """(..., N, C) attribute of ICT's vertices at the points under ours: (..., V, C)."""
        return np.einsum("...vkc,vk->...vc", field[..., self.corners, :].astype(np.float64), self.barycentric)


def register(
    head: AnnyHead, ict: PublishedModel, landmarks: np.ndarray, ict_landmarks: np.ndarray
) -> Registration:
    """Lays the head's skin on ICT's by landmarks and non-rigid iterative closest points.

    Source: B. Amberg, S. Romdhani, T. Vetter, "Optimal step nonrigid ICP algorithms for surface
    registration", CVPR 2007, with a bending energy of the displacement as the regulariser.

    Args:
        head: of the package.
        ict: with the metric that is kept.
        landmarks: (468, 3) on `head.rest`, symmetric.
        ict_landmarks: (468, 3) the same points on ICT's mean, its own frame.
    """
    centre = 0.5 * (ict.mean[ict_head.EYE_LEFT].mean(axis=0) + ict.mean[ict_head.EYE_RIGHT].mean(axis=0))
    centre = centre * [0.0, 1.0, 1.0]
    target = ict.mean - centre
    surface = ict_head.triangles_below(ict, _ICT_TRIANGLES_BELOW)
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
    ears = np.where(head.part == 0, np.clip(1.5 * head.mask("ears"), 0.0, 1.0), 0.0)
    trust = np.where(head.part == 0, 1.0 - inside, 0.0) * (1.0 - ears)
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
        form += _EAR_WEIGHT * sp.diags(ears)
        wanted += _EAR_WEIGHT * ears[:, None] * (_ears_as_a_whole(start, moved, target, head) - start)
        before = energy @ (moved - start) if stiffness > 10 else 0.0
        displacement = splu(form.tocsc()).solve(wanted + 0.3 * stiffness * before + 1e-6 * (moved - start))
        moved = np.where((head.part == 0)[:, None], start + displacement, moved)
        moved = 0.5 * (moved + mirrored(moved, head.mirror))

    match = _match(moved, target, surface, head)
    moved = np.where((head.part == 0)[:, None], moved, _place_parts(start, head, target))
    eyes = [fit_sphere(moved[head.part == PART_NAMES.index(name)])[0] for name in ("eye_left", "eye_right")]
    origin = np.mean(eyes, axis=0)
    moved, centre = moved - origin, centre + origin
    lips = Seam(head, moved, head.lip_ring, LIP_REACH_MM)
    press = np.where(lips.upper[:, None], 1.0, -1.0) * [0.0, _LIP_OVERLAP_MM, 0.0]
    return Registration(
        vertices=lips.closed(moved, lips.gap(moved) + press),
        centre=centre,
        corners=match.vertices,
        barycentric=match.barycentric,
        confidence=np.maximum(trust * _agreement(match, _SAME_POINT_MM), 0.5 * ears),
        distance=match.distance,
    )


def transfer(
    field: np.ndarray, ict: PublishedModel, registration: Registration, head: AnnyHead
) -> np.ndarray:
    """ICT's displacements (K, N, 3) on our topology (K, V, 3).

    Skin with a correspondence takes ICT's displacement there, the rest bends smoothly after it; eyeballs,
    teeth and tongue move by the similarity that is nearest to the motion of ICT's own.
    """
    skin = head.triangles[(head.part[head.triangles] == 0).all(axis=1)]
    energy = bending_energy(registration.vertices, skin)
    on_ict = registration.on_ict(field)
    left = _left_ear(head)
    for ear in (left, head.mirror[left]):
        points = registration.vertices[ear]
        on_ict[:, ear] = similar_motion(on_ict[:, ear], points, points, turns=True)
    moved = fill_smoothly(on_ict, registration.confidence, energy, 0.02)
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


def _ears_as_a_whole(start: np.ndarray, moved: np.ndarray, target: np.ndarray, head: AnnyHead) -> np.ndarray:
    """`moved` with the package's own ears, shifted so that they stand out of the head where ICT's do."""
    ear = _left_ear(head)
    own = start[ear]
    own_box = _box_beyond(own, _EAR_STANDS_OUT_MM)
    nearby = (np.abs(target[: ict_head.SKIN] - own.mean(axis=0)) < [60.0, 45.0, 45.0]).all(axis=1)
    box = _box_beyond(target[: ict_head.SKIN][nearby], _EAR_STANDS_OUT_MM)
    placed = moved.copy()
    placed[ear] = own + [box[1, 0] - own_box[1, 0], *(box - own_box).mean(axis=0)[1:]]
    placed[head.mirror[ear]] = placed[ear] * FLIP
    return placed


def _box_beyond(points: np.ndarray, x_mm: float) -> np.ndarray:
    """(2, 3) lowest and highest coordinates of the points with x greater than `x_mm`."""
    points = points[points[:, 0] > x_mm]
    return np.stack([points.min(axis=0), points.max(axis=0)])


def _left_ear(head: AnnyHead) -> np.ndarray:
    return np.flatnonzero((head.part == 0) & (head.mask("ears") > 0.05) & (head.rest[:, 0] > 0.0))


def _place_parts(start: np.ndarray, head: AnnyHead, target: np.ndarray) -> np.ndarray:
    """Eyeballs on ICT's eyeballs, teeth on its teeth, the tongue with the lower teeth; all symmetric."""
    placed = start.copy()
    for name, sclera in (("eye_left", ict_head.SCLERA_LEFT), ("eye_right", ict_head.SCLERA_RIGHT)):
        here = head.part == PART_NAMES.index(name)
        centre, radius = fit_sphere(target[sclera])
        own_centre, own_radius = fit_sphere(start[here])
        placed[here] = centre + radius / own_radius * (start[here] - own_centre)
    for name, there, edge in (
        ("teeth_upper", ict_head.TEETH_UPPER, np.min), ("teeth_lower", ict_head.TEETH_LOWER, np.max)
    ):  # fmt: skip
        here, goal = start[head.part == PART_NAMES.index(name)], target[there]
        scale = np.ptp(goal[:, 0]) / np.ptp(here[:, 0])
        own = np.array([0.0, edge(here[:, 1]), here[:, 2].max()])
        shift = np.array([0.0, edge(goal[:, 1]), goal[:, 2].max()]) - scale * own
        for part in (name, "tongue") if name == "teeth_lower" else (name,):
            chosen = head.part == PART_NAMES.index(part)
            placed[chosen] = scale * start[chosen] + shift
    return 0.5 * (placed + mirrored(placed, head.mirror))


def plain_albedo(head: AnnyHead) -> np.ndarray:
    """(V, 3) linear RGB: skin, lips, dark irises, enough for the detector."""
    colour = np.tile([0.60, 0.42, 0.34], (len(head.part), 1))
    lips = head.mask("lips")[:, None]
    colour = colour * (1 - lips) + lips * [0.45, 0.18, 0.16]
    colour[(head.part >= 1) & (head.part <= 4)] = 0.8
    colour[head.part == 5] = [0.5, 0.15, 0.15]
    for index in (1, 2):
        eye = np.flatnonzero(head.part == index)
        depth = head.rest[eye, 2].max() - head.rest[eye, 2]
        colour[eye[depth < 2.5]] = [0.04, 0.02, 0.01]
    return colour


def plain_ict_albedo(ict: PublishedModel) -> np.ndarray:
    """(N, 3) linear RGB of ICT's head; its irises lie behind its corneas, which are painted."""
    colour = np.tile([0.60, 0.42, 0.34], (len(ict.mean), 1))
    for eye in (ict_head.EYE_LEFT, ict_head.EYE_RIGHT):
        arm = ict.mean[eye] - ict.mean[eye].mean(axis=0)
        iris = (np.linalg.norm(arm[:, :2], axis=1) < 6.2) & (arm[:, 2] > 0.0)
        colour[eye] = np.where(iris[:, None], [0.04, 0.02, 0.01], 0.8)
    return colour


def _taper(vertices: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(V,) how much of the landmarks' warp applies: all near the face, none at the back of the head."""
    distance, _ = cKDTree(points).query(vertices)
    return np.exp(-0.5 * (np.maximum(distance - 15.0, 0.0) / 35.0) ** 2)


def _match(moved: np.ndarray, target: np.ndarray, surface: np.ndarray, head: AnnyHead) -> SurfacePoints:
    return closest_points(moved, target, surface, vertex_normals(moved, head.triangles), neighbours=24)


def _agreement(match: SurfacePoints, reach: float = 10.0) -> np.ndarray:
    """(V,) 1 for a close match, falling to 0 at `reach` millimetres."""
    return np.clip(2.0 - 2.0 * match.distance / reach, 0.0, 1.0)
