"""Where things are on ICT-FaceKit's head (MIT), whose statistics of real head shapes calibrate the model."""

from __future__ import annotations

import numpy as np

from mien.model_files.ict import PARTS
from mien.model_files.published import PublishedModel

SKIN = PARTS["skin"].stop
"""Vertices below this are the face, head and neck; then come the mouth, the eye sockets and the rest."""
TEETH_UPPER, TEETH_LOWER = PARTS["teeth_upper"], PARTS["teeth_lower"]
EYE_LEFT, EYE_RIGHT = PARTS["eye_left"], PARTS["eye_right"]
SCLERA_LEFT, SCLERA_RIGHT = slice(21451, 22221), slice(23021, 23791)


def triangles_below(ict: PublishedModel, vertex: int) -> np.ndarray:
    """(T, 3) int32 triangles of ICT's, all of whose corners come before `vertex`."""
    return ict.triangles[(ict.triangles < vertex).all(axis=1)]
