"""A posed and lit head in the picture, and what its surface is: skin, eyes, or the mouth's inside."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mien.camera import Camera, project, rotate, rotation_matrix, to_camera
from mien.composite.warp import step
from mien.facecode import FaceCode
from mien.lighting import shading
from mien.mesh import vertex_normals
from mien.morphable import MorphableModel
from mien.raster import rasterize

SKIN, EYES, MOUTH = range(3)
REACH_MM = 50.0
"""How far around the head the photograph moves along."""

_NECK_MM = -165.0, -115.0  # heights between which the neck follows a turning head
_DARKEST_SHARE = 0.12  # of the mean light; darker shades are not told apart


@dataclass(eq=False)
class Head:
    """A head as a camera sees it.

    Attributes:
        points: (V, 3) x_px, y_px, depth_mm of the base mesh.
        facing: (V,) cosine between normal and direction to the camera.
        log_light: (V, 3) logarithm of the shading.
        log_albedo: (V_detail, 3) logarithm of linear RGB.
        px_per_mm: at the head's middle.
    """

    points: np.ndarray
    facing: np.ndarray
    log_light: np.ndarray
    log_albedo: np.ndarray
    px_per_mm: float

    @classmethod
    def of(
        cls, model: MorphableModel, code: FaceCode, camera: Camera, neck_of: FaceCode | None = None
    ) -> Head:
        """The head of a code; its neck ends where that of `neck_of` does, as the shoulders stay."""
        code = FaceCode.from_vector(code.to_vector().astype(np.float32), code.layout, code.model)
        vertices = model.vertices(code.identity, code.expression)
        points = to_camera(vertices, code.rotation, code.translation)
        if neck_of is not None:
            pose = neck_of.rotation.astype(np.float32), neck_of.translation.astype(np.float32)
            follows = step(np.asarray(model.identity_mean)[:, 1:2], *_NECK_MM)
            points = follows * points + (1 - follows) * to_camera(vertices, *pose)
        normals = rotate(vertex_normals(vertices, model.triangles), code.rotation)
        away = points / np.linalg.norm(points, axis=1, keepdims=True)
        light = shading(normals, code.illumination)
        albedo = model.albedo(code.albedo)
        return cls(
            points=project(points, camera).astype(np.float32),
            facing=-(normals * [1, -1, -1] * away).sum(axis=1),
            log_light=np.log(np.maximum(light, max(_DARKEST_SHARE * light.mean(), 1e-4))),
            log_albedo=np.log(np.maximum(albedo, 1e-3)),
            px_per_mm=float(code.focal_px / code.translation[2]),
        )


@dataclass(frozen=True, eq=False)
class Surface:
    """The detail mesh of a model.

    Attributes:
        triangles: (T, 3) int32.
        kind: (T,) int8, `SKIN`, `EYES` or `MOUTH`.
        part: (T,) int32 part of the model.
        rest: (V_detail, 3) millimetres of the mean head at rest.
    """

    triangles: np.ndarray
    kind: np.ndarray
    part: np.ndarray
    rest: np.ndarray


@lru_cache(maxsize=4)
def surface_of(model: MorphableModel) -> Surface:
    """The surface of a model, its skin parted into the face's and the mouth's inside."""
    triangles = np.ascontiguousarray(model.refinement.triangles, np.int32)
    part = np.asarray(model.refinement.part)[triangles[:, 0]]
    inner = model.refinement(_cavity(model).astype(np.float32)[:, None])[:, 0]
    name = np.array(model.part_names)[part]
    kind = np.where(np.char.startswith(name, "eye"), EYES, np.where(name == "skin", SKIN, MOUTH))
    kind[(name == "skin") & (inner[triangles].min(axis=1) > 0.5)] = MOUTH
    return Surface(triangles, kind.astype(np.int8), part, model.refinement(np.asarray(model.identity_mean)))


def vertices_of(model: MorphableModel, part: str) -> np.ndarray:
    """(V,) bool: the base vertices of a part; none where the model has no such part."""
    return np.array(model.part_names)[np.asarray(model.part)] == part


def _cavity(model: MorphableModel) -> np.ndarray:
    """(V,) bool: the skin of the mouth's inside: what of a closed mouth nobody sees from anywhere."""
    head = np.asarray(model.identity_mean, np.float32)
    teeth = head[vertices_of(model, "teeth_upper") | vertices_of(model, "teeth_lower")]
    if not len(teeth):
        return np.zeros(len(head), bool)
    seen = np.zeros(len(head), bool)
    for pitch in np.linspace(-1.3, 1.3, 7):
        for yaw in np.linspace(-1.2, 1.2, 7):
            turn = rotation_matrix(np.array([pitch, 0.0, 0.0])) @ rotation_matrix(np.array([0.0, yaw, 0.0]))
            x, y, z = (head @ turn.T.astype(np.float32)).T
            points = np.stack([4 * x + 600, 600 - 4 * y, 1000 - z], axis=-1)
            triangle = rasterize(points, model.triangles, 1200, 1200).triangle
            seen[model.triangles[np.unique(triangle[triangle >= 0])]] = True
    near = (head > teeth.min(axis=0) - [8, 30, 200]) & (head < teeth.max(axis=0) + [8, 10, 8])
    return ~seen & near.all(axis=1) & vertices_of(model, "skin")
