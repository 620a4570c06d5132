"""From a published model to one of mien's: aligned, in correspondence, with landmarks, colours and layout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mien.adoption.deformation import basis_coefficients, transfer_deformation
from mien.adoption.landmarks import VIEWS, detect_on_head, seen_squarely
from mien.adoption.registration import Registration, register
from mien.adoption.surface_layout import cylindrical_layout, default_albedo, mirror_of
from mien.adoption.views import View
from mien.errors import BadModelFile
from mien.image import srgb_to_linear
from mien.mesh import vertex_normals
from mien.model_files.published import PublishedModel
from mien.morphable import Correspondence, Embedding, MorphableModel, Refinement
from mien.surface import closest_points, similarity

if TYPE_CHECKING:
    from mien.detect import Detector

_PLAIN = np.array([0.42, 0.26, 0.20], np.float32)
"""Linear RGB of a face that has no colours yet."""
_SCALE = (0.75, 1.33)
"""Of a face against the default one; beyond, its unit is another."""
_TURN_DEGREES = 30.0
"""How far a mean face may be turned from looking along +z."""
_FIRST_LOOK = 1.2, 1.7
"""Sides of the first pictures in sizes of the mean: a face alone needs room, one with shoulders nearness."""
_LANDMARKS_MM, _SURFACE_MM = 6.0, 1.0
"""Greatest medians of the registration's residuals."""


@dataclass(frozen=True)
class Adopted:
    """A model made mien's, and how well its correspondence fits.

    Attributes:
        model: the model.
        landmarks_mm: median distance between MediaPipe's points detected on it and the default model's ones
            carried over.
        surface_mm: median distance of the default model's face laid on it, from its surface.
        expression_mm: root of mean square of what its expressions miss of ARKit's actions, and
            arkit_mm: of these themselves; both over the face.
    """

    model: MorphableModel
    landmarks_mm: float
    surface_mm: float
    expression_mm: float
    arkit_mm: float


def adopt(published: PublishedModel, name: str, default: MorphableModel, detector: Detector) -> Adopted:
    """Makes a published model usable by every command.

    Args:
        published: the model as its file has it.
        name: it is to have.
        default: the model whose landmarks, expressions and, where it has none, colours it takes over.
        detector: that looks at pictures of it.

    Raises:
        BadModelFile: no face is seen in it, or the default model cannot be laid on it.
    """
    colour = published.albedo_mean
    colour = (
        np.tile(_PLAIN, (len(published.mean), 1)) if colour is None else srgb_to_linear(np.clip(colour, 0, 1))
    )
    published, registration, landmarks = _laid(published, name, default, detector, colour)
    if published.albedo_mean is None:
        mean, components = default_albedo(
            default, registration, published.mean, published.part, published.part_names
        )
        published, registration, landmarks = _laid(published, name, default, detector, np.exp(mean))
        mean, components = default_albedo(
            default, registration, published.mean, published.part, published.part_names
        )
    else:
        mean, components = published.albedo_mean, published.albedo
    uv, uv_triangles = published.uv, published.uv_triangles
    if uv is None:
        uv, uv_triangles = cylindrical_layout(
            published.mean, published.triangles, published.part, len(published.part_names)
        )
    landmarks478 = _embedding(default.landmarks478, registration, default, published)
    mirror = mirror_of(published.mean, published.part, published.part_names)
    wanted = transfer_deformation(
        default.identity_mean.astype(np.float64), default.expression_components, registration.vertices,
        default.triangles,
    )  # fmt: skip
    correspondence = Correspondence(
        vertices=registration.on.vertices.astype(np.int32),
        barycentric=registration.on.barycentric.astype(np.float32),
        weight=registration.weight.astype(np.float32),
        from_arkit=np.zeros(0),
    )
    basis = correspondence(published.expression)
    from_arkit = published.from_arkit
    if from_arkit is None:
        from_arkit = basis_coefficients(wanted, basis, registration.weight)
    missed = wanted - np.tensordot(from_arkit.T, basis, 1)
    model = MorphableModel(
        name=name,
        version="1",
        identity_mean=published.mean.astype(np.float32),
        identity_components=published.identity,
        expression_components=published.expression,
        expression_names=published.expression_names,
        expression_bounds=published.expression_bounds,
        albedo_mean=mean,
        albedo_components=components,
        albedo_is_log=published.albedo_mean is None,
        albedo_is_srgb=published.albedo_mean is not None,
        triangles=published.triangles,
        uv=uv,
        uv_triangles=uv_triangles,
        part=published.part,
        part_names=published.part_names,
        mirror=mirror,
        refinement=Refinement((), published.triangles, published.part, mirror),
        landmarks478=landmarks478,
        landmarks68=_embedding(default.landmarks68, registration, default, published),
        correspondence=replace(correspondence, from_arkit=from_arkit.astype(np.float32)),
    )
    carried = landmarks478(published.mean)
    face = registration.weight > 0
    result = Adopted(
        model,
        landmarks_mm=float(np.median(np.linalg.norm(carried - landmarks, axis=1))),
        surface_mm=float(np.median(registration.on.distance[face])),
        expression_mm=_spread(missed[:, face]),
        arkit_mm=_spread(wanted[:, face]),
    )
    if result.landmarks_mm > _LANDMARKS_MM or result.surface_mm > _SURFACE_MM:
        raise BadModelFile(
            f"{name}: the default model's face lies {result.surface_mm:.1f} mm from this one, its landmarks "
            f"{result.landmarks_mm:.1f} mm from where they are seen (medians, at most {_SURFACE_MM:.0f} and "
            f"{_LANDMARKS_MM:.0f}): is it a human face, whole from chin to brows?"
        )
    return result


