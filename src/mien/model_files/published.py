"""A face model as its makers publish it: what every reader gives, and the checks that all of them make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mien.errors import BadModelFile

_HEAD_MM = (80.0, 700.0)
"""Least and greatest height of a mean face or head with shoulders: beyond, the unit is another."""
_FARTHEST_MM = 1000.0
"""Greatest movement of a vertex at coefficient 1, turns of a whole head by a radian among them."""
_LARGEST = 1e12
"""Of any number in any unit used: squares of it are finite."""


@dataclass(frozen=True, eq=False)
class PublishedModel:
    """A linear model of faces in its own topology, in millimetres: x to the subject's left, y up, z forward.

    Attributes:
        mean: (V, 3) float64.
        identity: (K, V, 3) float32, displacement at one standard deviation.
        expression: (E, V, 3) float32, displacement at coefficient 1.
        expression_names: E names.
        expression_bounds: lowest and highest coefficient.
        triangles: (T, 3) int32, counter-clockwise from outside.
        part: (V,) int32 index into `part_names`.
        part_names: the first is the skin.
        albedo_mean: (V, 3) float32 sRGB in [0, 1]; None for a model without colour.
        albedo: (A, V, 3) float32 sRGB per standard deviation; None with it.
        uv: (U, 2) float32 texture coordinates, v up, and `uv_triangles` (T, 3) int32 rows of it; None if the
            model has none.
        from_arkit: (E, 52) coefficients at each ARKit action, where the names say so; else None.
        remarks: what the user should know of this file, a sentence each.
    """

    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    expression_names: tuple[str, ...]
    expression_bounds: tuple[float, float]
    triangles: np.ndarray
    part: np.ndarray
    part_names: tuple[str, ...]
    albedo_mean: np.ndarray | None = None
    albedo: np.ndarray | None = None
    uv: np.ndarray | None = None
    uv_triangles: np.ndarray | None = None
    from_arkit: np.ndarray | None = None
    remarks: tuple[str, ...] = ()


def numbered(stem: str, count: int) -> tuple[str, ...]:
    """Names of the components of a PCA: they have none of their own."""
    return tuple(f"{stem}{number:03d}" for number in range(count))


def checked(file: Path, name: str, array: Any, *shape: int | str, dtype: Any = np.float64) -> np.ndarray:
    """An array of a model file as numbers of one kind, its shape and values checked.

    Args:
        file: it is from. name: it has there.
        array: what was read.
        shape: each axis' length, or a letter where any length will do.
        dtype: of the result.

    Raises:
        BadModelFile: it holds no numbers, has another shape, or a number is not finite or absurdly large.
    """
    array = np.asarray(array)
    expected = f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
    if array.dtype.kind not in "fiub":
        raise BadModelFile(f"{file}: {name} holds {array.dtype}, expected numbers of shape {expected}")
    lengths = zip(array.shape, shape, strict=False)
    if array.ndim != len(shape) or any(isinstance(s, int) and n != s for n, s in lengths) or not array.size:
        raise BadModelFile(f"{file}: {name} has shape {array.shape}, expected {expected}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BadModelFile(f"{file}: {name} has numbers that are not finite (NaN or infinite); get it anew")
    if array.dtype.kind == "f" and (largest := np.abs(array).max()) > _LARGEST:
        raise BadModelFile(f"{file}: {name} has the number {largest:.3g}, which no face has; get it anew")
    return np.ascontiguousarray(array, dtype)


def triangles_of(file: Path, name: str, corners: Any, vertices: np.ndarray, first: int = 0) -> np.ndarray:
    """(T, 3) int32 triangles that are counter-clockwise from outside, whichever way the file has them.

    Args:
        file: it is from. name: it has there.
        corners: (T, 3) numbers of vertices. first: the first vertex's.
        vertices: (V, 3) of the mean face, which looks along +z.

    Raises:
        BadModelFile: a corner is no vertex.
    """
    corners = checked(file, name, corners, "T", 3, dtype=np.int64) - first
    if corners.min() < 0 or corners.max() >= len(vertices):
        raise BadModelFile(
            f"{file}: {name} names vertices {corners.min() + first} to {corners.max() + first}, "
            f"expected {first} to {len(vertices) - 1 + first}"
        )
    a, b, c = (vertices[corners[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    ahead = a[:, 2] > np.median(vertices[:, 2])
    if normals[ahead, 2].sum() < 0:
        corners = corners[:, ::-1]
    return np.ascontiguousarray(corners, np.int32)


def check_size(file: Path, name: str, vertices: np.ndarray, unit: str) -> None:
    """That the mean face (V, 3), in millimetres if the file is in `unit`, has the size of a face.

    Raises:
        BadModelFile: it has not.
    """
    height = np.ptp(vertices[:, 1])
    if not _HEAD_MM[0] < height < _HEAD_MM[1]:
        raise BadModelFile(
            f"{file}: {name} is {height:.4g} mm high if it is in {unit} as published; "
            f"expected {_HEAD_MM[0]:.0f} to {_HEAD_MM[1]:.0f}: is it in another unit?"
        )


def check_movements(path: Path, model: PublishedModel) -> None:
    """That no coefficient of 1 moves a vertex farther than a head is large.

    Raises:
        BadModelFile: one does.
    """
    for name in ("identity", "expression"):
        farthest = np.abs(getattr(model, name)).max()
        if farthest > _FARTHEST_MM:
            raise BadModelFile(
                f"{path}: a coefficient of {name} moves a vertex by {farthest:.4g} mm, expected at most "
                f"{_FARTHEST_MM:.0f}: is its basis in another unit than its mean?"
            )


def unreadable(file: Path, error: Exception, what: str) -> BadModelFile:
    """The error for a file that is not even of its format."""
    reason = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
    return BadModelFile(f"{file}: cannot be read as {what} ({reason[:120]})")


def find_file(path: Path, *names: str) -> Path:
    """The file that `path` names, or that has one of `names` in the folder `path`, or below it.

    Raises:
        BadModelFile: there is none.
    """
    if path.is_dir():
        for name in names:
            if (path / name).is_file():
                return path / name
            if below := sorted(path.rglob(name)):
                return below[0]
        raise BadModelFile(f"{path}: has no {' or '.join(names)}; name the folder or file as published")
    if not path.is_file():
        raise BadModelFile(f"{path}: no such file or folder; name the model's file as you downloaded it")
    return path
