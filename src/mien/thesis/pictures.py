"""Codes of the thesis's layout to its pictures: unlit colours on black, cropped to the hull."""

from __future__ import annotations

import numpy as np

from mien.camera import Camera, project, to_camera
from mien.facecode import FaceCode
from mien.morphable import MorphableModel
from mien.render import render
from mien.synthesis import Pictures
from mien.thesis.crop import hull_mask

_AT_ONCE = 16  # pictures that are rendered together: what they need stays in the cache


def draw(model: MorphableModel, codes: FaceCode, size: int) -> Pictures:
    """The pictures of N codes as `mien.thesis.vectors.placed` makes them, with their exact landmarks.

    Args:
        model: of the codes, NumPy.
        codes: (N) in crops of `size` pixels.
        size: side of the pictures in pixels.
    """
    codes = FaceCode(
        **{name: np.asarray(getattr(codes, name), np.float32) for name in codes.layout.shapes},
        model=codes.model,
    )
    images = np.empty((len(codes.identity), size, size, 3), np.uint8)
    landmarks_px = np.empty((len(images), 478, 2), np.float32)
    for first in range(0, len(images), _AT_ONCE):
        some = slice(first, first + _AT_ONCE)
        part = codes[some]
        images[some] = render(model, part, (size, size), detail=False, supersample=2).image_uint8
        vertices = model.vertices(part.identity, part.expression)
        points = to_camera(vertices, part.rotation, part.translation)
        camera = Camera(part.focal_px, np.full(2, size / 2), (size, size))
        landmarks_px[some] = project(model.landmarks478(points), camera)[..., :2]
        for image, outline in zip(
            images[some], project(model.landmarks68(points), camera)[..., :2], strict=True
        ):
            image[~hull_mask(outline, size)] = 0
    return Pictures(images, landmarks_px, codes)
