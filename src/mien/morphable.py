"""The morphable model: face code to vertices, albedo and landmarks. The same lines run on NumPy and torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array

from mien.errors import BadAsset
from mien.facecode import CodeLayout
from mien.image import srgb_to_linear

_LARGE = 10_000_000
"""Numbers of a basis from which reading them takes longer than anything that is done with them."""


@dataclass(frozen=True, eq=False)
class Refinement:
    """A fixed midpoint refinement: base mesh to detail mesh, a linear map of any per-vertex attribute.

    Attributes:
        levels: for each level (N_l, 2) int32, the two earlier vertices whose midpoint each new vertex is.
            New vertices are appended, so the base vertices keep their numbers.
        triangles: (T_detail, 3) int32, conforming (no T-junctions).
        part: (V_detail,) int32 part labels.
        mirror: (V_detail,) int32 left-right partner of each vertex.
    """

    levels: tuple[Any, ...]
    triangles: Any
    part: Any
    mirror: Any

    def __call__(self, attribute: Any) -> Any:
        """(..., V, C) attribute of the base mesh to (..., V_detail, C) of the detail mesh."""
        xp = array_namespace(attribute)
        for pairs in self.levels:
            midpoints = 0.5 * (attribute[..., pairs[:, 0], :] + attribute[..., pairs[:, 1], :])
            attribute = xp.concat([attribute, midpoints], axis=-2)
        return attribute


@dataclass(frozen=True, eq=False)
class Embedding:
    """Landmarks as barycentric points on the base mesh.

    Attributes:
        vertices: (L, 3) int32 base vertices.
        barycentric: (L, 3) float32 weights, each row sums to 1.
        contour: (C,) int32 numbers of the landmarks that lie on the occluding contour.
        contour_lines: (C, M) int32 candidate base vertices of each contour landmark, from the cheek outward;
            shorter lines repeat their last vertex.
    """

    vertices: Any
    barycentric: Any
    contour: Any
    contour_lines: Any

    def __call__(self, vertices: Any) -> Any:
        """(..., V, C) vertices, or any other attribute of the base mesh, to (..., L, C) landmarks."""
        xp = array_namespace(vertices)
        return xp.sum(vertices[..., self.vertices, :] * self.barycentric[:, :, None], axis=-2)


@dataclass(frozen=True, eq=False)
class Correspondence:
    """How a model lies on the default model: what lets codes and expressions cross from one to the other.

    Attributes:
        vertices: (N, 3) int32 base vertices of this model around the place of each of the default model's N.
        barycentric: (N, 3) float32 weights, each row sums to 1.
        weight: (N,) float32 in [0, 1], 0 where this model has no such place.
        from_arkit: (E, 52) float32, this model's coefficients at coefficient 1 of each ARKit action.
    """

    vertices: Any
    barycentric: Any
    weight: Any
    from_arkit: Any

    def __call__(self, attribute: Any) -> Any:
        """(..., V, C) attribute of this model's base mesh to (..., N, C) at the default model's vertices."""
        xp = array_namespace(attribute)
        return xp.sum(attribute[..., self.vertices, :] * self.barycentric[:, :, None], axis=-2)


@dataclass(frozen=True, eq=False)
class MorphableModel:
    """A linear model of heads. Frames, units and orders: docs/conventions.md.

    Attributes:
        name, version: as in `FaceCode.model`, joined by "/".
        identity_mean: (V, 3) mm, the mean head at rest.
        identity_components: (K, V, 3) mm per standard deviation.
        expression_components: (E, V, 3) mm at coefficient 1.
        expression_names: E names; ARKit's 52 for the default model.
        expression_bounds: lowest and highest coefficient; (0, 1) for ARKit, (-inf, inf) for PCA models.
        albedo_mean: (V_detail, 3); of log linear RGB if `albedo_is_log`, else of linear RGB.
        albedo_components: (A, V_detail, 3) per standard deviation, of the same quantity.
        albedo_is_log: whether albedo is the exponential of mean plus components.
        triangles: (T, 3) int32 of the base mesh.
        uv: (U, 2) float32 texture coordinates in [0, 1], v up (OpenGL's).
        uv_triangles: (T, 3) int32 rows of `uv` for each corner of `triangles`.
        part: (V,) int32 index into `part_names`.
        part_names: names of the labelled parts.
        mirror: (V,) int32 left-right partner of each vertex.
        refinement: base to detail mesh.
        landmarks478, landmarks68: MediaPipe's and iBUG's points.
        albedo_is_srgb: whether mean plus components is sRGB, as in the Basel models; never with
        `albedo_is_log`.
        correspondence: to the default model; None for the default model itself.
    """

    name: str
    version: str
    identity_mean: Any
    identity_components: Any
    expression_components: Any
    expression_names: tuple[str, ...]
    expression_bounds: tuple[float, float]
    albedo_mean: Any
    albedo_components: Any
    albedo_is_log: bool
    triangles: Any
    uv: Any
    uv_triangles: Any
    part: Any
    part_names: tuple[str, ...]
    mirror: Any
    refinement: Refinement
    landmarks478: Embedding
    landmarks68: Embedding
    albedo_is_srgb: bool = False
    correspondence: Correspondence | None = None

    @property
    def id(self) -> str:
        """Name and version, as codes carry them."""
        return f"{self.name}/{self.version}"

    @property
    def layout(self) -> CodeLayout:
        """Lengths of the parts of this model's codes."""
        return CodeLayout(
            self.identity_components.shape[0],
            self.expression_components.shape[0],
            self.albedo_components.shape[0],
        )

    def vertices(self, identity: Any, expression: Any) -> Any:
        """Base vertices of a head.

        Args:
            identity: (..., K) or fewer coefficients: the first k components are used.
            expression: (..., E) coefficients.

        Returns:
            (..., V, 3) millimetres, model frame.
        """
        return (
            self.identity_mean
            + self._sum(identity, "identity_components")
            + self._sum(expression, "expression_components")
        )

    def albedo(self, coefficients: Any) -> Any:
        """(..., A) coefficients to (..., V_detail, 3) linear RGB in [0, 1]."""
        xp = array_namespace(coefficients)
        value = self.albedo_mean + self._sum(coefficients, "albedo_components")
        if self.albedo_is_srgb and is_numpy_array(value):
            return _decoded(value)
        if self.albedo_is_srgb:
            return srgb_to_linear(xp.clip(value, 0.0, 1.0))
        return xp.clip(xp.exp(value) if self.albedo_is_log else value, 0.0, 1.0)

    def first(self, layout: CodeLayout) -> MorphableModel:
        """This model with the first components of each part alone, as its name says: `bfm2017:64,64,100`.

        Raises:
            ValueError: it has fewer.
        """
        counts = layout.identity, layout.expression, layout.albedo
        bases = ("identity_components", "expression_components", "albedo_components")
        for basis, count in zip(bases, counts, strict=True):
            if not 1 <= count <= len(getattr(self, basis)):
                has = f"{len(getattr(self, basis))} {basis.replace('_', ' ')}"
                raise ValueError(f"model {self.name} has {has}, {count} are asked for")
        parts: dict[str, Any] = {
            basis: getattr(self, basis)[:count].copy() for basis, count in zip(bases, counts, strict=True)
        }
        if self.correspondence is not None:
            from_arkit = self.correspondence.from_arkit[: layout.expression]
            parts["correspondence"] = replace(self.correspondence, from_arkit=from_arkit)
        return replace(
            self,
            name=f"{self.name}:{','.join(map(str, counts))}",
            expression_names=self.expression_names[: layout.expression],
            **parts,
        )

    def _sum(self, coefficients: Any, basis: str) -> Any:
        """(..., k) coefficients times the first k components of a basis."""
        components, count = getattr(self, basis), coefficients.shape[-1]
        if count > components.shape[0]:
            raise ValueError(f"{count} coefficients for a model with {components.shape[0]} components")
        if coefficients.ndim > 1 or not is_numpy_array(components) or components.size < _LARGE:
            return _combine(coefficients, components)
        from mien.morphable_kernel import combine

        scale, compact = _compact(self, basis)
        total = np.zeros(compact.shape[1], np.float32)
        combine(np.asarray(coefficients, np.float32) * scale[:count], compact, total)
        return total.reshape(components.shape[1:])

    def to(self, like: Any) -> MorphableModel:
        """This model with its arrays in the library and on the device of `like` (NumPy or torch)."""
        return _to(self, array_namespace(like), device(like))


def _decoded(srgb: np.ndarray) -> np.ndarray:
    """`srgb_to_linear` of numbers clipped to [0, 1], off by at most 4e-5: six times as fast."""
    steps = len(_decoding_table()) - 1
    return _decoding_table()[np.clip(srgb * steps + 0.5, 0, steps).astype(np.int32)]


@lru_cache(maxsize=1)
def _decoding_table() -> np.ndarray:
    return srgb_to_linear(np.linspace(0.0, 1.0, 1 << 15, dtype=np.float32))


def _combine(coefficients: Any, components: Any) -> Any:
    xp = array_namespace(coefficients)
    batch, shape = coefficients.shape[:-1], components.shape[1:]
    count = coefficients.shape[-1]
    rows = xp.reshape(coefficients, (math.prod(batch), count))
    columns = xp.reshape(components[:count], (count, math.prod(shape)))
    return xp.reshape(xp.matmul(rows, columns), (*batch, *shape))


@lru_cache(maxsize=6)
def _compact(model: MorphableModel, basis: str) -> tuple[np.ndarray, np.ndarray]:
    """(K,) scales and (K, N) int16 of a large basis, off by at most 1/65,534 of each component's largest."""
    components = getattr(model, basis)
    flat = components.reshape(len(components), -1)
    scale = np.maximum(np.abs(flat).max(axis=1), np.float32(1e-12)) / np.float32(32767)
    compact = np.empty(flat.shape, np.int16)
    for row, numbers, size in zip(compact, flat, scale, strict=True):
        row[:] = np.rint(numbers / size)
    return scale, compact


def _to(value: Any, xp: Any, where: Any) -> Any:
    if is_dataclass(value):
        return type(value)(**{f.name: _to(getattr(value, f.name), xp, where) for f in fields(value)})
    if isinstance(value, tuple) and value and not isinstance(value[0], str | float):
        return tuple(_to(item, xp, where) for item in value)
    if hasattr(value, "__array__"):
        return xp.asarray(np.asarray(value), device=where)
    return value


@lru_cache(maxsize=4)
def load_model(name: str = "anny") -> MorphableModel:
    """The model of that name, packaged or added by `mien models add`. Loaded once a process.

    `bfm2017:64,64,100` is the model bfm2017 with its first components alone, by `MorphableModel.first`.

    Raises:
        mien.errors.BadAsset: the file is missing or altered, no model has that name, or so many components.
    """
    from mien.model_files.store import read_named

    whole, _, counts = name.partition(":")
    model = read_named(whole)
    if not counts:
        return model
    try:
        return model.first(CodeLayout(*map(int, counts.split(","))))
    except (ValueError, TypeError) as error:
        raise BadAsset(
            f"{name}: {error}; name a model with at least as many components, as in bfm2017:64,64,100"
        ) from error
