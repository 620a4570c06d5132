"""Face code to picture: mesh, camera and light in; image, mask, depth and normals out. NumPy and torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, reduce
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array, is_torch_array

from mien.camera import Camera, project, rotate, to_camera
from mien.facecode import FaceCode
from mien.image import linear_to_srgb, srgb_to_linear, to_uint8
from mien.lighting import shading
from mien.mesh import incident_triangles, normalize, vertex_normals
from mien.morphable import MorphableModel
from mien.raster import Fragments, barycentric, interpolate, rasterize


@dataclass(frozen=True, eq=False)
class Rendering:
    """A picture of a face, and what is known about each of its pixels.

    Attributes:
        fragments: what each sample sees, (..., H s, W s) of them.
        radiance: (..., V, 3) linear RGB of the vertices of the mesh drawn.
        vertex_normals: (..., V, 3) of the mesh drawn, light frame.
        triangles: (T, 3) int32 of the mesh drawn.
        supersample: samples s of a pixel along each axis.
        background: (..., H, W, 3) or (3,), sRGB in [0, 1].
    """

    fragments: Fragments
    radiance: Any
    vertex_normals: Any
    triangles: Any
    supersample: int
    background: Any

    @cached_property
    def image(self) -> Any:
        """(..., H, W, 3) sRGB in [0, 1]."""
        xp = array_namespace(self.radiance)
        seen = interpolate(self.radiance, self.triangles, self.fragments)
        if self.supersample == 1:
            covered = (self.fragments.triangle >= 0)[..., None]
            return xp.where(covered, linear_to_srgb(xp.where(seen < 1, seen, 1.0)), self.background)
        share = _coverage(self.fragments, self.supersample, seen.dtype)[..., None]
        mixed = _mean_of_samples(seen, self.supersample) + (1 - share) * srgb_to_linear(self.background)
        return linear_to_srgb(xp.where(mixed < 1, mixed, 1.0))

    @cached_property
    def image_uint8(self) -> Any:
        """(..., H, W, 3) uint8 sRGB: `image` in bytes, rounded to the nearest or the one beside it.

        With NumPy ten times as fast as `image`, which it does not need.
        """
        xp = array_namespace(self.radiance)
        if is_numpy_array(self.radiance) and self.radiance.dtype == np.float32:
            return self._encoded()
        return xp.astype(xp.round(255 * xp.clip(self.image, 0.0, 1.0)), xp.uint8)

    @cached_property
    def mask(self) -> Any:
        """(..., H, W) share of the pixel that the face covers, in [0, 1]."""
        return _coverage(self.fragments, self.supersample, self.radiance.dtype)

    @cached_property
    def depth(self) -> Any:
        """(..., H, W) float32 millimetres along the optical axis to the nearest sample; inf where empty."""
        xp = array_namespace(self.radiance)
        return reduce(xp.minimum, _samples(self.fragments.depth[..., None], self.supersample))[..., 0]

    @cached_property
    def normals(self) -> Any:
        """(..., H, W, 3) unit vectors in the light frame; 0 where empty."""
        seen = normalize(interpolate(self.vertex_normals, self.triangles, self.fragments))
        return seen if self.supersample == 1 else normalize(_mean_of_samples(seen, self.supersample))

    def _encoded(self) -> np.ndarray:
        from mien.render_kernel import encode_pictures

        triangle = self.fragments.triangle
        *batch, height, width = *triangle.shape[:-2], *(n // self.supersample for n in triangle.shape[-2:])
        count, vertices = math.prod(batch), self.radiance.shape[-2]
        out = np.empty((*batch, height, width, 3), np.uint8)
        radiance = np.broadcast_to(self.radiance, (*batch, vertices, 3)).reshape(count, vertices, 3)
        encode_pictures(
            np.ascontiguousarray(radiance),
            np.ascontiguousarray(self.triangles, np.int32).reshape(-1),
            triangle.reshape(count, *triangle.shape[-2:]),
            self.fragments.barycentric.reshape(count, *triangle.shape[-2:], 3),
            np.broadcast_to(to_uint8(self.background), out.shape).reshape(count, height, width, 3),
            *_srgb_tables(),
            out.reshape(count, height, width, 3),
        )
        return out


def render(
    model: MorphableModel,
    code: FaceCode,
    image_size: tuple[int, int],
    principal_px: Any = None,
    *,
    detail: bool = True,
    supersample: int = 1,
    albedo: Any = None,
    illumination: Any = None,
    background: Any = None,
) -> Rendering:
    """The picture that a face code means. Differentiable in every part of the code (torch).

    Args:
        model: with its arrays in the library and on the device of the code (`model.to(code.identity)`).
        code: one face or a batch of them.
        image_size: width and height in pixels.
        principal_px: (..., 2); the picture's centre if not given.
        detail: draw the detail mesh; otherwise the base mesh, which is faster.
        supersample: samples per pixel along each axis.
        albedo: (..., V_detail, 3) linear RGB to use in place of the code's.
        illumination: (..., 9, 3) to use in place of the code's.
        background: (..., H, W, 3) or (3,), sRGB in [0, 1]; black if not given.

    Raises:
        ValueError: the code belongs to another model.
    """
    if code.model != model.id:
        raise ValueError(f"the code belongs to model {code.model}, not to {model.id}")
    if not detail:
        model = base_only(model)
    vertices = model.vertices(code.identity, code.expression)
    normals = vertex_normals(vertices, model.triangles, incidence(model))
    albedo = model.albedo(code.albedo) if albedo is None else albedo
    triangles = model.triangles
    if detail:
        triangles = model.refinement.triangles
        vertices, normals = model.refinement(vertices), normalize(model.refinement(normals))
    else:
        albedo = albedo[..., : vertices.shape[-2], :]
    xp = array_namespace(vertices)
    if principal_px is None:
        principal_px = xp.asarray([s / 2 for s in image_size], dtype=vertices.dtype, device=device(vertices))
    return render_mesh(
        to_camera(vertices, code.rotation, code.translation),
        rotate(normals, code.rotation),
        albedo,
        triangles,
        Camera(code.focal_px, principal_px, image_size),
        code.illumination if illumination is None else illumination,
        supersample=supersample,
        background=background,
    )


def render_mesh(
    points_camera: Any,
    normals: Any,
    albedo: Any,
    triangles: Any,
    camera: Camera,
    illumination: Any,
    *,
    supersample: int = 1,
    background: Any = None,
) -> Rendering:
    """The picture of any coloured mesh: `render` below the level of the model.

    Light falls on the vertices and their radiance is interpolated: harmonics of degree two bend too little
    within a triangle for more to be seen.

    Args:
        points_camera: (..., V, 3) millimetres, camera frame.
        normals: (..., V, 3) unit vectors, light frame.
        albedo: (..., V, 3) linear RGB, or (3,) for one colour.
        triangles: (T, 3) int32.
        camera: the picture's size and projection.
        illumination: (..., 9, 3).
        supersample: samples per pixel along each axis; their mean is taken in linear light.
        background: (..., H, W, 3) or (3,), sRGB in [0, 1]; black if not given.
    """
    xp = array_namespace(points_camera)
    width, height = camera.image_size
    points = project(points_camera, camera)
    points = xp.concat([points[..., :2] * supersample, points[..., 2:]], axis=-1)
    fragments = rasterize(points, triangles, height * supersample, width * supersample)
    if is_torch_array(points) and points.requires_grad:
        weights = barycentric(points, triangles, fragments)
        fragments = Fragments(fragments.triangle, weights, fragments.depth)
    radiance = xp.asarray(albedo, device=device(points)) * shading(normals, illumination)
    radiance = xp.astype(radiance, points.dtype, copy=False)
    behind = [0.0, 0.0, 0.0] if background is None else background
    behind = xp.asarray(behind, dtype=points.dtype, device=device(points))
    return Rendering(fragments, radiance, normals, triangles, supersample, behind)


@lru_cache(maxsize=8)
def base_only(model: MorphableModel) -> MorphableModel:
    """The model with the albedo of its base vertices alone, which come first."""
    count = model.identity_mean.shape[0]
    return replace(
        model,
        albedo_mean=model.albedo_mean[:count],
        albedo_components=array_namespace(model.albedo_components).asarray(
            model.albedo_components[:, :count], copy=True
        ),
    )


@lru_cache(maxsize=8)
def incidence(model: MorphableModel) -> Any:
    """(V, D) int32 `incident_triangles` of the base mesh, in the model's library and on its device."""
    xp = array_namespace(model.triangles)
    table = incident_triangles(_host(model.triangles), model.identity_mean.shape[0])
    return xp.asarray(table, device=device(model.triangles))


@lru_cache(maxsize=1)
def _srgb_tables() -> tuple[np.ndarray, np.ndarray]:
    """sRGB bytes of 4,096 linear values from 0 to 1, never a whole byte apart; linear values of 256 bytes."""
    linear, encoded = np.linspace(0, 1, 4096), np.linspace(0, 1, 256, dtype=np.float32)
    return to_uint8(linear_to_srgb(linear)), srgb_to_linear(encoded)


def _host(array: Any) -> Any:
    return array.cpu().numpy() if is_torch_array(array) else array


def _samples(picture: Any, supersample: int) -> list[Any]:
    """(..., H s, W s, C) to s² pictures (..., H, W, C), one for each place in the pixel."""
    s = supersample
    return [picture[..., i::s, j::s, :] for i in range(s) for j in range(s)]


def _coverage(fragments: Fragments, supersample: int, dtype: Any) -> Any:
    xp = array_namespace(fragments.triangle)
    covered = xp.astype(fragments.triangle >= 0, dtype)
    return _mean_of_samples(covered[..., None], supersample)[..., 0]


def _mean_of_samples(picture: Any, supersample: int) -> Any:
    samples = _samples(picture, supersample)
    return picture if supersample == 1 else sum(samples[1:], samples[0]) / supersample**2
