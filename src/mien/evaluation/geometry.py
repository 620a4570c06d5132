"""How far a reconstructed head is from the true one: NoW's protocol.

S. Sanyal, T. Bolkart, H. Feng, M. Black, "Learning to Regress 3D Face Shape and Expression from an Image
without 3D Supervision", CVPR 2019. The reconstruction is aligned to the scan on seven landmarks, then moved
to where the squared distances from the scan's points to its surface are least; the distances left are the
errors. NoW lets the scale vary in both steps ("scaled"); here it may also be kept ("unscaled").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.camera import rotation_matrix
from mien.evaluation.closest_point import Surface

LANDMARKS = np.array([36, 39, 42, 45, 33, 48, 54])
"""NoW's landmarks among iBUG's 68: the corners of the eyes, the bottom of the nose, the mouth's corners."""

NOSE_TIP = 30
"""The tip of the nose among iBUG's 68."""

REGION_MM = 95.0
"""Radius of the sphere about the tip of the nose within which a scan is compared."""


@dataclass(frozen=True, eq=False)
class Similarity:
    """x to scale rotation x + translation.

    Attributes:
        scale: positive.
        rotation: (3, 3), determinant 1.
        translation: (3,).
    """

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) points moved."""
        return self.scale * points @ self.rotation.T + self.translation

    @property
    def inverse(self) -> Similarity:
        """The similarity that undoes this one."""
        back = self.rotation.T
        return Similarity(1 / self.scale, back, -back @ self.translation / self.scale)


CURVE_MM = np.linspace(0.0, 7.0, 71)
"""Where the cumulative curve of distances is kept, as far as NoW draws it."""


@dataclass(frozen=True)
class Distances:
    """Scan-to-mesh distances in short, millimetres.

    Attributes:
        median, mean, std: over the scans' points.
        below: share of the points that are at most as far as each of `CURVE_MM`.
    """

    median: float
    mean: float
    std: float
    below: tuple[float, ...]

    @classmethod
    def of(cls, distances: np.ndarray) -> Distances:
        """From (N,) distances."""
        below = np.searchsorted(np.sort(distances), CURVE_MM, side="right") / len(distances)
        spread = float(np.std(distances, dtype=np.float64))
        mean = float(np.mean(distances, dtype=np.float64))
        return cls(float(np.median(distances)), mean, spread, tuple(map(float, below)))


def align_points(source: np.ndarray, target: np.ndarray, with_scale: bool) -> Similarity:
    """The similarity, or rigid motion, that brings points nearest to their partners, by least squares.

    Source: S. Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
    PAMI 1991.

    Args:
        source, target: (N, 3), N at least 3 and not on a line.
        with_scale: whether the scale may differ from 1.
    """
    source_mean, target_mean = source.mean(0), target.mean(0)
    centred = source - source_mean
    u, values, vt = np.linalg.svd((target - target_mean).T @ centred)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float(values @ sign / (centred**2).sum()) if with_scale else 1.0
    return Similarity(scale, rotation, target_mean - scale * rotation @ source_mean)


def align_surface(
    surface: Surface, scan_points: np.ndarray, start: Similarity, with_scale: bool, iterations: int = 20
) -> Similarity:
    """The motion of a mesh that makes the squared distances of a scan's points to it least, by Gauss-Newton.

    Args:
        surface: of the mesh, in its own frame.
        scan_points: (N, 3) millimetres.
        start: from the mesh's frame to the scan's.
        with_scale: whether the scale may vary.
        iterations: at most; ends when no point moves by more than 0.03 mm.
    """
    back = start.inverse  # the points move, so that the tree of boxes is built once
    for _ in range(iterations):
        points = back(scan_points)
        offset = points - surface.closest(points)[0]
        distance = np.linalg.norm(offset, axis=1)
        normal = offset / np.maximum(distance, 1e-12)[:, None]
        centre = points.mean(0)
        arm = points - centre
        jacobian = np.column_stack([np.cross(arm, normal), normal, (normal * arm).sum(1) - distance])
        if not with_scale:
            jacobian = jacobian[:, :6]
        hessian = jacobian.T @ jacobian
        damping = 1e-9 * np.trace(hessian) + 1e-12
        step = -np.linalg.solve(hessian + damping * np.eye(len(hessian)), jacobian.T @ distance)
        turn, grow = rotation_matrix(step[:3]), float(np.exp(step[6])) if with_scale else 1.0
        back = Similarity(
            grow * back.scale,
            turn @ back.rotation,
            grow * turn @ (back.translation - centre) + centre + step[3:6],
        )
        if np.abs(back(scan_points) - points).max() < 0.03 * back.scale:
            break
    return back.inverse


def align(
    surface: Surface,
    landmarks: np.ndarray,
    scan_points: np.ndarray,
    scan_landmarks: np.ndarray,
    with_scale: bool,
) -> Similarity:
    """NoW's alignment of a reconstruction with a scan: landmarks, then surface.

    Args:
        surface: of the reconstruction, any frame, millimetres.
        landmarks: (7, 3) on it, in the order of `LANDMARKS`.
        scan_points: (N, 3) points of the scan near the nose, millimetres.
        scan_landmarks: (7, 3) the same landmarks on the scan.
        with_scale: whether the reconstruction may be scaled.

    Returns:
        The motion from the reconstruction's frame to the scan's.
    """
    start = align_points(landmarks, scan_landmarks, with_scale)
    return align_surface(surface, scan_points, start, with_scale)


def scan_to_mesh(surface: Surface, scan_points: np.ndarray, motion: Similarity) -> np.ndarray:
    """(N,) distances in the scan's unit from (N, 3) points to a mesh moved by `motion`."""
    points = motion.inverse(scan_points)
    return motion.scale * np.linalg.norm(points - surface.closest(points)[0], axis=1)


def near_nose(points: np.ndarray, nose_tip: np.ndarray, margin_mm: float = 0.0) -> np.ndarray:
    """(N,) bool: which points NoW compares, or which lie up to a margin beyond."""
    return np.linalg.norm(points - nose_tip, axis=1) <= REGION_MM + margin_mm


def face_region(scan_landmarks: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre (3,) and radius of the sphere in which NoW's published evaluation compares a scan.

    A scan of NoW has no landmark at the tip of the nose, from where `near_nose` measures. The centre is 0.3
    of the way from the bottom of the nose to the middle between the inner eye corners; the radius is 0.7
    times the sum of that whole way and the distance of the outer eye corners. As computed by
    github.com/soubhiksanyal/now_evaluation.

    Args:
        scan_landmarks: (7, 3) in the order of `LANDMARKS`.
    """
    outer_right, inner_right, inner_left, outer_left, bottom = scan_landmarks[:5]
    bridge = 0.5 * (inner_right + inner_left)
    width, height = np.linalg.norm(outer_right - outer_left), np.linalg.norm(bridge - bottom)
    return bottom + 0.3 * (bridge - bottom), float(0.7 * (width + height))
