"""Pictures for the eye: a reconstruction beside its photograph, and studio portraits."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

from mien.camera import Camera, project, to_camera
from mien.facecode import FaceCode
from mien.facefile import Face
from mien.image import linear_to_srgb, srgb_to_linear, to_uint8
from mien.lighting import directional_light, studio_light, uniform_light
from mien.morphable import MorphableModel
from mien.render import render

_CLAY = np.array([0.50, 0.505, 0.515], np.float32)
BACKDROP = np.array([0.90, 0.91, 0.92], np.float32)
"""sRGB behind what stands before nothing."""
_SUPERSAMPLE = 2
_MARGIN = 0.15  # around the head, in parts of its larger side
_WHOLE_SHARE = 0.75  # of the photograph; where the crop is larger, all is shown
_FADE = 0.9, 1.06  # where the face ends, in parts of the way from its middle to the landmarks' oval
_PORTRAIT_DISTANCE_MM = 1400.0
_PORTRAIT_MARGIN, _PORTRAIT_SHARE = 0.06, 0.96  # above the crown and in all, in heights of the head with neck
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Shares of linear red, green and blue in it (IEC 61966-2-1)."""


def overlay(model: MorphableModel, face: Face, image: np.ndarray | None, height: int = 512) -> np.ndarray:
    """Side by side: the photograph, the geometry over it, the reconstruction over it, the neutral portrait.

    The photograph is cropped to the head and its surroundings. Over a grey photograph the reconstruction is
    grey too, because its colours cannot be known.

    Args:
        model: of the face's code, NumPy.
        face: code and camera.
        image: (H, W, 3) float, sRGB in [0, 1], of the face's `image_size`; without it the first panel is left
            out and the others stand before a plain backdrop.
        height: of the panels, pixels.

    Returns:
        (height, W, 3) float32, sRGB in [0, 1].
    """
    panels = photo_panels(model, face, image, height)
    panels.append(portrait(model, face.code.with_(expression=np.zeros_like(face.code.expression)), height))
    return beside(panels)


def photo_panels(
    model: MorphableModel, face: Face, image: np.ndarray | None, height: int = 512
) -> list[np.ndarray]:
    """The panels of `overlay` that are seen through the photograph's camera, (height, W, 3) each."""
    left, top, right, bottom = _surroundings(model, face, within_photo=image is not None)
    scale = height / (bottom - top)
    size = max(1, round((right - left) * scale)), height
    code = face.code.with_(focal_px=face.code.focal_px * scale)
    principal_px = (face.principal_px - [left, top]) * scale
    if image is None:
        photo = np.broadcast_to(BACKDROP, (height, size[0], 3))
    else:
        photo = _resized(image[top:bottom, left:right], size)

    def over_photo(**appearance: np.ndarray) -> np.ndarray:
        return render(
            model, code, size, principal_px, supersample=_SUPERSAMPLE, background=photo, **appearance
        ).image

    clay = np.broadcast_to(_CLAY, model.albedo_mean.shape)
    geometry = over_photo(albedo=clay, illumination=_clay_light())
    coloured = over_photo()
    if image is None:
        return [geometry, coloured]
    if is_grey(image):
        coloured = np.repeat(linear_to_srgb(srgb_to_linear(coloured) @ LUMINANCE)[..., None], 3, axis=-1)
    shown = _face_share(model, code, size, principal_px)
    return [photo, geometry, shown * coloured + (1 - shown) * photo]


def portrait(
    model: MorphableModel, code: FaceCode, height: int = 512, yaw_degrees: float = 0.0
) -> np.ndarray:
    """A head in soft studio light before a plain backdrop, whatever the pose and light of its code.

    Args:
        model: of the code, NumPy.
        code: one face (no batch axes).
        height: pixels.
        yaw_degrees: how far the head is turned to its own left.

    Returns:
        (height, 0.8 height, 3) float32, sRGB in [0, 1].
    """
    low, high = model.identity_mean.min(axis=0), model.identity_mean.max(axis=0)
    tall = high[1] - low[1]
    shown = _PORTRAIT_SHARE * tall
    yaw = np.radians(yaw_degrees)
    axis_z = (low[2] + high[2]) / 2
    code = code.with_(
        rotation=np.array([0.0, yaw, 0.0]),
        translation=np.array(
            [
                -np.sin(yaw) * axis_z,
                high[1] + _PORTRAIT_MARGIN * tall - shown / 2,
                _PORTRAIT_DISTANCE_MM + np.cos(yaw) * axis_z,
            ]
        ),
        focal_px=np.float64(height * _PORTRAIT_DISTANCE_MM / shown),
        illumination=studio_light().astype(np.float64),
    )
    size = round(0.8 * height), height
    return render(model, code, size, supersample=_SUPERSAMPLE, background=BACKDROP).image


