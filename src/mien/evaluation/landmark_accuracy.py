"""How near landmarks are to annotated ones: normalised mean error, its cumulative curve, and by yaw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mien.errors import NoFace
from mien.evaluation.figures import draw_curves, panels, png_of
from mien.evaluation.landmark_sets import AnnotatedFace
from mien.evaluation.photos import yaw_degrees
from mien.evaluation.report import Report
from mien.landmarks import MEDIAPIPE68, LandmarkPoints, place_landmarks
from mien.reconstruction import Reconstruction, reconstruct

if TYPE_CHECKING:
    from mien.detect import DetectedFace

NORMALISATIONS = ("inter-ocular", "inter-pupil", "box √(w·h)", "box diagonal")
"""What errors are divided by: the distance of the outer eye corners; of the means of the six points of each
eye; the geometric mean of width and height of the annotated points' bounding box; its diagonal."""

READERS = ("mien", "detector")
"""The model's 68 points as reconstructed; and MediaPipe's at `MEDIAPIPE68`, on which these rest."""

LIMITS = (0.08, 0.10)
"""Errors beyond which a face counts as failed, and to which the area under the curve is taken."""
YAWS_DEGREES = (0, 30, 60, 90)

_CURVE = np.linspace(0.0, max(LIMITS), 101)


@dataclass(frozen=True, eq=False)
class ReadFace:
    """What was read of an annotated face.

    Attributes:
        errors: {reader: (4,) mean distance of its 68 points over each of `NORMALISATIONS`}.
        yaw_degrees: annotated, else as reconstructed.
    """

    errors: Mapping[str, np.ndarray]
    yaw_degrees: float


def units_px(points_px: np.ndarray) -> np.ndarray:
    """(4,) what errors of a face with annotated (68, 2) points are divided by, as in `NORMALISATIONS`."""
    width, height = np.ptp(points_px, axis=0)
    eyes = points_px[36:42].mean(0) - points_px[42:48].mean(0)
    corners = points_px[36] - points_px[45]
    return np.array(
        [np.linalg.norm(corners), np.linalg.norm(eyes), np.sqrt(width * height), np.hypot(width, height)]
    )


def read_annotated(face: AnnotatedFace, model: str, refine: bool) -> ReadFace:
    """Reconstructs the face of a photograph that lies where the annotation says, and measures it.

    Args:
        face: what is annotated.
        model, refine: as in `mien.reconstruction.reconstruct`.

    Raises:
        NoFace: no face is found there.
        UnreadableInput: the picture cannot be read.
    """
    found = reconstruct(str(face.picture), model=model, refine=refine, detector=_Nearest(face.points_px))
    if not found:
        raise NoFace(f"{face.picture}: no face found where its landmarks are; it counts as failed")
    read = {"mien": model_points(found[0], face.hidden_too), "detector": found[0].landmarks_px[MEDIAPIPE68]}
    units = units_px(face.points_px)
    errors = {name: np.linalg.norm(p - face.points_px, axis=1).mean() / units for name, p in read.items()}
    yaw = yaw_degrees(found[0].code) if face.yaw_degrees is None else face.yaw_degrees
    return ReadFace(errors, yaw)


def model_points(face: Reconstruction, hidden_too: bool) -> np.ndarray:
    """(68, 2) the model's landmarks in the photograph, those of the jaw on the skin if `hidden_too`."""
    if not hidden_too:
        return face.face.landmarks68_px
    code, model = face.code, face.model
    return place_landmarks(
        LandmarkPoints.of(model.landmarks68, model.identity_mean, sliding=False),
        face.mesh.vertices,
        code.rotation,
        code.translation,
        float(code.focal_px),
        face.face.principal_px,
    )[:, :2]


def area_under_curve(errors: np.ndarray, limit: float) -> float:
    """Mean height of the cumulative curve of (N,) errors from 0 to a limit; 1 for errors of 0."""
    return float(np.clip(1 - errors / limit, 0, None).mean())


def landmark_report(about: str, faces: Sequence[ReadFace], missed: int) -> Report:
    """Table, numbers and figure of read faces; those missed fail, but have no part in means and medians."""
    yaw = np.array([face.yaw_degrees for face in faces])
    place = np.clip(np.digitize(yaw, YAWS_DEGREES) - 1, 0, len(YAWS_DEGREES) - 2)  # 90 and beyond: the last
    bins = [(low, high, place == k) for k, (low, high) in enumerate(pairwise(YAWS_DEGREES))]
    columns = ["error over", "mean", "median"]
    columns += [f"{what} {limit:.0%}" for limit in LIMITS for what in ("AUC", "failures")]
    columns += [f"yaw {low} to {high}° ({chosen.sum()})" for low, high, chosen in bins] + ["mean of yaws"]
    rows, data = [], {"faces": len(faces) + missed, "missed": missed, "yaw_degrees": yaw.tolist()}
    for reader in READERS:
        data[reader] = {}
        errors = np.array([face.errors[reader] for face in faces])
        for name, error in zip(NORMALISATIONS, errors.T, strict=True):
            every = np.concatenate([error, np.full(missed, np.inf)])
            areas = [area_under_curve(every, limit) for limit in LIMITS]
            failures = [float((every > limit).mean()) for limit in LIMITS]
            row = [f"{reader}: {name}", f"{error.mean():.2%}", f"{np.median(error):.2%}"]
            for area, share in zip(areas, failures, strict=True):
                row += [f"{area:.3f}", f"{share:.2%}"]
            by_yaw = [error[chosen].mean() if chosen.any() else np.nan for *_, chosen in bins]
            row += ["" if np.isnan(value) else f"{value:.2%}" for value in (*by_yaw, np.mean(by_yaw))]
            rows.append(row)
            data[reader][name] = {"errors": error.tolist(), "auc": areas, "failures": failures}
    about = f"{about}; faces: {len(faces) + missed}, not found: {missed}"
    return Report(about, columns, rows, data, {"": partial(_figure, faces, missed)})


def _figure(faces: Sequence[ReadFace], missed: int) -> bytes:
    chosen = (0, 2)
    figure, (axes,) = panels(len(chosen))
    for panel, column in zip(axes, chosen, strict=True):
        curves = {}
        for reader in READERS:
            error = np.sort([face.errors[reader][column] for face in faces])
            curves[reader] = np.searchsorted(error, _CURVE, side="right") / (len(faces) + missed)
        draw_curves(panel, 100 * _CURVE, curves, READERS, "%", "faces")
        panel.set_title(f"error over {NORMALISATIONS[column]}")
    return png_of(figure)


@dataclass(frozen=True, eq=False)
class _Nearest:
    """A detector that sees only the face whose box overlaps that of some points most."""

    points_px: np.ndarray

    def detect(self, image: np.ndarray, max_faces: int) -> list[DetectedFace]:
        from mien.detect import detect_faces

        low, high = self.points_px.min(0), self.points_px.max(0)

        def overlap(face: DetectedFace) -> float:
            box = np.array(face.box_px).reshape(2, 2)
            sides = np.clip(np.minimum(high, box[1]) - np.maximum(low, box[0]), 0, None)
            common = sides.prod()
            return common / (np.prod(high - low) + np.prod(box[1] - box[0]) - common)

        faces = [face for face in detect_faces(image, max_faces) if overlap(face) > 0.25]
        return sorted(faces, key=overlap)[-1:]
