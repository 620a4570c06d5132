"""Random pictures as the detector sees them: its own landmarks in place of simulated ones."""

from __future__ import annotations

import cv2
import numpy as np

from mien.align import align
from mien.crop_camera import to_crop_camera
from mien.facecode import FaceCode
from mien.landmarks import OUTER_EYES
from mien.morphable import MorphableModel
from mien.synthesis import Pictures
from mien.synthesis.codes import mean_error_in_crops

ENLARGED = 2
"""Side of the pictures that the detector looks at over that of the crops."""

_FARTHEST = 0.3  # landmarks in the mean, in outer eye-corner distances; beyond, it is no more this face


def as_detected(model: MorphableModel, rng: np.random.Generator, pictures: Pictures, size: int) -> Pictures:
    """Crops as `mien reconstruct` would cut them: by the landmarks that the detector finds in the pictures.

    Simulated errors of landmarks are smooth and know nothing of the picture; the detector itself is misled by
    what is in it: glasses, hands, shadows. Of its mean error on renders, which photographs need not share,
    any part, from none to all, is taken back. Where it finds no face, or another thing, the simulated
    landmarks stay. Where the crop reaches beyond the picture, its border goes on.

    Args:
        model: of the pictures' codes.
        rng: source of chance.
        pictures: N, larger than `size`.
        size: side of the crops in pixels.
    """
    from mien.detect import detect_faces

    landmarks_px = pictures.landmarks_px.astype(np.float64)
    side = pictures.images.shape[1]
    taken_back = rng.random((len(landmarks_px), 1, 1)) * mean_error_in_crops(model, pictures.codes)
    for image, points, error in zip(pictures.images, landmarks_px, taken_back, strict=True):
        faces = detect_faces(image.astype(np.float32) / 255, max_faces=1)
        unit = np.linalg.norm(points[OUTER_EYES[0]] - points[OUTER_EYES[1]])
        if faces:
            found = faces[0].landmarks_px[:, :2]
            if np.linalg.norm(found - points, axis=1).mean() < _FARTHEST * unit:
                points[:] = found - error
    alignment = align(landmarks_px, size)
    images = [
        align(points + side, size).warp(cv2.copyMakeBorder(image, *4 * [side], cv2.BORDER_REPLICATE))
        for image, points in zip(pictures.images, landmarks_px, strict=True)
    ]
    codes = to_crop_camera(pictures.codes, np.full(2, side / 2), alignment)
    narrow = {name: np.asarray(getattr(codes, name), np.float32) for name in codes.layout.shapes}
    in_crop = alignment.to_crop(landmarks_px).astype(np.float32)
    return Pictures(np.stack(images), in_crop, FaceCode(**narrow, model=codes.model))