def beside(panels: list[np.ndarray]) -> np.ndarray:
    """(H, W, 3) panels of one height in a row, with white gutters."""
    height = panels[0].shape[0]
    gutter = np.ones((height, max(2, height // 80), 3), np.float32)
    row = [piece for panel in panels for piece in (panel, gutter)][:-1]
    return np.concatenate(row, axis=1).astype(np.float32)


def is_grey(image: np.ndarray) -> bool:
    """Whether a picture (H, W, 3) has no colours."""
    return bool(np.abs(image - image.mean(axis=-1, keepdims=True)).mean() < 0.004)


def _surroundings(model: MorphableModel, face: Face, within_photo: bool) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what to show, in pixels: the head and a margin.

    Within a photograph no more than there is of it, and all of it where the head fills it.
    """
    code = face.code
    points = to_camera(model.vertices(code.identity, code.expression), code.rotation, code.translation)
    xy = project(points, Camera(code.focal_px, face.principal_px, face.image_size))[:, :2]
    low, high = xy.min(axis=0), xy.max(axis=0)
    margin = _MARGIN * (high - low).max()
    low, high = np.floor(low - margin).astype(int), np.ceil(high + margin).astype(int)
    if not within_photo:
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])
    picture = np.array(face.image_size)
    low = np.clip(low, 0, picture - 1)
    high = np.clip(high, low + 1, picture)
    if (high - low).prod() > _WHOLE_SHARE * picture.prod():
        low, high = np.zeros(2, int), picture
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _face_share(
    model: MorphableModel, code: FaceCode, size: tuple[int, int], principal_px: np.ndarray
) -> np.ndarray:
    """(H, W, 1) how much of the face is drawn at each pixel of its picture: it fades out before the hair."""
    weight = np.broadcast_to(_face_weight(model)[:, None], model.albedo_mean.shape)
    drawn = render(
        model, code, size, principal_px, supersample=_SUPERSAMPLE, albedo=weight, illumination=uniform_light()
    )
    return srgb_to_linear(drawn.image[..., :1])


@lru_cache(maxsize=4)
def _face_weight(model: MorphableModel) -> np.ndarray:
    """(V_detail,) float32: 1 inside the landmarks' face oval, 0 on the rest of the head, smooth between."""
    landmarks = model.landmarks478(model.identity_mean)
    oval, centre = landmarks[model.landmarks478.contour], landmarks.mean(axis=0)
    outline, vertices = oval - centre, model.refinement(model.identity_mean) - centre
    angle = np.arctan2(outline[:, 0], outline[:, 1])
    order = np.argsort(angle)
    reach = np.interp(
        np.arctan2(vertices[:, 0], vertices[:, 1]),
        angle[order],
        np.hypot(outline[order, 0], outline[order, 1]),
        period=2 * np.pi,
    )
    place = (_FADE[1] - np.hypot(vertices[:, 0], vertices[:, 1]) / reach) / (_FADE[1] - _FADE[0])
    place = np.clip(place, 0, 1) * (vertices[:, 2] > outline[:, 2].min() - 10)
    return (place * place * (3 - 2 * place)).astype(np.float32)


def _clay_light() -> np.ndarray:
    """(9, 3) a lamp from high on the picture's left and a weak one from the right: shape reads best askew."""
    key = directional_light((-0.6, 0.7, 0.75), 0.85)
    return uniform_light(0.16) + key + directional_light((0.9, 0.1, 0.3), 0.22)


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    picture = Image.fromarray(to_uint8(image)).resize(size, Image.Resampling.LANCZOS)
    return np.asarray(picture, np.float32) / 255
