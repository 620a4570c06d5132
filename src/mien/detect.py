"""Finds the faces of a photograph, with MediaPipe's 478 landmarks and ARKit's 52 scores.

MediaPipe's detector sees 128×128 pixels: of a whole photograph only the large faces are left in them. So the
photograph is looked at in a pyramid of overlapping tiles. What may be a face is looked at again, enlarged:
now the detector must be surer of it, and the landmarker agree. Faces turned by up to a quarter are found.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import re
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from PIL import Image

from mien import assets
from mien.errors import MissingLibrary
from mien.facecode import ARKIT_NAMES
from mien.image import to_uint8

TILE = 128
"""Side of the detector's input, pixels."""

STRIDE = 106
"""Largest distance between neighbouring tiles: they overlap by a little more than the smallest face."""

LEVEL_RATIO = 2.5
"""Largest ratio of the scales of neighbouring levels of the pyramid."""

SMALLEST_FACE_PX = 24.0
SMALLEST_FACE_SHARE = 0.012
"""Faces are sought down to this width in pixels, and down to this share of the photograph's longer side."""

SMALLEST_SEEN_PX = 19.0
"""Width that a face needs inside a tile to be found."""

FINDER_CONFIDENCE, SURE_CONFIDENCE = 0.3, 0.6
"""Detector's score in a tile from which there is a second look, and the score that it must reach there."""

CROP_SHARE, CROP_PX = 2.0, 320
"""Second look: side of the crop in widths of the detector's box, and the pixels the landmarker sees of it."""

SECOND_LOOKS = 24
"""Candidates of a level that get a second look, the most confident; more where more faces are asked for."""

FLAT = 4.0
"""Tiles whose grey values (of 255) vary less than this, sky and walls, hold no face."""


@dataclass(frozen=True, eq=False)
class DetectedFace:
    """One face of a photograph. Pixel coordinates as in docs/conventions.md.

    Attributes:
        landmarks_px: (478, 3) float64; x, y in pixels, z in pixels too, smaller is nearer to the camera.
        blendshapes: (52,) float64 scores in [0, 1], in the order of `ARKIT_NAMES`; tongueOut is always 0.
        box_px: (x0, y0, x1, y1), the landmarks' bounding box; may reach beyond the photograph's border.
        confidence: the detector's score in [0, 1].
    """

    landmarks_px: np.ndarray
    blendshapes: np.ndarray
    box_px: tuple[float, float, float, float]
    confidence: float


@dataclass(frozen=True)
class _Candidate:
    """A square that may hold a face, in pixels of the photograph."""

    box_px: tuple[float, float, float, float]
    confidence: float


