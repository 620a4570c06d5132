"""What photographs do not show: the smooth continuation of the skin, and the eyes and the mouth's inside."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from mien.morphable import MorphableModel
from mien.surface import cotangent_laplacian, fit_sphere

SMOOTH_MM, DECAY_MM = 10.0, 28.0
"""Off the face colours continue smoothly over the first length and end as the forehead's over the second."""

IRIS_MM, PUPIL_MM = 6.0, 2.1
"""Radii on the eyeballs."""

SCLERA, VESSELS = (0.56, 0.51, 0.48), (0.45, 0.33, 0.30)
"""Linear RGB of the white of the eye, in its middle and toward the lids, with vessels and the lids' shade."""

TEETH, TONGUE, MOUTH = (0.62, 0.57, 0.48), (0.36, 0.14, 0.13), (0.18, 0.06, 0.05)
"""Linear RGB of what is inside, where the lips' shade is part of it."""

EARS = (0.04, -0.04, -0.02)
"""Log colour of ears against the skin beside them: more blood."""


class Continuation:
    """Spreads values known on the face over the whole skin.

    Minimises, for the area-weighted sum over the skin, known (x - value)² + (1 - known) (SMOOTH_MM⁴ (Δx)² +
    (SMOOTH_MM / DECAY_MM)⁴ (x - plain)²), where plain is the mean over the forehead.
    """

    def __init__(self, model: MorphableModel, known: np.ndarray, forehead: np.ndarray) -> None:
        """known: (V_detail,) in [0, 1], 1 where values are kept. forehead: (V_detail,) bool."""
        self._forehead = forehead
        mean = model.refinement(model.identity_mean).astype(np.float64)
        self._skin = np.flatnonzero(model.refinement.part == model.part_names.index("skin"))
        laplacian, area = cotangent_laplacian(mean, model.refinement.triangles)
        laplacian, area = laplacian[self._skin][:, self._skin], np.maximum(area[self._skin], 1e-2)
        self._known = area * known[self._skin]
        free = area * (1.0 - known[self._skin])
        stiffness = laplacian.T @ sp.diags_array(SMOOTH_MM**4 * free / area**2) @ laplacian
        decay = (SMOOTH_MM / DECAY_MM) ** 4
        system = stiffness + sp.diags_array(self._known + decay * free + 1e-6 * area)
        self._solver = splu(sp.csc_array(system))
        self._count = len(mean)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """(V_detail, C) values, read where known, to (V_detail, C); 0 off the skin."""
        out = np.zeros((self._count, values.shape[1]))
        plain = values[self._forehead].mean(0)
        out[self._skin] = self._solver.solve(self._known[:, None] * (values[self._skin] - plain)) + plain
        return out


def sharpener(points: np.ndarray, blur_mm: float, strength: float) -> sp.csr_array:
    """(N, N) matrix that takes back part of a Gaussian blur of values at points (N, 3) mm."""
    return sp.csr_array((1.0 + strength) * sp.eye_array(len(points)) - strength * gaussian(points, blur_mm))


def gaussian(points: np.ndarray, blur_mm: float) -> sp.csr_array:
    """(N, N) matrix of Gaussian weighted means over points (N, 3) mm."""
    tree = cKDTree(points)
    pairs = tree.sparse_distance_matrix(tree, 2.0 * blur_mm, output_type="coo_matrix")
    weight = np.exp(-0.5 * (pairs.data / blur_mm) ** 2)
    blur = sp.csr_array((weight, (pairs.row, pairs.col)), shape=pairs.shape)
    return sp.csr_array(sp.diags_array(1.0 / blur.sum(1)) @ blur)


def borrow(points: np.ndarray, own: np.ndarray, reach_mm: float = 7.0) -> sp.csr_array:
    """(N, N) matrix: values at points (N, 3) where `own` (N,), the average of those around elsewhere."""
    there = np.flatnonzero(own)
    distance, nearest = cKDTree(points[there]).query(points, k=60)
    weight = np.exp(-0.5 * (distance / reach_mm) ** 2) + 1e-9 / (1.0 + distance)
    weight[own], nearest[own] = 0.0, 0
    rows = np.repeat(np.arange(len(points)), 60)
    average = sp.csr_array((weight.ravel(), (rows, there[nearest].ravel())), shape=(len(points), len(points)))
    keep = sp.diags_array(own.astype(np.float64))
    return sp.csr_array(keep + sp.diags_array(1.0 / np.where(own, 1.0, weight.sum(1))) @ average)


def vertex_areas(model: MorphableModel) -> np.ndarray:
    """(V_detail,) mm² of each vertex of the mean head's detail mesh."""
    mean = model.refinement(model.identity_mean).astype(np.float64)
    return cotangent_laplacian(mean, model.refinement.triangles)[1]


def iris_radius(model: MorphableModel) -> tuple[np.ndarray, np.ndarray]:
    """(V_detail,) distance from the optical axis in mm, inf off the eyeballs' front, and angle about it."""
    mean = model.refinement(model.identity_mean).astype(np.float64)
    radius, angle = np.full(len(mean), np.inf), np.zeros(len(mean))
    for name in ("eye_left", "eye_right"):
        ball = np.flatnonzero(model.refinement.part == model.part_names.index(name))
        centre, _ = fit_sphere(mean[ball])
        x, y, z = (mean[ball] - centre).T
        radius[ball] = np.where(z > 0, np.hypot(x, y), np.inf)
        angle[ball] = np.arctan2(y, np.abs(x) * np.sign(x * centre[0]))
    return radius, angle


def paint_inside(model: MorphableModel, log_skin: np.ndarray, masks: dict[str, np.ndarray], iris: np.ndarray):
    """Mean log albedo with the eyes and the mouth's inside painted over.

    Args:
        log_skin: (V_detail, 3) of the skin. masks: of `face_model.regions`. iris: (3,) its log colour.

    Returns:
        (V_detail, 3) log albedo.
    """
    colour = log_skin + masks["ears"][:, None] * np.array(EARS)
    for mask, rgb in (("inside_mouth", MOUTH), ("teeth", TEETH), ("tongue", TONGUE)):
        colour += masks[mask][:, None] * (np.log(rgb) - colour)
    radius, angle = iris_radius(model)
    eye = np.isin(model.refinement.part, [model.part_names.index(n) for n in ("eye_left", "eye_right")])
    toward_lids = _step(np.where(np.isfinite(radius), radius, 20.0), 6.5, 11.0)[:, None]
    ball = np.log(SCLERA) * (1 - toward_lids) + np.log(VESSELS) * toward_lids
    fibres = 0.10 * np.cos(23 * angle) + 0.07 * np.cos(9 * angle + 1.0)
    collarette = 0.25 * np.exp(-(((radius - 3.2) / 0.7) ** 2))
    limbus = -0.95 * np.exp(-(((radius - IRIS_MM) / 0.75) ** 2))
    disc = iris + (fibres + collarette + limbus)[:, None]
    ball += iris_mask(radius)[:, None] * (np.where(np.isfinite(disc), disc, iris) - ball)
    ball += (1.0 - _step(radius, PUPIL_MM - 0.3, PUPIL_MM + 0.3))[:, None] * (np.log(0.012) - ball)
    colour[eye] = ball[eye]
    return colour


def iris_mask(radius: np.ndarray) -> np.ndarray:
    """(V_detail,) 1 on the iris, pupil included, 0 on the white."""
    return 1.0 - _step(radius, IRIS_MM - 0.35, IRIS_MM + 0.45)


def _step(value: np.ndarray, low: float, high: float) -> np.ndarray:
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)
