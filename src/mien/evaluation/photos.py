"""How well codes agree with the photographs they were read from: landmarks, pixels, time by stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from mien.camera import Camera, project, rotation_matrix, to_camera
from mien.crop_camera import encode_face
from mien.encoder import Encoder
from mien.evaluation.detections import Detections
from mien.evaluation.ways import Estimate
from mien.facecode import FaceCode
from mien.fit import Fitter
from mien.image import linear_to_srgb, srgb_to_linear
from mien.landmarks import MEDIAPIPE68, OUTER_EYES, LandmarkPoints, place_landmarks
from mien.morphable import MorphableModel
from mien.raster import rasterize
from mien.render import base_only, render

"""MediaPipe's outer eye corners: their distance is the unit of landmark errors."""

SKIN = (9, 50, 108, 151, 205, 280, 337, 425)
"""MediaPipe's landmarks on forehead and cheeks, where skin is read."""

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)


@dataclass(frozen=True, eq=False)
class PhotoAccuracy:
    """Measures of N photographs in which a face was found.

    Attributes:
        nme478, nme68: (N,) mean distance between the fitted model's landmarks and the detector's, over the
            distance of the outer eye corners. The 68: the model's iBUG points against the detector's at
            `mien.landmarks.MEDIAPIPE68`.
        rmse: (N,) root mean square difference of sRGB inside the face mask; of luminance if grey.
        expression: (N, E) coefficients.
        yaw_degrees: (N,) by which the head turns, to either side.
        albedo: (N,) mean luminance of the skin's albedo at `SKIN`, linear, in [0, 1].
        grey: (N,) bool.
    """

    nme478: np.ndarray
    nme68: np.ndarray
    rmse: np.ndarray
    expression: np.ndarray
    yaw_degrees: np.ndarray
    albedo: np.ndarray
    grey: np.ndarray


