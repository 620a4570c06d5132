"""Codes between a photograph's camera and that of a crop: a camera turned to look at the crop's centre.

The encoder sees a face as if its camera looked straight at it, upright. Turning a camera about its centre
changes a picture by a homography, which over a face is a similarity nearly: the crop's.
"""

from __future__ import annotations

import numpy as np

from mien.align import Alignment, align
from mien.camera import rotation_matrix, rotation_vector
from mien.encoder import Encoder
from mien.facecode import FaceCode
from mien.image import to_uint8
from mien.lighting import rotate_light

_FLIP = np.array([1.0, -1.0, -1.0])


def to_crop_camera(code: FaceCode, principal_px: np.ndarray, alignment: Alignment) -> FaceCode:
    """The code of a photograph's face as the crop's camera sees it.

    Args:
        code: NumPy, one face or a batch.
        principal_px: (..., 2) principal point of the photograph.
        alignment: of the crop, with the batch axes of the code.

    Returns:
        The code whose principal point is the crop's centre, and whose pixels are the crop's.
    """
    ray = alignment.centre_px - principal_px
    turn = _view(ray, code.focal_px, alignment.roll_radians)
    focal_px = np.hypot(code.focal_px, np.linalg.norm(ray, axis=-1)) * alignment.size / alignment.side_px
    return _turned(code, turn).with_(focal_px=focal_px)


def to_photo_camera(
    code: FaceCode, principal_px: np.ndarray, alignment: Alignment, focal_px: float | None = None
) -> FaceCode:
    """Inverse of `to_crop_camera`.

    Args:
        code: in the crop's camera.
        principal_px: (..., 2) principal point of the photograph.
        alignment: of the crop.
        focal_px: focal length of the photograph if known; the distance is changed to suit it.
    """
    ray = alignment.centre_px - principal_px
    off_axis = np.linalg.norm(ray, axis=-1)
    slant = code.focal_px * alignment.side_px / alignment.size
    if focal_px is None:
        # a face seen at more than 75 degrees from the optical axis is not believed
        focal = np.sqrt(np.maximum(slant**2 - off_axis**2, (0.27 * off_axis) ** 2))
    else:
        focal = np.broadcast_to(np.asarray(focal_px, np.float64), slant.shape)
    depth = np.hypot(focal, off_axis) / slant
    nearer = code.with_(
        translation=code.translation * [1, 1, 0] + code.translation * [0, 0, 1] * depth[..., None]
    )
    turn = _view(ray, focal, alignment.roll_radians)
    return _turned(nearer, np.swapaxes(turn, -1, -2)).with_(focal_px=focal)


def encode_face(
    encoder: Encoder, image: np.ndarray, landmarks_px: np.ndarray, focal_px: float | None = None
) -> FaceCode:
    """What the encoder reads in one face of a photograph, in the photograph's camera.

    Args:
        encoder: the network.
        image: (H, W, 3) float, sRGB in [0, 1]; the principal point is its centre.
        landmarks_px: (478, 2 or more) MediaPipe's landmarks.
        focal_px: focal length of the photograph if known.
    """
    alignment = align(landmarks_px, encoder.size)
    crop = to_uint8(alignment.warp(np.asarray(image, np.float32)))
    seen = encoder(crop[None], alignment.to_crop(landmarks_px[:, :2])[None])[0]
    principal_px = np.array(image.shape[1::-1]) / 2
    return to_photo_camera(seen, principal_px, alignment, focal_px)


def _view(ray_px: np.ndarray, focal_px: np.ndarray, roll_radians: np.ndarray) -> np.ndarray:
    """(..., 3, 3) photograph's camera frame to the crop's: the ray becomes the axis, the roll undone."""
    angle = np.arctan2(np.linalg.norm(ray_px, axis=-1), focal_px)
    length = np.maximum(np.linalg.norm(ray_px, axis=-1, keepdims=True), 1e-12)
    axis = np.concatenate([ray_px[..., 1:], -ray_px[..., :1], np.zeros_like(ray_px[..., :1])], -1) / length
    tilt = rotation_matrix(axis * angle[..., None])
    upright = rotation_matrix(roll_radians[..., None] * np.array([0.0, 0.0, -1.0]))
    return upright @ tilt


def _turned(code: FaceCode, turn: np.ndarray) -> FaceCode:
    """The code after its camera frame is turned by (..., 3, 3)."""
    in_model_axes = _FLIP[:, None] * turn * _FLIP
    return code.with_(
        rotation=rotation_vector(in_model_axes @ rotation_matrix(code.rotation)),
        translation=(turn @ code.translation[..., None])[..., 0],
        illumination=rotate_light(code.illumination, in_model_axes),
    )