def _laid(
    published: PublishedModel, name: str, default: MorphableModel, detector: Detector, colour: np.ndarray
) -> tuple[PublishedModel, Registration, np.ndarray]:
    """The model moved onto the default model, the latter laid on it, and (478, 3) the detected landmarks."""
    low, high = published.mean.min(axis=0), published.mean.max(axis=0)
    size = (high - low)[:2].max()
    whole = [View(width_mm=share * size, centre_mm=tuple(0.5 * (low + high))) for share in _FIRST_LOOK]
    try:
        first = detect_on_head(published.mean, published.triangles, colour, detector, whole, 1)
        published = _aligned(published, name, default, first)
        landmarks = detect_on_head(published.mean, published.triangles, colour, detector, VIEWS)
    except RuntimeError as error:
        raise BadModelFile(
            f"{name}: no face is seen in pictures of its mean, so its layout is not as published: "
            "expected x to the subject's left, y up and z out of the face"
        ) from error
    skin = published.part == 0
    return published, register(default, landmarks, published.mean, published.triangles, skin), landmarks


def _aligned(
    published: PublishedModel, name: str, default: MorphableModel, landmarks: np.ndarray
) -> PublishedModel:
    """The model moved, not scaled, so that its landmarks (478, 3) lie on the default model's."""
    squarely = seen_squarely(default)
    own = default.landmarks478(default.identity_mean.astype(np.float64))
    scale, rotation, shift = similarity(landmarks[squarely], own[squarely])
    angle = np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))
    if not _SCALE[0] < 1 / scale < _SCALE[1] or angle > _TURN_DEGREES:
        raise BadModelFile(
            f"{name}: its mean face is {1 / scale:.3g} times as large as the default one and turned by "
            f"{angle:.0f} degrees; its unit or its axes are not as published"
        )
    turned = rotation.astype(np.float32).T
    return replace(
        published,
        mean=published.mean @ rotation.T + shift / scale,
        identity=published.identity @ turned,
        expression=published.expression @ turned,
    )


def _embedding(
    own: Embedding, registration: Registration, default: MorphableModel, published: PublishedModel
) -> Embedding:
    """The default model's landmarks where the other one's surface is nearest and faces the same way."""
    laid = registration.vertices
    points = own(laid)
    normals = own(vertex_normals(laid.astype(np.float32), default.triangles))
    corner_part = default.part[own.vertices[:, 0]]
    vertices, weights = np.zeros((len(points), 3), np.int32), np.zeros((len(points), 3), np.float32)
    for number in np.unique(corner_part):
        here = corner_part == number
        name = default.part_names[number]
        there = published.part == (published.part_names.index(name) if name in published.part_names else 0)
        triangles = published.triangles[there[published.triangles].all(axis=1)]
        facing = normals[here] / np.linalg.norm(normals[here], axis=1, keepdims=True)
        on = closest_points(points[here], published.mean, triangles, facing, 0.2)
        lost = ~np.isfinite(on.distance)
        near = closest_points(points[here], published.mean, triangles)
        vertices[here] = np.where(lost[:, None], near.vertices, on.vertices)
        weights[here] = np.where(lost[:, None], near.barycentric, on.barycentric)
    lines = registration.on.vertices[np.arange(len(laid)), registration.on.barycentric.argmax(axis=1)][
        own.contour_lines
    ]
    return Embedding(vertices, weights, own.contour.astype(np.int32), lines.astype(np.int32))


def _spread(displacements: np.ndarray) -> float:
    """Root of mean square length of displacements (..., 3)."""
    return float(np.sqrt((displacements**2).sum(axis=-1).mean()))
