"""MediaPipe's 478 points and iBUG's 68 on our head, and the lines on which its contour points slide."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from face_model.anny_head import AnnyHead
from mien.landmarks import JAW68, MEDIAPIPE68
from mien.morphable import Embedding
from mien.surface import FLIP, closest_points

FACE_OVAL = np.array([
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
])  # fmt: skip
"""MediaPipe's FACEMESH_FACE_OVAL from the forehead's top toward the subject's left and round."""
INNER_LIP_UPPER = [191, 80, 81, 82, 13, 312, 311, 310, 415]
INNER_LIP_LOWER = [95, 88, 178, 87, 14, 317, 402, 318, 324]
LID_UPPER = [246, 161, 160, 159, 158, 157, 173, 466, 388, 387, 386, 385, 384, 398]
LID_LOWER = [7, 163, 144, 145, 153, 154, 155, 249, 390, 373, 374, 380, 381, 382]
IRISES = slice(468, 478)
_LINE_CANDIDATES = 16
_RAYS_FROM_MM = np.array([0.0, -45.0, -60.0])
"""Inside the head: the contour lines lie in planes through this point and the z axis."""


def landmark_mirror(points: np.ndarray) -> np.ndarray:
    """(478,) left-right partner of each landmark, from points detected on a symmetric head."""
    squared = ((points[:, None] - points[None] * FLIP) ** 2).sum(axis=-1)
    partner = linear_sum_assignment(squared + squared.T)[1]
    if not (partner[partner] == np.arange(len(points))).all():
        raise RuntimeError("the landmarks detected on a symmetric head do not pair up left and right")
    return partner


def symmetric(points: np.ndarray, partner: np.ndarray) -> np.ndarray:
    """(478, 3) mean of the points and their partners' mirror images."""
    return 0.5 * (points + points[partner] * FLIP)


def embed478(
    points: np.ndarray, head: AnnyHead, mean: np.ndarray, expression: dict[str, np.ndarray]
) -> Embedding:
    """The 478 points on the base mesh, each on the side of lips and lids it belongs to.

    Args:
        points: (478, 3) detected on the mean head, symmetric, a little off its surface.
        head: topology.
        mean: (V, 3) the mean head.
        expression: displacements (V, 3) of `jawOpen`, `eyeBlinkLeft`, `eyeBlinkRight`, which tell the upper
            lip from the lower and the upper lid from the lower.
    """
    jaw = np.linalg.norm(expression["jawOpen"], axis=1)
    blink = np.linalg.norm(expression["eyeBlinkLeft"] + expression["eyeBlinkRight"], axis=1)
    outer = (head.part == 0) & (head.mask("inside-mouth") < 0.5) & (mean[:, 2] > -75.0)
    chosen = outer[head.triangles].all(axis=1)
    on = closest_points(points, mean, head.triangles[chosen])
    vertices, weights = on.vertices.copy(), on.barycentric.copy()

    eyes = np.isin(head.part, (1, 2)) & (mean[:, 2] > 5.0)
    lips = (head.part == 0) & (head.mask("inside-mouth") < 0.75) & (mean[:, 2] > 5.0)
    lids = outer & (mean[:, 1] > -25.0)
    for numbers, allowed in (
        (IRISES, eyes),
        (INNER_LIP_UPPER, lips & (jaw < 0.25 * jaw.max())),
        (INNER_LIP_LOWER, lips & (jaw > 0.4 * jaw.max())),
        (LID_UPPER, lids & (blink > 0.3 * blink.max())),
        (LID_LOWER, lids & (blink < 0.25 * blink.max())),
    ):
        triangles = head.triangles[allowed[head.triangles].all(axis=1)]
        near = closest_points(points[numbers], mean, triangles)
        vertices[numbers], weights[numbers] = near.vertices, near.barycentric
    vertices, weights = _mirror_right_half(vertices, weights, points, head, landmark_mirror(points))
    lines = contour_lines((mean[vertices] * weights[..., None]).sum(axis=1), head, mean)
    return Embedding(vertices.astype(np.int32), weights.astype(np.float32), FACE_OVAL.astype(np.int32), lines)


