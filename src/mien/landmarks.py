"""Landmarks of a posed head: points fixed on the skin, and points that slide to the occluding contour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.camera import rotation_matrix
from mien.morphable import Embedding

JAW68 = np.arange(17)
"""iBUG's jaw line among the 68."""

MEDIAPIPE68 = np.array([
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,
    78, 82, 13, 312, 308, 317, 14, 87,
])  # fmt: skip
"""The MediaPipe point nearest to each of iBUG's 68 (the jaw line by place on the face oval)."""

OUTER_EYES = (33, 263)
"""MediaPipe's outer corners of the eyes, right and left the subject's; their distance is errors' unit."""


@dataclass(frozen=True, eq=False)
class LandmarkPoints:
    """Every point a landmark can be at, so that choosing is an index: fixed points, then contour candidates.

    Attributes:
        vertices: (P, 3) int32 base vertices of each point.
        barycentric: (P, 3) float64 weights.
        contour: (C,) int32 landmarks on the contour.
        candidates: (C, M) int32 numbers of their candidate points, inner to outer.
        home: (C,) int32 place in its line nearest to the landmark's fixed point.
        outward: (C, 3) float64 unit direction in the model's frontal plane in which the contour is sought.
    """

    vertices: np.ndarray
    barycentric: np.ndarray
    contour: np.ndarray
    candidates: np.ndarray
    home: np.ndarray
    outward: np.ndarray

    @classmethod
    def of(cls, embedding: Embedding, mean: np.ndarray, sliding: bool = True) -> LandmarkPoints:
        """The points of an embedding on a model.

        Args:
            embedding: MediaPipe's or iBUG's.
            mean: (V, 3) mean vertices, mm, model frame.
            sliding: whether contour landmarks leave their fixed points at all. iBUG's jaw does; MediaPipe's
                oval, which its network places by meaning and not by sight, agrees better when it does not.
        """
        lines = np.asarray(embedding.contour_lines)[:, : None if sliding else 0]
        fixed = embedding(mean)[embedding.contour]
        centre = embedding(mean).mean(0)
        outward = (fixed - centre) * [1, 1, 0]
        corners = np.repeat(lines.reshape(-1, 1), 3, axis=1)
        return cls(
            vertices=np.concatenate([embedding.vertices, corners]).astype(np.int32),
            barycentric=np.concatenate([embedding.barycentric, np.tile([1.0, 0, 0], (lines.size, 1))]),
            contour=np.asarray(embedding.contour),
            candidates=len(embedding.vertices) + np.arange(lines.size).reshape(lines.shape),
            home=_nearest(mean[lines], fixed),
            outward=outward / np.linalg.norm(outward, axis=1, keepdims=True),
        )

    @property
    def count(self) -> int:
        """Number of landmarks."""
        return len(self.vertices) - self.candidates.size

    def __call__(self, attribute: np.ndarray) -> np.ndarray:
        """(..., V, C) attribute of the base mesh at all points: (..., P, C)."""
        return (attribute[..., self.vertices, :] * self.barycentric[:, :, None]).sum(-2)

    def choose(self, points_px: np.ndarray, rotation: np.ndarray) -> np.ndarray:
        """Which point each landmark is at in one picture.

        A contour landmark stays at its fixed point while that is visible; where the head turns it away, it is
        the candidate furthest outward in the picture.

        Args:
            points_px: (P, 2) projections of all points.
            rotation: (3, 3) matrix R of the pose.

        Returns:
            (L,) int indices into the points.
        """
        chosen = np.arange(self.count)
        if not self.candidates.size:
            return chosen
        direction = (self.outward @ rotation.T)[:, :2] * [1, -1]
        reach = np.einsum("cmk,ck->cm", points_px[self.candidates], direction)
        furthest = reach.argmax(1)
        turned_away = furthest < self.home
        chosen[self.contour[turned_away]] = self.candidates[turned_away, furthest[turned_away]]
        return chosen


def _nearest(lines: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(C,) place in each line (C, M, 3) nearest to the line's point (C, 3); 0 where lines are empty."""
    if not lines.shape[1]:
        return np.zeros(len(lines), int)
    return np.linalg.norm(lines - points[:, None], axis=-1).argmin(1)


def place_landmarks(
    points: LandmarkPoints,
    vertices: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
    focal_px: float,
    principal_px: np.ndarray,
) -> np.ndarray:
    """Landmarks of a head in a picture, contour points chosen.

    Args:
        points: of the model's embedding.
        vertices: (V, 3) mm, model frame.
        rotation: (3,) axis-angle radians. translation: (3,) mm. focal_px, principal_px (2,): the camera.

    Returns:
        (L, 3) x_px, y_px, depth_mm.
    """
    matrix = rotation_matrix(np.asarray(rotation))
    camera = (points(vertices) @ matrix.T) * [1, -1, -1] + translation
    points_px = focal_px * camera[:, :2] / camera[:, 2:] + principal_px
    return np.column_stack([points_px, camera[:, 2]])[points.choose(points_px, matrix)]
