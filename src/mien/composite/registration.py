"""The last pixels between a fitted head and its photograph: landmarks moved to where they are seen."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import SuperLU, splu

from mien.composite.head import Head
from mien.morphable import MorphableModel

_STIFFNESS = 0.05  # of the mesh against the landmarks' pull

_LIPS = np.array(
    [(191, 95), (80, 88), (81, 178), (82, 87), (13, 14), (312, 317), (311, 402), (310, 318), (415, 324)]
)
_LIDS = np.array(
    [(161, 163), (160, 144), (159, 145), (158, 153), (157, 154)]
    + [(388, 390), (387, 373), (386, 374), (385, 380), (384, 381)]
)
"""MediaPipe's points that meet when mouth and eyes close, upper and lower."""

_LEAST_MM = 0.3  # openings smaller than this are not told apart


def offsets_px(
    model: MorphableModel,
    before: Head,
    after: Head,
    landmarks_px: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """How far each vertex of a fitted head is from where the photograph shows it, before and after an edit.

    A membrane over the mesh, not over the picture: upper and lower lip meet in the picture, yet each follows
    its own landmarks. The offsets are the same before and after, except that lips and lids which the edit
    closes do close: what opening the fit had missed shrinks as the opening does.

    Args:
        model: of the heads, NumPy.
        before, after: as fitted, and as edited.
        landmarks_px: (478, 2) as detected; None to believe the fit.

    Returns:
        (V, 2) float32 to be added to the projections before, and the same after.
    """
    embedding = model.landmarks478
    places = [embedding(head.points[:, :2]) for head in (before, after)]
    if landmarks_px is None:
        landmarks_px = _as_detected(model, before, places[0])
    seen = np.clip(embedding(before.facing[:, None])[:, 0] / 0.3, 0, 1)[:, None]
    missing = (landmarks_px - places[0]) * seen
    largest = 0.05 * np.ptp(landmarks_px[:, 0])
    missing *= np.minimum(1, largest / np.maximum(np.linalg.norm(missing, axis=1, keepdims=True), 1e-9))
    missing_after = missing.copy()
    for pairs, rest_mm in ((_LIPS, _rest_mm(model)), (_LIDS, 0.0)):
        upper, lower = pairs.T
        gaps = [np.linalg.norm(p[lower] - p[upper], axis=1) for p in places]
        opening = [
            np.maximum(gap / head.px_per_mm - rest_mm, 0) + _LEAST_MM
            for gap, head in zip(gaps, (before, after), strict=True)
        ]
        left = np.minimum(opening[1] / opening[0], 1)[:, None]
        shown = (places[0] + missing)[lower] - (places[0] + missing)[upper]
        moved = (places[1] + missing)[lower] - (places[1] + missing)[upper]
        closing = 0.5 * np.where(left < 1, moved - left * shown, 0)
        missing_after[upper] += closing
        missing_after[lower] -= closing
    where, factor = _membrane(model)
    solved = factor.solve(where.T @ np.concatenate([missing, missing_after], axis=1)).astype(np.float32)
    return solved[:, :2], solved[:, 2:]


def _as_detected(model: MorphableModel, head: Head, places: np.ndarray) -> np.ndarray:
    """The model's landmarks (478, 2), the inner lips of a closed mouth together, as detectors have them."""
    places = places.copy()
    upper, lower = _LIPS.T
    between = places[lower] - places[upper]
    gap = np.maximum(np.linalg.norm(between, axis=1), 1e-9)
    closing = 0.5 * between * np.minimum(_rest_mm(model) * head.px_per_mm / gap, 1)[:, None]
    places[upper] += closing
    places[lower] -= closing
    return places


@lru_cache(maxsize=4)
def _rest_mm(model: MorphableModel) -> np.ndarray:
    """(9,) millimetres between the points of the inner lips on the closed mouth of the mean head."""
    upper, lower = model.landmarks478(np.asarray(model.identity_mean))[_LIPS.T]
    return np.linalg.norm((lower - upper)[:, :2], axis=1)


@lru_cache(maxsize=4)
def _membrane(model: MorphableModel) -> tuple[sparse.csr_matrix, SuperLU]:
    count = len(model.identity_mean)
    embedding = model.landmarks478
    rows = np.arange(len(embedding.vertices)).repeat(3)
    places = sparse.csr_matrix(
        (embedding.barycentric.astype(np.float64).ravel(), (rows, embedding.vertices.ravel())),
        shape=(len(embedding.vertices), count),
    )
    corners = np.asarray(model.triangles)
    edges = corners[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    adjacent = sparse.coo_matrix((np.ones(len(edges)), edges.T), shape=(count, count)).tocsr()
    adjacent = ((adjacent + adjacent.T) > 0).astype(np.float64)
    laplacian = sparse.diags(np.asarray(adjacent.sum(axis=1)).ravel()) - adjacent
    system = places.T @ places + _STIFFNESS * laplacian + 1e-4 * sparse.identity(count)
    return places, splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
