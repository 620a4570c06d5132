"""The thesis's detectors: OpenCV's Haar cascade for the face, dlib's predictor for its 68 landmarks."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from mien.errors import MissingLibrary
from mien.image import to_uint8

_CASCADE = "haarcascade_frontalface_default.xml"
_LANDMARKS = "shape_predictor_68_face_landmarks.dat"
_INSTALL = "pip install 'mien[dlib]'"

SCALE_STEP, NEIGHBOURS = 1.1, 5
"""Of the cascade: ratio of the sizes it looks at, and how many overlapping finds make a face."""

SMALLEST_SHARE = 0.1
"""Width of the smallest face sought, in parts of the photograph's shorter side."""


class HaarDlibDetector:
    """Both detectors, loaded once and used for many photographs."""

    def __init__(self) -> None:
        """Loads them.

        Raises:
            MissingLibrary: dlib, its landmarks' file or OpenCV's cascades are not installed.
        """
        if not hasattr(cv2, "CascadeClassifier"):
            raise MissingLibrary(
                f"OpenCV {cv2.__version__} has no Haar cascades, those before 5 have; {_INSTALL} brings one"
            )
        missing = [name for name in ("dlib", "face_recognition_models") if not find_spec(name)]
        if missing:
            raise MissingLibrary(f"{', '.join(missing)}: needed to find faces as the thesis did; {_INSTALL}")
        import dlib

        self._dlib = dlib
        self._cascade = cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / _CASCADE))
        # its package is not imported, as that needs a setuptools which still has pkg_resources
        models = Path(find_spec("face_recognition_models").submodule_search_locations[0]) / "models"
        self._predictor = dlib.shape_predictor(str(models / _LANDMARKS))

    def detect(self, image: np.ndarray, max_faces: int = 1) -> list[np.ndarray]:
        """iBUG's 68 landmarks of each upright frontal face, (68, 2) float64 pixels, the largest face first.

        Args:
            image: (H, W, 3) float, sRGB in [0, 1].
            max_faces: how many faces are returned at most.
        """
        pixels = np.ascontiguousarray(to_uint8(image))
        grey = cv2.equalizeHist(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
        smallest = max(20, int(SMALLEST_SHARE * min(grey.shape)))
        boxes = self._cascade.detectMultiScale(
            grey, scaleFactor=SCALE_STEP, minNeighbors=NEIGHBOURS, minSize=(smallest, smallest)
        )
        largest = sorted(map(tuple, np.reshape(boxes, (-1, 4)).tolist()), key=lambda box: -box[2] * box[3])
        return [self._landmarks(pixels, box) for box in largest[:max_faces]]

    def _landmarks(self, pixels: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
        left, top, width, height = box
        rectangle = self._dlib.rectangle(left, top, left + width - 1, top + height - 1)
        points = self._predictor(pixels, rectangle).parts()
        # whole pixels, whose centres are at halves
        return np.array([(point.x, point.y) for point in points], np.float64) + 0.5
