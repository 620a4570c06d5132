"""Where skin touches skin or eyeball: closed lips and lids meet, and lids stay off the eyeballs."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from face_model.anny_head import PART_NAMES, AnnyHead
from mien.surface import bending_energy, fit_sphere


class Seam:
    """A closed ring of vertices whose upper and lower half touch when it is shut.

    Each vertex has its partner on the other half, at the same share of the way from corner to corner. Closing
    moves both halves together and lets the skin around follow smoothly; it is linear in the displacements.
    """

    def __init__(
        self, head: AnnyHead, vertices: np.ndarray, ring: np.ndarray, reach_mm: float, upper: float = 0.5
    ):
        """Args:
        head: topology. vertices: (V, 3) mm. ring: its vertices in order.
        reach_mm: how far from the ring the skin follows.
        upper: share of a gap that the upper half makes good.
        """
        self.ring = ring
        self._partner = self._partners(vertices)
        height = vertices[ring, 1]
        self.upper = height >= self._partner @ height
        self._share = np.where(self.upper, upper, 1.0 - upper)
        skin = head.part == 0
        distance, _ = cKDTree(vertices[ring]).query(vertices)
        weight = np.where(skin & (distance > reach_mm), 1.0, 0.0)
        weight[ring] = 100.0
        triangles = head.triangles[skin[head.triangles].all(axis=1)]
        form = sp.diags(weight + 1e-9) + 0.02 * bending_energy(vertices, triangles)
        self._factor, self._weight = splu(form.tocsc()), weight[ring]
        self._count = len(vertices)

    def gap(self, field: np.ndarray) -> np.ndarray:
        """(..., V, 3) positions or displacements to (..., R, 3), each ring vertex less its partner."""
        on_ring = field[..., self.ring, :]
        return on_ring - np.einsum("rs,...sc->...rc", self._partner, on_ring)

    def closed(self, field: np.ndarray, gap: np.ndarray | None = None) -> np.ndarray:
        """The field (..., V, 3) with the ring's gap taken away: its own, or another field's `gap`."""
        gap = self.gap(field) if gap is None else gap
        correction = -self._share[:, None] * gap
        columns = np.moveaxis(correction, -2, 0).reshape(len(self.ring), -1)
        right = np.zeros((self._count, columns.shape[1]))
        right[self.ring] = self._weight[:, None] * columns
        spread = self._factor.solve(right).reshape(self._count, *correction.shape[:-2], 3)
        return field + np.moveaxis(spread, 0, -2)

    def _partners(self, vertices: np.ndarray) -> np.ndarray:
        """(R, R) weights of each ring vertex's partner point."""
        points = vertices[self.ring]
        count = len(points)
        first, last = sorted((int(points[:, 0].argmin()), int(points[:, 0].argmax())))
        halves = np.arange(first, last + 1), np.arange(last, first + count + 1) % count
        shares = []
        for half in halves:
            steps = np.linalg.norm(np.diff(points[half], axis=0), axis=1)
            shares.append(np.concatenate([[0.0], np.cumsum(steps)]) / steps.sum())
        partner = np.zeros((count, count))
        for here, there in ((0, 1), (1, 0)):
            for vertex, share in zip(halves[here][1:-1], shares[here][1:-1], strict=True):
                k = np.searchsorted(shares[there], 1.0 - share) - 1
                fraction = (1.0 - share - shares[there][k]) / (shares[there][k + 1] - shares[there][k])
                partner[vertex, halves[there][k]] = 1.0 - fraction
                partner[vertex, halves[there][k + 1]] = fraction
        for corner in (first, last):
            partner[corner, corner] = 1.0
        return partner


def lids_clear_of_eyeballs(
    displacement: np.ndarray, head: AnnyHead, vertices: np.ndarray, clearance_mm: float = 0.3
) -> np.ndarray:
    """The displacement (V, 3), with lids that would sink into an eyeball lifted off it.

    At half, three quarters and full strength; only skin that is outside the eyeballs at rest is lifted, away
    from the eyeball's centre.
    """
    lifted = displacement.copy()
    for name in ("eye_left", "eye_right"):
        centre, radius = fit_sphere(vertices[head.part == PART_NAMES.index(name)])
        arm = vertices - centre
        rest = np.linalg.norm(arm, axis=1) - radius
        lid = (head.part == 0) & (rest > 0.1) & (rest < 12.0) & (arm[:, 2] > 0.0)
        moves = np.linalg.norm(displacement, axis=1) > 0.2
        for share, wanted in ((1.0, clearance_mm), (0.5, 0.0), (0.75, 0.1)):
            arm = vertices + share * lifted - centre
            distance = np.linalg.norm(arm, axis=1)
            depth = np.where(lid & moves, np.maximum(radius + np.minimum(wanted, rest) - distance, 0.0), 0.0)
            lifted += (np.minimum(depth, 1.5) / share / distance)[:, None] * arm
    return lifted
