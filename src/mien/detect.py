"""Finds the faces of a photograph, with MediaPipe's 478 landmarks and ARKit's 52 scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien import assets
from mien.facecode import ARKIT_NAMES
from mien.image import to_uint8


@dataclass(frozen=True, eq=False)
class DetectedFace:
    """One face of a photograph. Pixel coordinates as in docs/conventions.md.

    Attributes:
        landmarks_px: (478, 3) float64; x, y in pixels, z in pixels too, smaller is nearer to the camera.
        blendshapes: (52,) float64 scores in [0, 1], in the order of `ARKIT_NAMES`; tongueOut is always 0.
        box_px: (x0, y0, x1, y1), the landmarks' bounding box; may reach beyond the picture's border.
        confidence: the detector's score in [0, 1].
    """

    landmarks_px: np.ndarray
    blendshapes: np.ndarray
    box_px: tuple[float, float, float, float]
    confidence: float


class Detector:
    """MediaPipe's detector and landmarker, loaded once and used for many photographs. A context manager."""

    def __init__(self) -> None:
        from mediapipe.tasks.python import BaseOptions, vision

        self._landmarker = vision.FaceLandmarker.create_from_options(
            vision.FaceLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(assets.path("face_landmarker.task"))),
                num_faces=8,
                output_face_blendshapes=True,
            )
        )

    def __enter__(self) -> Detector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the models."""
        self._landmarker.close()

    def detect(self, image: np.ndarray, max_faces: int = 8) -> list[DetectedFace]:
        """The faces of a photograph, largest first.

        Args:
            image: (H, W, 3) float, sRGB in [0, 1].
            max_faces: how many faces are returned at most.
        """
        import mediapipe

        height, width = image.shape[:2]
        result = self._landmarker.detect(
            mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=to_uint8(image))
        )
        faces = []
        for points, scores in zip(result.face_landmarks, result.face_blendshapes, strict=True):
            landmarks = np.array([(p.x * width, p.y * height, p.z * width) for p in points])
            by_name = {score.category_name: score.score for score in scores}
            (x0, y0), (x1, y1) = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
            faces.append(
                DetectedFace(
                    landmarks,
                    np.array([by_name.get(name, 0.0) for name in ARKIT_NAMES]),
                    (x0, y0, x1, y1),
                    1.0,
                )
            )
        faces.sort(key=lambda face: (face.box_px[2] - face.box_px[0]) * (face.box_px[3] - face.box_px[1]))
        return faces[::-1][:max_faces]


_DETECTOR: Detector | None = None


def detect_faces(image: np.ndarray, max_faces: int = 8) -> list[DetectedFace]:
    """`Detector.detect` with one detector that is kept for the life of the process."""
    global _DETECTOR
    if _DETECTOR is None:
        _DETECTOR = Detector()
    return _DETECTOR.detect(image, max_faces)
