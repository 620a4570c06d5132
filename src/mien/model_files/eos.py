"""The Surrey Face Model as eos keeps it: a cereal binary archive, read without the C++ library.

P. Huber et al., "A Multiresolution 3D Morphable Face Model and Fitting Framework", VISAPP 2016. Numbers are
little-endian: a matrix is int32 rows and columns and its float32 columns; a list a uint64 length and its
items; an optional a byte, 1 where it is empty; a variant the int32 number of its kind. Version 4 of
`MorphableModel`, checked against eos-py 1.5.0, is: uint32 version; PCAs of shape and of colour, each mean,
orthonormal basis, eigenvalues, triangles; optional expressions (0 a PCA, 1 a list of names and
displacements); optional names of vertices; texture coordinates (float64, v down); triangles of these.
Millimetres.

Checked against the file: its version, that it ends where the model does, shapes, the size of the face.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mien.errors import BadModelFile
from mien.model_files.published import (
    PublishedModel,
    check_size,
    checked,
    find_file,
    numbered,
    triangles_of,
    unreadable,
)

_VERSION = 4
_LONGEST = 1 << 24
"""Items of a list, or numbers of an axis: more are no face model."""


@dataclass
class _Archive:
    """The bytes of a file, and how far they are read."""

    file: Path
    data: bytes
    place: int = 0

    def take(self, form: str) -> Any:
        """The next number of a `struct` form."""
        return struct.unpack("<" + form, self.bytes(struct.calcsize("<" + form)))[0]

    def bytes(self, count: int) -> bytes:
        if self.place + count > len(self.data):
            raise BadModelFile(
                f"{self.file}: ends after {len(self.data):,} bytes, within an array; download it again"
            )
        self.place += count
        return self.data[self.place - count : self.place]

    def length(self, form: str = "Q") -> int:
        count = self.take(form)
        if not 0 <= count <= _LONGEST:
            raise BadModelFile(
                f"{self.file}: a list of {count} items at byte {self.place}; is it a file of eos's?"
            )
        return count

    def items(self, kind: str, columns: int) -> np.ndarray:
        """A list of rows."""
        count = self.length()
        rows = np.frombuffer(self.bytes(count * columns * np.dtype(kind).itemsize), kind)
        return rows.reshape(count, columns)

    def matrix(self) -> np.ndarray:
        rows, columns = self.length("i"), self.length("i")
        return np.frombuffer(self.bytes(4 * rows * columns), "<f4").reshape(columns, rows).T

    def text(self) -> str:
        return self.bytes(self.length()).decode("utf-8", "replace")

    def pca(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Mean (3 V, 1), basis (3 V, K), eigenvalues (K, 1), triangles (T, 3)."""
        return self.matrix(), self.matrix(), self.matrix(), self.items("<i4", 3)

    def blendshapes(self) -> list[tuple[str, np.ndarray]]:
        return [(self.text(), self.matrix()) for _ in range(self.length())]

    def finish(self) -> None:
        if self.place != len(self.data):
            raise BadModelFile(
                f"{self.file}: has {len(self.data) - self.place:,} bytes after the end of the model; "
                "its version is another than said"
            )


def read_surrey(path: Path) -> PublishedModel:
    """The model in a folder with `sfm_shape_3448.bin` and `expression_blendshapes_3448.bin`.

    Raises:
        BadModelFile: a file is missing, truncated, of another version, or an array is not as expected.
    """
    file = find_file(path, "sfm_shape_3448.bin")
    archive = _open(file)
    if (version := archive.take("I")) != _VERSION:
        raise BadModelFile(
            f"{file}: is of version {version} of eos's format, expected {_VERSION}; load and save it "
            "with eos-py 1.5 (eos.morphablemodel.load_model and save_model)"
        )
    shape, colour = archive.pca(), archive.pca()
    expressions: list[tuple[str, np.ndarray]] = []
    statistics = None
    if not archive.take("B"):
        if archive.take("i") == 0:
            statistics = archive.pca()
        else:
            expressions = archive.blendshapes()
    if not archive.take("B"):
        for _ in range(archive.length()):
            archive.text(), archive.take("i")
    uv, uv_triangles = archive.items("<f8", 2), archive.items("<i4", 3)
    archive.finish()
    if not expressions and statistics is None:
        beside = _open(find_file(file.parent, "expression_blendshapes_3448.bin"))
        expressions = beside.blendshapes()
        beside.finish()

    mean, identity = _statistics(file, "the shape model", shape)
    check_size(file, "the shape model's mean", mean, "millimetres")
    triangles = triangles_of(file, "the triangle list", shape[3], mean)
    if statistics is not None:
        shift, expression = _statistics(file, "the expression model", statistics, len(mean))
        mean, names, bounds = mean + shift, numbered("expression", len(expression)), (-np.inf, np.inf)
    else:
        expression = np.stack(
            [checked(file, f"blendshape {n}", d, 3 * len(mean), 1, dtype=np.float32) for n, d in expressions]
        ).reshape(len(expressions), -1, 3)
        names, bounds = tuple(name for name, _ in expressions), (0.0, 1.0)
    coloured = colour[0].size > 0
    tone, albedo = _statistics(file, "the colour model", colour, len(mean)) if coloured else (None, None)
    if coloured and tone.max() > 2.0:
        tone, albedo = tone / 255.0, albedo / np.float32(255.0)
    has_uv = len(uv) > 0
    rows = uv_triangles if len(uv_triangles) else shape[3]
    if has_uv and (rows.shape != triangles.shape or rows.min() < 0 or rows.max() >= len(uv)):
        raise BadModelFile(f"{file}: texture triangles {rows.shape} do not fit {len(uv)} texture coordinates")
    turned = bool((triangles[0] != shape[3][0]).any())
    return PublishedModel(
        mean=mean,
        identity=identity,
        expression=expression,
        expression_names=names,
        expression_bounds=bounds,
        triangles=triangles,
        part=np.zeros(len(mean), np.int32),
        part_names=("skin",),
        albedo_mean=None if tone is None else tone.astype(np.float32),
        albedo=albedo,
        uv=np.c_[uv[:, 0], 1.0 - uv[:, 1]].astype(np.float32) if has_uv else None,
        uv_triangles=np.ascontiguousarray(rows[:, ::-1] if turned else rows, np.int32) if has_uv else None,
    )


def _open(file: Path) -> _Archive:
    try:
        return _Archive(file, file.read_bytes())
    except OSError as error:
        raise unreadable(file, error, "a file of eos's") from error


def _statistics(
    file: Path, name: str, pca: tuple, vertices: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(V, 3) mean and (K, V, 3) float32 components, one standard deviation each."""
    size = "3 V" if vertices is None else 3 * vertices
    mean = checked(file, f"{name}'s mean", pca[0], size, 1)
    basis = checked(file, f"{name}'s basis", pca[1], len(mean), "K", dtype=np.float32)
    variance = checked(file, f"{name}'s eigenvalues", pca[2], basis.shape[1], 1)
    if len(mean) % 3 or variance.min() < 0:
        raise BadModelFile(f"{file}: {name} has {len(mean)} numbers and variances from {variance.min():.3g}")
    components = (basis * np.sqrt(variance[:, 0], dtype=np.float32)).T
    return mean.reshape(-1, 3), np.ascontiguousarray(components, np.float32).reshape(len(variance), -1, 3)
