"""Finds the faces of a photograph, with MediaPipe's 478 landmarks and ARKit's 52 scores.

MediaPipe's detector sees 128×128 pixels: of a whole photograph only the large faces are left in them. So the
photograph is looked at in a pyramid of overlapping tiles, and each face found is looked at again, enlarged,
by the landmarker, which also tells what is no face.
"""

from __future__ import annotations

import atexit
import contextlib
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

STRIDE = 102
"""Largest distance between neighbouring tiles: they overlap by a fifth, the width of the smallest face."""

SMALLEST_FACE_PX = 24.0
SMALLEST_FACE_SHARE = 0.012
"""Faces are sought down to this width in pixels, and down to this share of the photograph's longer side."""

SMALLEST_SEEN_PX = 19.0
"""Width that a face needs inside a tile to be found."""

FINDER_CONFIDENCE = 0.3
"""Detector's score from which the landmarker has a second look."""

CROP_SHARE, CROP_PX = 2.0, 448
"""The second look: side of the crop in widths of the detector's box, and the pixels it is scaled to."""

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
        with _silenced(), _explained():
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

        Coarse to fine, and done as soon as there are enough faces: what finer tiles add is smaller. Where no
        face is found the photograph is tried turned by a quarter and by a half.

        Args:
            image: (H, W, 3) float, sRGB in [0, 1].
            max_faces: how many faces are returned at most.
        """
        picture = Image.fromarray(to_uint8(image))
        faces = self._search(picture, _scales(picture.size), max_faces)
        for quarter_turns in (1, 3, 2):
            if faces:
                break
            turned = picture.transpose(_QUARTER_TURNS[quarter_turns])
            found = self._search(turned, _scales(picture.size)[:2], max_faces)
            faces = [_turned_back(face, quarter_turns, picture.size) for face in found]
        return faces[:max_faces]

    def _search(self, picture: Image.Image, scales: list[float], max_faces: int) -> list[DetectedFace]:
        """The faces that are seen in the pyramid of the given scales, largest first."""
        finest = _scaled(picture, scales[-1])
        faces: list[DetectedFace] = []
        rejected: list[_Candidate] = []
        for scale in scales:
            candidates = self._candidates(_scaled(finest, scale / scales[-1]), picture.size)
            for candidate in sorted(_without_doubles(candidates), key=_area, reverse=True):
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
                if tile[::2, ::2, 1].std() < FLAT:
                    continue
                for found in self._run(self._finder, tile).detections:
                    box = found.bounding_box
                    corners = (
                        box.origin_x,
                        box.origin_y,
                        box.origin_x + box.width,
                        box.origin_y + box.height,
                    )
                    box_px = tuple((np.array(corners) + (x, y, x, y)) * to_px)
                    candidates.append(_Candidate(box_px, found.categories[0].score))
        return candidates

    def _second_look(self, picture: Image.Image, candidate: _Candidate) -> DetectedFace | None:
        """The landmarks of the face in a candidate's square, or None if the landmarker sees none there."""
        x0, y0, x1, y1 = candidate.box_px
        width = x1 - x0
        side = max(round(CROP_SHARE * width), 8)
        left, top = round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2)
        crop = picture.crop((left, top, left + side, top + side))
        crop = crop.resize((CROP_PX, CROP_PX), Image.Resampling.BICUBIC, reducing_gap=2.0)
        result = self._run(self._landmarker, np.asarray(crop))
        self._warnings_are_over = self._warnings_are_over or bool(result.face_landmarks)
        for points, scores in zip(result.face_landmarks, result.face_blendshapes, strict=True):
            landmarks = np.array([(point.x, point.y, point.z) for point in points]) * side + (left, top, 0)
            (left_px, top_px), (right_px, bottom_px) = (
                landmarks[:, :2].min(axis=0),
                landmarks[:, :2].max(axis=0),
            )
            face = DetectedFace(
                landmarks,
                _in_arkit_order(scores),
                (float(left_px), float(top_px), float(right_px), float(bottom_px)),
                candidate.confidence,
            )
            if _overlap_of_union(candidate, face) > 0.3:
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


@cache
def _kept_detector(process: int) -> Detector:
    """One for each process, because MediaPipe's threads do not survive a fork."""
    detector = Detector()
    atexit.register(lambda: detector.close() if os.getpid() == process else None)
    return detector


def _scales(size: tuple[int, int]) -> list[float]:
    """Scales of the pyramid, coarse to fine, at most a factor of 2 apart.

    At the first the whole photograph is one tile, at the last the smallest face sought is just seen.
    """
    longer = max(size)
    coarsest = TILE / longer
    finest = max(coarsest, SMALLEST_SEEN_PX / max(SMALLEST_FACE_PX, SMALLEST_FACE_SHARE * longer))
    steps = math.ceil(math.log2(finest / coarsest))
    return [coarsest * (finest / coarsest) ** (k / steps) for k in range(steps)] + [finest]


def _scaled(picture: Image.Image, scale: float) -> Image.Image:
    if scale == 1:
        return picture
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


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


_QUARTER_TURNS = {1: Image.Transpose.ROTATE_90, 2: Image.Transpose.ROTATE_180, 3: Image.Transpose.ROTATE_270}
"""Turns to the left, of a whole picture."""


def _turned_back(face: DetectedFace, quarter_turns: int, size: tuple[int, int]) -> DetectedFace:
    """A face of the picture turned to the left, in pixels of the picture of that size as it was."""
    width, height = size
    x, y, z = face.landmarks_px.T
    x, y = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}[quarter_turns]
    landmarks = np.stack([x, y, z], axis=1)
    box_px = (float(x.min()), float(y.min()), float(x.max()), float(y.max()))
    return replace(face, landmarks_px=landmarks, box_px=box_px)


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
