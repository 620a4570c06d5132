"""Random pictures as the detector sees them: its own landmarks in place of simulated ones."""

from __future__ import annotations

import cv2
import numpy as np

from mien.align import align
from mien.crop_camera import to_crop_camera
from mien.facecode import FaceCode
from mien.landmarks import OUTER_EYES
from mien.synthesis import Pictures

ENLARGED = 2
"""Side of the pictures that the detector looks at over that of the crops."""

_FARTHEST = 0.3  # landmarks in the mean, in outer eye-corner distances; beyond, it is no more this face


def as_detected(pictures: Pictures, size: int, error_px: np.ndarray | float = 0.0) -> Pictures:
    """Crops as `mien reconstruct` would cut them: by the landmarks that the detector finds in the pictures.

    Simulated errors of landmarks are smooth and know nothing of the picture; the detector itself is misled by
    what is in it: glasses, hands, shadows. Where it finds no face, or another thing, the given landmarks
    stay. Where the crop reaches beyond the picture, its border goes on.

    Args:
        pictures: N, larger than `size`.
        size: side of the crops in pixels.
        error_px: (N, 478, 2), or one number for all, is taken from what the detector finds.
    """
    from mien.detect import detect_faces

    landmarks_px = pictures.landmarks_px.astype(np.float64)
    side = pictures.images.shape[1]
    errors = np.broadcast_to(error_px, landmarks_px.shape)
    for image, points, error in zip(pictures.images, landmarks_px, errors, strict=True):
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
