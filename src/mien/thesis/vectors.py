"""The thesis's code: 231 numbers in its order, as a `FaceCode` and as the text file `x_000001.txt`."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from mien.camera import rotation_matrix
from mien.errors import UnreadableInput
from mien.facecode import CodeLayout, FaceCode
from mien.files import write_whole
from mien.lighting import uniform_light
from mien.morphable import MorphableModel
from mien.thesis.crop import SIDE, frame

LAYOUT = CodeLayout(identity=64, expression=64, albedo=100)
"""How many of the Basel Face Model's components each part has."""

SIZE = LAYOUT.identity + LAYOUT.expression + LAYOUT.albedo + 3
"""231: shape, expression, colour, rotation, in that order."""

UNIT_RADIANS = math.radians(10.0)
"""The unit of the rotation: tens of degrees, so that it is about as large as the other numbers."""

_ENDS = np.cumsum([LAYOUT.identity, LAYOUT.expression, LAYOUT.albedo])
_LARGEST_FILE = 1 << 16  # bytes; a vector takes about 5,000


def to_vector(code: FaceCode) -> np.ndarray:
    """(..., 231) float64: identity, expression, albedo, and the rotation vector in tens of degrees.

    Raises:
        ValueError: the code is of another layout.
    """
    if code.layout != LAYOUT:
        raise ValueError(f"the code of {code.model} has {code.layout}, the thesis's has {LAYOUT}")
    parts = (code.identity, code.expression, code.albedo, np.asarray(code.rotation) / UNIT_RADIANS)
    return np.concatenate(parts, axis=-1, dtype=np.float64)


def from_vector(vector: np.ndarray, model: MorphableModel, size: int = SIDE) -> FaceCode:
    """The face code of the thesis's numbers; what these do not say is as in its pictures (`placed`).

    Args:
        vector: (..., 231).
        model: of `LAYOUT`, NumPy.
        size: side of the crop in pixels.

    Raises:
        ValueError: the vector is of another length, or the model of another layout.
    """
    vector = np.asarray(vector, np.float64)
    if vector.shape[-1] != SIZE or model.layout != LAYOUT:
        raise ValueError(
            f"{vector.shape[-1]} numbers and {model.layout} of {model.id}; must be {SIZE} and {LAYOUT}"
        )
    identity, expression, albedo, turn = np.split(vector, _ENDS, axis=-1)
    return placed(model, identity, expression, albedo, turn * UNIT_RADIANS, size)


def placed(
    model: MorphableModel,
    identity: np.ndarray,
    expression: np.ndarray,
    albedo: np.ndarray,
    rotation: np.ndarray,
    size: int,
) -> FaceCode:
    """The code of a face that the thesis's crop shows: its hull fills the crop, its colours need no light.

    Args:
        model: NumPy.
        identity, expression, albedo, rotation: as in `FaceCode`, float64.
        size: side of the crop in pixels, whose centre is the principal point.
    """
    mark = model.landmarks68
    fields = (model.identity_mean, model.identity_components, model.expression_components)
    mean, shapes, moves = (mark(field) for field in fields)
    landmarks = mean + np.tensordot(identity, shapes, 1) + np.tensordot(expression, moves, 1)
    translation, focal = frame(landmarks, rotation_matrix(rotation))
    return FaceCode(
        identity=identity,
        expression=expression,
        albedo=albedo,
        rotation=rotation,
        translation=translation,
        illumination=np.broadcast_to(uniform_light().astype(np.float64), (*identity.shape[:-1], 9, 3)),
        focal_px=focal * size,
        model=model.id,
    )


def random_codes(model: MorphableModel, rng: np.random.Generator, count: int, size: int) -> FaceCode:
    """`count` codes whose 231 numbers are standard normal, float64, in crops of `size` pixels."""
    return from_vector(rng.normal(size=(count, SIZE)), model, size)


def read_vector(path: Path) -> np.ndarray:
    """(231,) float64 from a text file with a number a line.

    Raises:
        UnreadableInput: the file is missing or has anything but 231 finite numbers.
    """
    try:
        with path.open("rb") as stream:
            lines = stream.read(_LARGEST_FILE).decode("ascii").split()
        vector = np.array(lines, np.float64)
    except OSError as error:
        raise UnreadableInput(
            f"{path}: cannot be read ({error.strerror}); name a file of a vector"
        ) from error
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise UnreadableInput(
            f"{path}: holds something other than numbers ({reason}); it must be {SIZE} lines of one each"
        ) from error
    if len(vector) != SIZE:
        raise UnreadableInput(f"{path}: holds {len(vector)} numbers, must hold {SIZE}, one a line")
    if not np.isfinite(vector).all():
        raise UnreadableInput(f"{path}: number {np.flatnonzero(~np.isfinite(vector))[0] + 1} is not finite")
    return vector


def write_vector(path: Path, vector: np.ndarray) -> None:
    """Writes (231,) numbers so that `read_vector` gives the same ones back.

    Raises:
        CannotWrite: as `mien.files.write_whole`.
        ValueError: they are not 231 finite numbers.
    """
    write_whole(path, vector_bytes(vector))


def vector_bytes(vector: np.ndarray) -> bytes:
    """The file of `write_vector`.

    Raises:
        ValueError: they are not 231 finite numbers.
    """
    vector = np.asarray(vector, np.float64)
    if vector.shape != (SIZE,) or not np.isfinite(vector).all():
        raise ValueError(f"a vector is {SIZE} finite numbers, not an array of shape {vector.shape}")
    return "".join(f"{number!r}\n" for number in vector.tolist()).encode()