def measure_photos(
    model: MorphableModel,
    estimate: Estimate,
    detections: Detections,
    load: Callable[[int], np.ndarray],
    progress: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> PhotoAccuracy:
    """Reads and measures every photograph with a face.

    Args:
        model: of the codes.
        estimate: what is measured.
        detections: what the detector found.
        load: number of a photograph to its (H, W, 3) sRGB in [0, 1].
        progress: wraps the numbers, as `rich.progress.track` does.
    """
    points478 = LandmarkPoints.of(model.landmarks478, model.identity_mean, sliding=False)
    points68 = LandmarkPoints.of(model.landmarks68, model.identity_mean)
    columns: dict[str, list] = {f.name: [] for f in fields(PhotoAccuracy)}
    for i in progress(np.flatnonzero(detections.found)):
        image = load(i)
        target = detections.landmarks_px[i]
        code = estimate(image, target)
        principal = np.array(image.shape[1::-1]) / 2
        columns["nme478"].append(landmark_error(model, code, points478, principal, target, target))
        columns["nme68"].append(landmark_error(model, code, points68, principal, target[MEDIAPIPE68], target))
        columns["grey"].append(bool(np.ptp(image, axis=-1).max() < 0.02))
        columns["rmse"].append(photometric_error(model, code, image, columns["grey"][-1]))
        columns["expression"].append(code.expression)
        columns["yaw_degrees"].append(yaw_degrees(code))
        columns["albedo"].append(skin_luminance(model, code))
    return PhotoAccuracy(**{name: np.array(values) for name, values in columns.items()})


def yaw_degrees(code: FaceCode) -> float:
    """By how much a head turns away from straight ahead, to either side, in degrees."""
    forward = rotation_matrix(code.rotation)[:, 2]
    return float(abs(np.degrees(np.arctan2(forward[0], forward[2]))))


def skin_luminance(model: MorphableModel, code: FaceCode) -> float:
    """Mean luminance of the albedo at `SKIN`, linear, in [0, 1]: how dark or light the skin is read."""
    albedo = model.landmarks478(base_only(model).albedo(code.albedo))
    return float((albedo[list(SKIN)] @ _LUMINANCE).mean())


def landmark_error(
    model: MorphableModel,
    code: FaceCode,
    points: LandmarkPoints,
    principal_px: np.ndarray,
    target_px: np.ndarray,
    detected_px: np.ndarray,
) -> float:
    """Mean distance of the model's landmarks from (L, 2 or more) targets, in outer-eye-corner distances.

    Args:
        model, code: the fitted face. points: of the embedding that the targets belong to.
        principal_px: (2,).
        target_px: (L, 2 or more).
        detected_px: (478, 2 or more) the detector's points, for the eye corners.
    """
    vertices = model.vertices(code.identity, code.expression)
    placed = place_landmarks(points, vertices, code.rotation, code.translation, code.focal_px, principal_px)[
        :, :2
    ]
    left, right = OUTER_EYES
    unit = np.linalg.norm(detected_px[left, :2] - detected_px[right, :2])
    return float(np.linalg.norm(placed - target_px[:, :2], axis=1).mean() / unit)


def photometric_error(model: MorphableModel, code: FaceCode, image: np.ndarray, grey: bool) -> float:
    """Root mean square difference between a photograph and the rendered face, in sRGB, inside the face mask.

    The mask: pixels at which the rendered head shows skin, inside the outline of the model's face oval as
    projected. Everything there counts: hair, glasses and beards over the skin are not left out.

    Args:
        model, code: the fitted face.
        image: (H, W, 3) sRGB in [0, 1].
        grey: whether luminances are compared in place of colours.

    Returns:
        In [0, 1]; NaN if nothing of the mask is in the picture.
    """
    import cv2

    height, width = image.shape[:2]
    principal = np.array([width, height]) / 2
    vertices = to_camera(model.vertices(code.identity, code.expression), code.rotation, code.translation)
    points = project(vertices, Camera(code.focal_px, principal, (width, height)))
    oval = model.landmarks478(points)[model.landmarks478.contour, :2]
    low = np.clip(np.floor(oval.min(0)), 0, [width, height]).astype(int)
    high = np.clip(np.ceil(oval.max(0)), 0, [width, height]).astype(int)
    size = high - low
    if size.min() < 1:
        return float("nan")
    mask = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(mask, [cv2.convexHull(np.round(oval - low - 0.5).astype(np.int32))], 1)
    skin = (model.part == model.part_names.index("skin"))[model.triangles].all(1)
    seen = rasterize(points - [*low, 0], model.triangles, size[1], size[0]).triangle
    mask = (mask > 0) & (seen >= 0) & skin[seen]
    if not mask.any():
        return float("nan")
    # the rendering's sampling of the crop is the photograph's: only the principal point moves
    picture = render(model, code, (int(size[0]), int(size[1])), principal - low).image[mask]
    photograph = image[low[1] : high[1], low[0] : high[0]][mask]
    if grey:
        picture, photograph = (linear_to_srgb(srgb_to_linear(p) @ _LUMINANCE) for p in (picture, photograph))
    return float(np.sqrt(np.mean((picture - photograph) ** 2)))


STAGES = ("detect", "encode", "landmarks", "pixels", "polish")
"""What a face's time is spent on, in order."""


def stage_times(
    fitter: Fitter | None,
    encoder: Encoder | None,
    detections: Detections,
    load: Callable[[int], np.ndarray],
    numbers: Iterable[int],
) -> dict[str, float]:
    """Median milliseconds of processor time a face for each of `STAGES`, and their sum.

    The time of all threads added up: what one core needs, whatever else the machine does. Pixels and polish
    are what a fit takes longer with them than without, face by face. Without an encoder the fit starts from
    the mean face; without a fitter there is none.
    """

    def timed(function: Callable, *arguments: object, **options: object) -> tuple[float, object]:
        start = time.process_time()
        result = function(*arguments, **options)
        return 1e3 * (time.process_time() - start), result

    rows = []
    for i in numbers:
        image, points = load(i), detections.landmarks_px[i]
        size, encoding, code = (image.shape[1], image.shape[0]), 0.0, None
        if encoder:
            encoding, code = timed(encode_face, encoder, image, points)
        fits = [0.0, 0.0, 0.0]
        if fitter:
            fits = [
                timed(fitter, points, size, start=code, **options)[0]
                for options in ({"image": None}, {"image": image, "polish": False}, {"image": image})
            ]
        rows.append([detections.milliseconds[i], encoding, *np.diff(fits, prepend=0.0)])
    median = np.median(rows[1:] if len(rows) > 1 else rows, axis=0)  # the first face warms up
    return {**dict(zip(STAGES, map(float, median), strict=True)), "total": float(median.sum())}