class Detector:
    """MediaPipe's detector and landmarker, loaded once and used for many photographs. A context manager.

    Raises:
        MissingLibrary: MediaPipe needs a system library that is not installed.
        BadAsset: the packaged models are missing or altered.
    """

    def __init__(self) -> None:
        bundle = assets.path("face_landmarker.task")
        with zipfile.ZipFile(bundle) as archive:
            finder_model = archive.read("face_detector.tflite")
        with _explained(), _silenced():
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision

            self._finder = vision.FaceDetector.create_from_options(
                vision.FaceDetectorOptions(
                    base_options=BaseOptions(model_asset_buffer=finder_model),
                    min_detection_confidence=FINDER_CONFIDENCE,
                )
            )
            self._landmarker = vision.FaceLandmarker.create_from_options(
                vision.FaceLandmarkerOptions(
                    base_options=BaseOptions(model_asset_buffer=bundle.read_bytes()),
                    num_faces=2,
                    output_face_blendshapes=True,
                )
            )
        for task in (self._finder, self._landmarker):
            # A task that is open when the interpreter ends prints a traceback if it is finalised.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(task))
        self._mediapipe = mediapipe
        self._warnings_are_over = False

    def __enter__(self) -> Detector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the models."""
        with _silenced():
            self._finder.close()
            self._landmarker.close()

    def detect(self, image: np.ndarray, max_faces: int = 8) -> list[DetectedFace]:
        """The faces of a photograph, largest first; an empty list if there is none.

        Coarse to fine, and done as soon as there are enough faces: what finer tiles add is smaller.

        Args:
            image: (H, W, 3) float, sRGB in [0, 1].
            max_faces: how many faces are returned at most.
        """
        picture = Image.fromarray(to_uint8(image))
        faces: list[DetectedFace] = []
        rejected: list[_Candidate] = []
        for level in _pyramid(picture):
            candidates = self._candidates(level, picture.size)
            likeliest = _without_doubles(candidates)[: max(SECOND_LOOKS, 2 * max_faces)]
            for candidate in sorted(likeliest, key=_area, reverse=True):
                if len(faces) >= max_faces:
                    break
                if any(_overlap(candidate, known) > 0.5 for known in faces):
                    continue
                if any(_overlap_of_union(candidate, known) > 0.5 for known in rejected):
                    continue
                face = self._second_look(picture, candidate)
                if face is None:
                    rejected.append(candidate)
                else:
                    faces = _without_doubles([*faces, face])
            if len(faces) >= max_faces:
                break
        return sorted(faces, key=_area, reverse=True)

    def _candidates(self, level: Image.Image, size: tuple[int, int]) -> list[_Candidate]:
        """What the detector finds in the tiles of one level, in pixels of the photograph of that size."""
        candidates = []
        to_px = np.array([size[0] / level.width, size[1] / level.height] * 2)
        for x in _tile_starts(level.width):
            for y in _tile_starts(level.height):
                tile = np.asarray(level.crop((x, y, x + TILE, y + TILE)))
                if tile[::2, ::2, 1].std() >= FLAT:
                    for found in self._found(tile):
                        box_px = (np.array(found.box_px) + (x, y, x, y)) * to_px
                        candidates.append(replace(found, box_px=tuple(box_px)))
        return candidates

    def _found(self, tile: np.ndarray) -> list[_Candidate]:
        """What the detector finds in (TILE, TILE, 3) uint8, in its pixels."""
        found = []
        for detection in self._run(self._finder, tile).detections:
            box = detection.bounding_box
            corners = (box.origin_x, box.origin_y, box.origin_x + box.width, box.origin_y + box.height)
            found.append(_Candidate(corners, detection.categories[0].score))
        return found

    def _second_look(self, picture: Image.Image, candidate: _Candidate) -> DetectedFace | None:
        """The face in a candidate's square, or None if it is none when seen enlarged."""
        corner, side = _crop_square(candidate)
        sure = [
            replace(found, box_px=tuple(np.array(found.box_px) * (side / TILE) + (corner * 2)))
            for found in self._found(_crop(picture, corner, side, TILE))
            if found.confidence >= SURE_CONFIDENCE
        ]
        sure = [found for found in sure if _overlap_of_union(found, candidate) > 0.3]
        if not sure:
            return None
        best = max(sure, key=lambda found: _overlap_of_union(found, candidate))
        corner, side = _crop_square(best)
        result = self._run(self._landmarker, _crop(picture, corner, side, CROP_PX))
        self._warnings_are_over = self._warnings_are_over or bool(result.face_landmarks)
        for points, scores in zip(result.face_landmarks, result.face_blendshapes, strict=True):
            landmarks = np.array([(point.x, point.y, point.z) for point in points]) * side + (*corner, 0)
            low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
            box_px = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
            face = DetectedFace(landmarks, _in_arkit_order(scores), box_px, best.confidence)
            if _overlap_of_union(face, best) > 0.3:
                return face
        return None

    def _run(self, task, pixels: np.ndarray):
        """A MediaPipe task's result. Its warnings come with the first face, and are silenced until then."""
        image = self._mediapipe.Image(
            image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(pixels)
        )
        if self._warnings_are_over:
            return task.detect(image)
        with _silenced():
            return task.detect(image)


def detect_faces(image: np.ndarray, max_faces: int = 8) -> list[DetectedFace]:
    """`Detector.detect` by a detector that is kept for the life of the process; threads share it."""
    return _kept_detector(os.getpid()).detect(image, max_faces)


def find_again(image: np.ndarray, box_px: np.ndarray) -> np.ndarray | None:
    """(478, 2) landmarks of a face whose box (left, top, right, bottom) is known; None if it is not found."""
    left, top, right, bottom = box_px
    middle, side = np.array([left + right, top + bottom]) / 2, max(right - left, bottom - top)
    limits = np.array(image.shape[1::-1])
    low = np.clip(np.floor(middle - side).astype(int), 0, limits)
    high = np.clip(np.ceil(middle + side).astype(int), 0, limits)
    if (high <= low).any():
        return None
    wanted = np.asarray(box_px) - np.tile(low, 2)
    for face in detect_faces(image[low[1] : high[1], low[0] : high[0]], max_faces=4):
        shared = np.minimum(face.box_px, wanted)[2:] - np.maximum(face.box_px, wanted)[:2]
        if (shared > 0.75 * (wanted[2:] - wanted[:2])).all():
            return face.landmarks_px[:, :2] + low
    return None


@cache
def _kept_detector(process: int) -> Detector:
    """One for each process, because MediaPipe's threads do not survive a fork."""
    return Detector()


