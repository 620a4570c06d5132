"""What is seen at each pixel after an edit, and where the photograph shows the same."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mien.composite.head import Head, Surface, surface_of
from mien.morphable import MorphableModel
from mien.raster import Fragments, interpolate, rasterize

_GRAZING = 0.1  # cosine below which the photograph does not show a surface
_NEAR_MM = 3.0  # what is that far behind another surface is hidden by it


@dataclass(frozen=True, eq=False)
class View:
    """Two heads in the picture; pixels are those of the scale at which the edit is computed.

    Attributes:
        model: of the heads.
        surface: of the model.
        before, after: the heads.
        photo: (H, W, 3) sRGB.
        fragments: of the head after.
        kind: (H, W) int8 of the surface seen after; that of skin around the head.
        covered: (H, W) bool, where the head after is.
        offset_px: (H, W, 2) from the pixel to the same point of the surface in the photograph.
        visible: (H, W) bool, whether the photograph shows that point.
        far_mm: (H, W) distance from both heads.
    """

    model: MorphableModel
    surface: Surface
    before: Head
    after: Head
    photo: np.ndarray
    fragments: Fragments
    kind: np.ndarray
    covered: np.ndarray
    offset_px: np.ndarray
    visible: np.ndarray
    far_mm: np.ndarray

    @classmethod
    def of(cls, model: MorphableModel, before: Head, after: Head, photo: np.ndarray) -> View:
        height, width = photo.shape[:2]
        surface = surface_of(model)
        points = [model.refinement(head.points) for head in (before, after)]
        seen = [rasterize(p, surface.triangles, height, width) for p in points]
        kind = [np.append(surface.kind, np.int8(0))[f.triangle] for f in seen]
        covered = [f.triangle >= 0 for f in seen]

        table = np.concatenate([points[0], model.refinement(before.facing[:, None])], axis=1)
        x, y, depth, facing = np.moveaxis(interpolate(np.float32(table), surface.triangles, seen[1]), -1, 0)
        row, column = np.floor(y).astype(np.int32), np.floor(x).astype(np.int32)
        within = covered[1] & (row >= 0) & (row < height) & (column >= 0) & (column < width)
        row, column = np.where(within, row, 0), np.where(within, column, 0)
        visible = within & (facing > _GRAZING) & (kind[0][row, column] == kind[1])
        visible &= depth < seen[0].depth[row, column] + _NEAR_MM
        rows, columns = pixel_centres((height, width))
        outside = (~(covered[0] | covered[1])).astype(np.uint8)
        return cls(
            model=model,
            surface=surface,
            before=before,
            after=after,
            photo=photo,
            fragments=seen[1],
            kind=kind[1],
            covered=covered[1],
            offset_px=np.where(covered[1][..., None], np.stack([x - columns, y - rows], axis=-1), 0),
            visible=visible,
            far_mm=cv2.distanceTransform(outside, cv2.DIST_L2, 5) / after.px_per_mm,
        )

    def seen(self, attribute: np.ndarray) -> np.ndarray:
        """(V, C) or (V_detail, C) attribute of the surface at each pixel: (H, W, C), 0 around the head."""
        if len(attribute) == len(self.after.points):
            attribute = self.model.refinement(attribute)
        return interpolate(np.float32(attribute), self.surface.triangles, self.fragments)


def pixel_centres(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(H, 1) y and (W,) x of the pixels of a picture."""
    height, width = shape
    return np.arange(height, dtype=np.float32)[:, None] + 0.5, np.arange(width, dtype=np.float32) + 0.5
