"""ICT-FaceKit's head model (MIT), the source of heads whose true shape is known, read from its archive.

R. Li, K. Bladin, Y. Zhao et al., "Learning Formation of Physically-Based Face Attributes", CVPR 2020.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from mien.errors import UnreadableInput
from mien.evaluation.detections import save_arrays
from mien.model_files import ict as files
from mien.model_files.published import PublishedModel

COUNT = files.COUNT

PARTS = {
    "skin": files.PARTS["skin"],
    "mouth": files.PARTS["mouth"],
    "sockets": files.PARTS["sockets"],
    "gums": files.PARTS["tongue"],
    "teeth": slice(files.PARTS["teeth_upper"].start, files.PARTS["teeth_lower"].stop),
    "eye_left": files.PARTS["eye_left"],
    "eye_right": files.PARTS["eye_right"],
}
"""Vertices of each part; tear film, lashes and shadows are dropped."""

LANDMARKS68 = np.array([
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443,
    268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147, 4269,
    3360, 1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732, 5708, 5695, 2081, 0, 4275,
    6200, 6213, 6346, 6461, 5518, 5957, 5841, 5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966,
])  # fmt: skip
"""ICT's vertices at the 68 points of Multi-PIE (iBUG's order), from its README."""


@dataclass(frozen=True, eq=False)
class IctModel:
    """ICT's linear model: millimetres, our model frame (origin between the eyeballs of its mean).

    Attributes:
        mean: (V, 3) float32.
        identity: (100, V, 3) float32, displacement at one standard deviation.
        expression: (52, V, 3) float32, displacement at coefficient 1, in the order of ARKit's names; of
            `tongueOut` ICT has no shape, so it is zero.
        triangles: (T, 3) int32, counter-clockwise from outside.
    """

    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    triangles: np.ndarray

    def vertices(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """(V, 3) float64 of a head with identity (100,) and expression (52,)."""
        moved = np.tensordot(identity.astype(np.float32), self.identity, 1)
        moved += np.tensordot(expression.astype(np.float32), self.expression, 1)
        return self.mean.astype(np.float64) + moved

    def triangles_of(self, *parts: str) -> np.ndarray:
        """(T', 3) the triangles that lie wholly in the named parts."""
        inside = np.zeros(COUNT, bool)
        for part in parts:
            inside[PARTS[part]] = True
        return self.triangles[inside[self.triangles].all(1)]


def cache_folder() -> Path:
    """Where evaluation keeps what takes long to make: `mien` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mien"


def load_ict(archive: Path, cache: Path | None = None) -> IctModel:
    """ICT's model; an archive is parsed once and then kept as npz.

    Args:
        archive: of the published folder FaceXModel with its OBJ files, or that folder.
        cache: folder for the parsed arrays; `cache_folder()` if not given.

    Raises:
        UnreadableInput: the archive is missing.
        BadModelFile: it holds no such files, or not all of them.
    """
    if archive.is_dir():
        return _between_the_eyes(files.read_ict(archive))
    try:
        with archive.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableInput(f"{archive}: cannot be read ({error.strerror})") from error
    kept = (cache or cache_folder()) / f"ict-{digest[:16]}.npz"
    if kept.exists():
        with np.load(kept) as arrays:
            return IctModel(**arrays)
    model = _between_the_eyes(files.read_ict(archive))
    save_arrays(kept, **{f.name: getattr(model, f.name) for f in fields(model)})
    return model


def _between_the_eyes(published: PublishedModel) -> IctModel:
    """The model with its origin between the eyeballs of its mean, and ARKit's 52 for expressions."""
    eyes = [published.mean[PARTS[eye]] for eye in ("eye_left", "eye_right")]
    origin = np.mean([0.5 * (eye.min(axis=0) + eye.max(axis=0)) for eye in eyes], axis=0)
    return IctModel(
        mean=(published.mean - origin).astype(np.float32),
        identity=published.identity,
        expression=np.tensordot(published.from_arkit.T.astype(np.float32), published.expression, 1),
        triangles=published.triangles,
    )
