"""The last pixels between a fitted head and its photograph: landmarks moved to where they are seen."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import SuperLU, splu

from mien.morphable import MorphableModel

_STIFFNESS = 0.05  # of the mesh against the landmarks' pull

_EDGES = np.array(
    [(191, 95), (80, 88), (81, 178), (82, 87), (13, 14), (312, 317), (311, 402), (310, 318), (415, 324)]
    + [(161, 163), (160, 144), (159, 145), (158, 153), (157, 154)]
    + [(388, 390), (387, 373), (386, 374), (385, 380), (384, 381)]
)
"""MediaPipe's points that meet when mouth and eyes close, upper and lower."""


def offsets_px(
    model: MorphableModel,
    before_px: np.ndarray,
    after_px: np.ndarray,
    facing: np.ndarray,
    landmarks_px: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """How far each vertex of a fitted head is from where the photograph shows it, before and after an edit.

    A membrane over the mesh, not over the picture: upper and lower lip meet in the picture, yet each follows
    its own landmarks. The offsets are the same before and after, except that lips and lids which the edit
    closes do close: what opening the fit had missed shrinks as the opening does.

    Args:
        model: of the head, NumPy.
        before_px, after_px: (V, 2) projected vertices.
        facing: (V,) cosine between normal and direction to the camera; what faces away is not believed.
        landmarks_px: (478, 2) as detected.

    Returns:
        (V, 2) float32 to be added to the projections before, and the same after.
    """
    embedding = model.landmarks478
    seen = np.clip(embedding(facing[:, None])[:, 0] / 0.3, 0, 1)[:, None]
    places_before, places_after = embedding(before_px), embedding(after_px)
    missing = (landmarks_px - places_before) * seen
    largest = 0.05 * np.ptp(landmarks_px[:, 0])
    missing *= np.minimum(1, largest / np.maximum(np.linalg.norm(missing, axis=1, keepdims=True), 1e-9))
    upper, lower = _EDGES.T
    open_before, open_after = (
        np.linalg.norm(places[lower] - places[upper], axis=1) + 0.02 * largest
        for places in (places_before, places_after)
    )
    lost = 1 - np.minimum(open_after / open_before, 1)[:, None]
    closing = 0.5 * lost * (missing[lower] - missing[upper])
    missing_after = missing.copy()
    missing_after[upper] += closing
    missing_after[lower] -= closing
    places, factor = _membrane(model)
    solved = factor.solve(places.T @ np.concatenate([missing, missing_after], axis=1)).astype(np.float32)
    return solved[:, :2], solved[:, 2:]


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