def embed68(embedding: Embedding) -> Embedding:
    """iBUG's 68 as the nearest of MediaPipe's points; the jaw slides on the lines of the face oval."""
    line_of = {number: line for number, line in zip(embedding.contour, embedding.contour_lines, strict=True)}
    return Embedding(
        vertices=embedding.vertices[MEDIAPIPE68],
        barycentric=embedding.barycentric[MEDIAPIPE68],
        contour=JAW68.astype(np.int32),
        contour_lines=np.stack([line_of[MEDIAPIPE68[j]] for j in JAW68]),
    )


def contour_lines(points: np.ndarray, head: AnnyHead, mean: np.ndarray) -> np.ndarray:
    """(36, M) candidate vertices of each point of the face oval, from the cheek outward.

    Rays from inside the head, in the plane of the landmark and the z axis, at rising angles to that axis; the
    vertex nearest to where each leaves the skin. Lines end in front of the ears and on the throat.
    """
    skin = head.triangles[
        ((head.part == 0) & (head.mask("inside-mouth") < 0.5) & (head.mask("ears") < 0.3))[
            head.triangles
        ].all(1)
    ]
    centred = np.flatnonzero(head.mirror == np.arange(len(mean)))
    partner = landmark_mirror(points)
    lines = {}
    for number in FACE_OVAL:
        arm = points[number] - _RAYS_FROM_MM
        across = np.hypot(arm[0], arm[1])
        sideways = arm[:2] / across if abs(arm[0]) > 1.0 else np.array([0.0, np.sign(arm[1])])
        angle = np.arctan2(across, arm[2])
        start = 0.75 if arm[1] > 40.0 else 0.45  # above the eyes lines stay on the forehead
        angles = np.linspace(start * angle, angle + np.radians(12.0), _LINE_CANDIDATES)
        directions = np.c_[np.sin(angles)[:, None] * sideways, np.cos(angles)]
        hits = _outermost_hits(_RAYS_FROM_MM, directions, mean, skin)
        allowed = np.unique(skin) if abs(arm[0]) > 1.0 else np.intersect1d(centred, skin)
        nearest = np.linalg.norm(mean[allowed][None] - hits[:, None], axis=-1).argmin(axis=1)
        line = allowed[nearest]
        line = line[np.sort(np.unique(line, return_index=True)[1])]
        lines[number] = np.pad(line, (0, _LINE_CANDIDATES - len(line)), mode="edge")
    for number in FACE_OVAL:
        if points[number, 0] < -1.0:
            lines[number] = head.mirror[lines[partner[number]]]
    return np.stack([lines[number] for number in FACE_OVAL]).astype(np.int32)


def _outermost_hits(origin: np.ndarray, directions: np.ndarray, vertices: np.ndarray, triangles: np.ndarray):
    """(N, 3) where rays leave the mesh, the last hit; the far end of the last ray that hit, where one misses.

    Source: T. Möller and B. Trumbore, "Fast, minimum storage ray/triangle intersection", 1997.
    """
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    hits, last = [], None
    for direction in directions:
        p = np.cross(direction, c - a)
        determinant = ((b - a) * p).sum(axis=1)
        inverse = 1.0 / np.where(np.abs(determinant) < 1e-9, np.inf, determinant)
        s = origin - a
        u = (s * p).sum(axis=1) * inverse
        q = np.cross(s, b - a)
        v = (q @ direction) * inverse
        reach = ((c - a) * q).sum(axis=1) * inverse
        inside = (u >= -1e-6) & (v >= -1e-6) & (u + v <= 1 + 1e-6) & (reach > 0) & (inverse != 0)
        last = origin + direction * reach[inside].max() if inside.any() else last
        hits.append(last)
    return np.stack(hits)


def _mirror_right_half(vertices, weights, points, head, partner):
    """Landmarks on the subject's right take the mirrored places of their partners on the left."""
    vertices, weights = vertices.copy(), weights.copy()
    right = points[:, 0] < points[partner, 0]
    vertices[right] = head.mirror[vertices[partner[right]]]
    weights[right] = weights[partner[right]]
    return vertices, weights