def _scales(size: tuple[int, int]) -> list[float]:
    """Scales of the pyramid, coarse to fine.

    At the first the whole photograph is one tile, at the last the smallest face sought is just seen.
    """
    longer = max(size)
    coarsest = TILE / longer
    finest = max(coarsest, SMALLEST_SEEN_PX / max(SMALLEST_FACE_PX, SMALLEST_FACE_SHARE * longer))
    steps = math.ceil(math.log(finest / coarsest, LEVEL_RATIO))
    return [coarsest * (finest / coarsest) ** (k / steps) for k in range(steps)] + [finest]


def _pyramid(picture: Image.Image) -> Iterator[Image.Image]:
    """The picture at each scale, coarse to fine, made when it is asked for."""
    coarsest, *finer = _scales(picture.size)
    yield _scaled(picture, coarsest)
    if finer:
        finest = _scaled(picture, finer[-1])
        for scale in finer:
            yield _scaled(finest, scale / finer[-1])


def _scaled(picture: Image.Image, scale: float) -> Image.Image:
    if scale == 1:
        return picture
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _crop_square(face: _Candidate) -> tuple[tuple[int, int], int]:
    """Upper left corner and side of the square for the second look."""
    x0, y0, x1, y1 = face.box_px
    side = max(round(CROP_SHARE * (x1 - x0)), 8)
    return (round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2)), side


def _crop(picture: Image.Image, corner: tuple[int, int], side: int, size_px: int) -> np.ndarray:
    """A square of the picture, black beyond its border, scaled to (size_px, size_px, 3) uint8."""
    square = picture.crop((*corner, corner[0] + side, corner[1] + side))
    return np.asarray(square.resize((size_px, size_px), Image.Resampling.BICUBIC, reducing_gap=2.0))


def _tile_starts(length: int) -> list[int]:
    """First pixels of evenly spread tiles that cover `length` pixels; one in the middle if it is short."""
    if length <= TILE:
        return [(length - TILE) // 2]
    count = math.ceil((length - TILE) / STRIDE) + 1
    return [round(start) for start in np.linspace(0, length - TILE, count)]


def _area(face: _Candidate | DetectedFace) -> float:
    x0, y0, x1, y1 = face.box_px
    return (x1 - x0) * (y1 - y0)


def _intersection(a: _Candidate | DetectedFace, b: _Candidate | DetectedFace) -> float:
    width = min(a.box_px[2], b.box_px[2]) - max(a.box_px[0], b.box_px[0])
    height = min(a.box_px[3], b.box_px[3]) - max(a.box_px[1], b.box_px[1])
    return max(width, 0.0) * max(height, 0.0)


def _overlap(a: _Candidate | DetectedFace, b: _Candidate | DetectedFace) -> float:
    """Share of the smaller box that lies in the other: 1 for a box inside a box."""
    return _intersection(a, b) / min(_area(a), _area(b))


def _overlap_of_union(a: _Candidate | DetectedFace, b: _Candidate | DetectedFace) -> float:
    """Intersection over union of the boxes."""
    common = _intersection(a, b)
    return common / (_area(a) + _area(b) - common)


def _without_doubles(found: list) -> list:
    """The most confident ones, of which none lies by more than half in another."""
    kept: list = []
    for face in sorted(found, key=lambda face: face.confidence, reverse=True):
        if all(_overlap(face, other) <= 0.5 for other in kept):
            kept.append(face)
    return kept


def _in_arkit_order(scores) -> np.ndarray:
    """MediaPipe's scores, which begin with `_neutral` and lack tongueOut, as (52,)."""
    by_name = {score.category_name: score.score for score in scores}
    return np.array([by_name.get(name, 0.0) for name in ARKIT_NAMES])


_PACKAGES = (
    "apt-get install libgl1 libegl1 libgles2 libglib2.0-0 (Debian, Ubuntu) or "
    "dnf install mesa-libGL libglvnd-egl libglvnd-gles glib2 (Fedora)"
)
"""What brings the system libraries that MediaPipe and its OpenCV load."""


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Says which packages to install when a shared library is missing."""
    try:
        yield
    except (ImportError, OSError) as error:
        library = re.search(r"lib[\w.+-]+\.so[.\d]*(?=: cannot open shared object)", str(error))
        if library is None:
            raise
        raise MissingLibrary(
            f"{library[0]}: MediaPipe needs this system library, which is not installed; {_PACKAGES}"
        ) from error


_SILENCING = threading.RLock()


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Sends what native code writes to standard error nowhere: MediaPipe's logging has no other switch."""
    with _SILENCING:
        sys.stderr.flush()
        kept = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(nowhere)
            os.close(kept)
