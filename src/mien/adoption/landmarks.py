"""MediaPipe's points on a mesh that nobody marked: detected on pictures of it, cast back on its surface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mien.adoption.views import View, cast, picture
from mien.mesh import normalize, vertex_normals
from mien.morphable import MorphableModel

if TYPE_CHECKING:
    from mien.detect import Detector

VIEWS = tuple(
    View(yaw, pitch, sidelight=side)
    for yaw, pitch in ((0, 0), (14, 0), (-14, 0), (0, 9), (0, -9))
    for side in (0.4, -0.4)
)
_SQUARELY = 0.5
"""Least cosine between a surface and the pictures' plane at which its place in a picture gives its depth."""


def detect_on_head(
    vertices: np.ndarray,
    triangles: np.ndarray,
    albedo: np.ndarray,
    detector: Detector,
    views: Sequence[View] = VIEWS,
    needed: int = 5,
) -> np.ndarray:
    """(478, 3) median over views of the points of the mesh under the detected landmarks.

    Args:
        vertices: (V, 3) mm, model frame. triangles: (T, 3).
        albedo: (V, 3) linear RGB.
        detector: that looks.
        views: from which.
        needed: how many of them must show a face.

    Raises:
        RuntimeError: the detector sees a face in fewer.
    """
    found = []
    for view in views:
        image = picture(vertices, triangles, albedo, view)
        faces = detector.detect(image.astype(np.float64) / 255.0, max_faces=1)
        if faces:
            found.append(cast(faces[0].landmarks_px, vertices, triangles, view))
    if len(found) < needed:
        raise RuntimeError(f"the detector sees a face in {len(found)} of {len(views)} pictures of the head")
    return np.median(found, axis=0)


def seen_squarely(model: MorphableModel) -> np.ndarray:
    """(478,) bool: which landmarks pictures from `VIEWS` locate on the surface.

    Where the surface turns away, as at the contour and in the nostrils, a pixel is centimetres of depth.
    """
    normals = normalize(model.landmarks478(vertex_normals(model.identity_mean, model.triangles)))
    squarely = normals[:, 2] > _SQUARELY
    squarely[model.landmarks478.contour] = False
    return squarely
