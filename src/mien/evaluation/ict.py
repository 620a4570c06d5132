"""ICT-FaceKit's head model (MIT), the source of heads whose true shape is known, read from its archive.

R. Li, K. Bladin, Y. Zhao et al., "Learning Formation of Physically-Based Face Attributes", CVPR 2020.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from mien.errors import UnreadableInput
from mien.evaluation.detections import save_arrays
from mien.facecode import ARKIT_NAMES

PARTS = {
    "skin": slice(0, 11248),
    "mouth": slice(11248, 13294),
    "sockets": slice(13294, 14062),
    "gums": slice(14062, 17039),
    "teeth": slice(17039, 21451),
    "eye_left": slice(21451, 23021),
    "eye_right": slice(23021, 24591),
}
"""Vertices of each part, from the tables of ICT's README; tear film, lashes and shadows are dropped."""

COUNT = 24591

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
        expression: (52, V, 3) float32, displacement at coefficient 1, in the order of `ARKIT_NAMES`.
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
    """ICT's model, parsed once and then kept as npz.

    Args:
        archive: `ict-facekit.tar.xz`, the published folder FaceXModel with its OBJ files.
        cache: folder for the parsed arrays; `cache_folder()` if not given.

    Raises:
        UnreadableInput: the archive is missing or holds no such files.
    """
    try:
        with archive.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableInput(f"{archive}: cannot be read ({error.strerror})") from error
    kept = (cache or cache_folder()) / f"ict-{digest[:16]}.npz"
    if kept.exists():
        with np.load(kept) as arrays:
            return IctModel(**arrays)
    model = _parse(archive)
    save_arrays(kept, **{f.name: getattr(model, f.name) for f in fields(model)})
    return model


def _parse(archive: Path) -> IctModel:
    shapes, triangles = {}, None
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = Path(member.name)
                if name.suffix == ".obj":
                    lines = tar.extractfile(member).read().splitlines()
                    shapes[name.stem] = _positions(lines)
                    if name.stem == "generic_neutral_mesh":
                        triangles = _triangles(lines)
        mean = shapes.pop("generic_neutral_mesh")
    except (tarfile.TarError, EOFError, KeyError, ValueError) as error:
        raise UnreadableInput(f"{archive}: not ICT-FaceKit's archive ({error})") from error
    displacement = {name: (10.0 * (shape - mean)).astype(np.float32) for name, shape in shapes.items()}
    mean = 10.0 * mean
    eyes = [0.5 * (mean[PARTS[eye]].min(0) + mean[PARTS[eye]].max(0)) for eye in ("eye_left", "eye_right")]
    return IctModel(
        mean=(mean - np.mean(eyes, axis=0)).astype(np.float32),
        identity=np.stack([displacement[f"identity{k:03d}"] for k in range(100)]),
        expression=np.stack([_expression(displacement, name) for name in ARKIT_NAMES]),
        triangles=triangles,
    )


def _expression(displacement: dict[str, np.ndarray], name: str) -> np.ndarray:
    """ICT writes `_L` for `Left`, and has two halves of some shapes of which ARKit has one."""
    if name == "tongueOut":
        return np.zeros_like(displacement["jawOpen"])
    if name in displacement:
        return displacement[name]
    for end, short in (("Left", "_L"), ("Right", "_R")):
        if name.removesuffix(end) + short in displacement and name.endswith(end):
            return displacement[name.removesuffix(end) + short]
    return displacement[f"{name}_L"] + displacement[f"{name}_R"]


def _positions(lines: list[bytes]) -> np.ndarray:
    rows = b"\n".join(line[2:] for line in lines if line.startswith(b"v "))
    return np.loadtxt(io.BytesIO(rows), usecols=(0, 1, 2))[:COUNT]


def _triangles(lines: list[bytes]) -> np.ndarray:
    triangles = []
    for line in lines:
        if line.startswith(b"f "):
            corner = [int(c.split(b"/")[0]) - 1 for c in line.split()[1:]]
            triangles += [[corner[0], corner[k], corner[k + 1]] for k in range(1, len(corner) - 1)]
    triangles = np.array(triangles, np.int32)
    return triangles[(triangles < COUNT).all(1)]
