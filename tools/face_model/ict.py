"""ICT-FaceKit's light model (MIT) read from its published archive, as statistics of real head shapes."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SKIN = 11248
"""Vertices below this are the face, head and neck; then come the mouth, the eye sockets and the rest."""
TEETH_UPPER, TEETH_LOWER = slice(17039, 19247), slice(19247, 21451)
EYE_LEFT, EYE_RIGHT = slice(21451, 23021), slice(23021, 24591)
SCLERA_LEFT, SCLERA_RIGHT = slice(21451, 22221), slice(23021, 23791)
IRISES = (slice(22221, 23021), slice(23791, 24591))


@dataclass(frozen=True)
class IctModel:
    """ICT's mean head and its modes in millimetres, x to the subject's left, y up, z out of the face.

    Attributes:
        mean: (N, 3) float64.
        identity: (100, N, 3) float32, displacement at one standard deviation.
        expression: (E, N, 3) float32, displacement at coefficient 1.
        expression_names: E names, ARKit's with `_L` and `_R`.
        triangles: (T, 3) int32.
    """

    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    expression_names: np.ndarray
    triangles: np.ndarray

    def triangles_below(self, vertex: int) -> np.ndarray:
        """Triangles all of whose corners come before `vertex`."""
        return self.triangles[(self.triangles < vertex).all(axis=1)]


def read_ict(archive: Path) -> IctModel:
    """ICT's model from `ict-facekit.tar.xz`, read in one pass.

    Raises:
        FileNotFoundError: no such file.
    """
    shapes, triangles = {}, None
    with tarfile.open(archive) as tar:
        for member in tar:
            name = Path(member.name)
            if name.suffix == ".obj":
                text = tar.extractfile(member).read()
                shapes[name.stem] = _positions(text)
                if name.stem == "generic_neutral_mesh":
                    triangles = _triangles(text)
    mean = shapes.pop("generic_neutral_mesh")
    identity = sorted(name for name in shapes if name.startswith("identity"))
    expression = sorted(name for name in shapes if not name.startswith("identity"))
    return IctModel(
        mean=10.0 * mean,
        identity=np.stack([10.0 * (shapes[n] - mean) for n in identity]).astype(np.float32),
        expression=np.stack([10.0 * (shapes[n] - mean) for n in expression]).astype(np.float32),
        expression_names=np.array(expression),
        triangles=triangles,
    )


def _positions(text: bytes) -> np.ndarray:
    rows = b"\n".join(line[2:] for line in text.splitlines() if line.startswith(b"v "))
    return np.loadtxt(io.BytesIO(rows), usecols=(0, 1, 2))


def _triangles(text: bytes) -> np.ndarray:
    triangles = []
    for line in text.splitlines():
        if line.startswith(b"f "):
            corner = [int(c.split(b"/")[0]) - 1 for c in line.split()[1:]]
            triangles += [[corner[0], corner[k], corner[k + 1]] for k in range(1, len(corner) - 1)]
    return np.array(triangles, np.int32)
