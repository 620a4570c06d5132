"""Photo to texture: the picture's own pixels where they show the face, elsewhere what matches them.

Everything is done on the logarithm of the ratio between the photo and the model's own reconstruction. The
ratio has no light in it, so it can be mirrored to the unseen side; it is zero where nothing is known, so that
the model's colours are the last resort; and it splits into a smooth part, spread over the whole surface, and
details.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.linalg import splu

from mien.camera import Camera, project, rotate, to_camera
from mien.facecode import FaceCode
from mien.image import linear_to_srgb, srgb_to_linear
from mien.lighting import shading
from mien.mesh import vertex_normals
from mien.morphable import MorphableModel
from mien.raster import NEAR_MM, rasterize

_DARKEST = 1e-3  # linear light below which colours are one, so that their logarithms stay bounded
_GRAZING = 0.15  # cosine between normal and view at which the photo says nothing any more
_SHELTER = math.log(
    0.6
)  # how much less light reaches eyes and teeth than the fit, which has no shadows, says
_STEPS = 4096  # of tables


def project_texture(
    model: MorphableModel,
    code: FaceCode,
    image: np.ndarray,
    camera: Camera,
    size: int = 1024,
    mode: Literal["photo", "albedo"] = "photo",
) -> np.ndarray:
    """The colours of a face in the layout of the model's texture coordinates.

    Args:
        model: the morphable model, NumPy.
        code: the face in the picture (no batch axes).
        image: (H, W, 3) float, sRGB in [0, 1].
        camera: the picture's.
        size: of the texture in texels.
        mode: "photo" keeps the photo's light in the colours, "albedo" divides the fitted light out.

    Returns:
        (size, size, 3) float32, sRGB in [0, 1]; the first row is at v = 1. Texels outside the layout have the
        colour of the nearest one inside.
    """
    from mien.texture_kernel import complete

    layout = _layout(model, size)
    code = FaceCode.from_vector(code.to_vector().astype(np.float32), code.layout, code.model)
    vertices = model.vertices(code.identity, code.expression)
    normals = rotate(vertex_normals(vertices, model.triangles), code.rotation)
    log_light = _log_light(shading(normals, code.illumination), mode)
    log_light += _SHELTER * layout.regions.sheltered[:, None]
    log_albedo = np.log(np.maximum(model.albedo(code.albedo), _DARKEST))
    base = layout.on_detail(log_albedo)
    lit = layout.on_base(log_light)

    points = to_camera(vertices, code.rotation, code.translation)
    ratio, seen = _sample(model, layout, points, normals, image, camera)
    ratio -= base
    ratio -= lit
    if mode == "photo":
        base += lit
    else:
        ratio = np.minimum(ratio, 0.35 * np.tanh(ratio / 0.35))  # a highlight is no skin colour
    seen = layout.feathered(seen)
    spread = layout.on_base(_spread(layout, ratio, seen))
    seen *= spread[:, 3]
    complete(layout.mirrored_px, layout.number, ratio, spread, seen, base)
    return layout.picture(base)


def albedo_texture(model: MorphableModel, code: FaceCode, size: int = 1024) -> np.ndarray:
    """The model's own colours of a face in the layout of `project_texture`, for where there is no photo."""
    layout = _layout(model, size)
    log_albedo = np.log(np.maximum(model.albedo(code.albedo), _DARKEST))
    return layout.picture(layout.on_detail(log_albedo))


def _log_light(light: np.ndarray, mode: str) -> np.ndarray:
    """(V, 3) logarithm of the fitted light, held within what a photo's light does.

    On surfaces that the fit did not see, spherical harmonics run wild; in a texture that keeps its light they
    would paint them black or purple.
    """
    log_light = np.log(np.maximum(light, _DARKEST))
    middle = np.median(log_light, axis=0)
    strength = (log_light - middle).mean(axis=1, keepdims=True)
    tint = log_light - middle - strength
    limit, kept = (0.6, 0.3) if mode == "photo" else (1.2, 1.0)
    return middle + limit * np.tanh(strength / limit) + kept * np.tanh(tint)


def _sample(
    model: MorphableModel,
    layout: _Layout,
    points: np.ndarray,
    normals: np.ndarray,
    image: np.ndarray,
    camera: Camera,
) -> tuple[np.ndarray, np.ndarray]:
    """Log linear colour of the photo at each texel (N, 3), and how well it is seen (N,), 0 to 1."""
    from mien.texture_kernel import sample

    away = points / np.linalg.norm(points, axis=1, keepdims=True)
    facing = -(normals * [1, -1, -1] * away).sum(axis=1)
    picture, scale, corner = _crop(model, layout, points, facing, image, camera)
    focal = camera.focal_px * scale
    principal = (np.asarray(camera.principal_px) - corner) * scale
    height, width = picture.shape[:2]
    crop = Camera(focal, principal, (width, height))
    fragments = rasterize(project(points, crop), model.triangles, height, width)
    part = np.append(layout.part, np.int32(-1))[fragments.triangle]
    # what lies near an occluder's edge is occluded
    depth = cv2.erode(fragments.depth, np.ones((3, 3), np.uint8))
    count = len(layout.triangle)
    colour, seen = np.empty((count, 3), np.float32), np.empty(count, np.float32)
    intrinsics = np.array([focal, *principal], np.float32)
    surface = layout.on_base(np.concatenate([points, facing[:, None]], axis=1))
    sample(surface, layout.texel_part, intrinsics, picture, depth, part, _GRAZING, colour, seen)
    return colour, seen


def _crop(
    model: MorphableModel,
    layout: _Layout,
    points: np.ndarray,
    facing: np.ndarray,
    image: np.ndarray,
    camera: Camera,
) -> tuple[np.ndarray, float, np.ndarray]:
    """The head's part of the photo at about the texture's resolution, log linear; its scale and corner."""
    xy = camera.focal_px * points[:, :2] / points[:, 2:] + np.asarray(camera.principal_px)
    height, width = image.shape[:2]
    low = np.clip(np.floor(xy.min(axis=0)).astype(int) - 2, 0, [width - 2, height - 2])
    high = np.clip(np.ceil(xy.max(axis=0)).astype(int) + 3, low + 2, [width, height])
    crop = image[low[1] : high[1], low[0] : high[0]]
    corners = xy[model.triangles[facing[model.triangles].min(axis=1) > 0.6]]
    across = corners[:, 1:] - corners[:, :1]
    pixels = np.abs(np.linalg.det(across)).sum() / 2
    texels = layout.texels_of[facing[model.triangles].min(axis=1) > 0.6].sum()
    scale = min(1.0, 1.2 * math.sqrt(texels / max(pixels, 1.0)))
    if scale < 1.0:
        shape = np.maximum(np.rint(np.array(crop.shape[1::-1]) * scale), 2).astype(int)
        crop = cv2.resize(crop, tuple(int(n) for n in shape), interpolation=cv2.INTER_AREA)
    steps = np.clip(crop * (_STEPS - 1) + 0.5, 0, _STEPS - 1).astype(np.int32)
    return _log_linear_table()[steps], scale, low


@lru_cache(maxsize=1)
def _log_linear_table() -> np.ndarray:
    srgb = np.linspace(0.0, 1.0, _STEPS)
    return np.log(np.maximum(srgb_to_linear(srgb), _DARKEST)).astype(np.float32)


def _spread(layout: _Layout, ratio: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """At every base vertex the smooth part of the ratio, and how far the photo is to be trusted: (V, 4).

    The smooth part is a membrane over the mesh: close to the photo where it is seen, to the mirrored side
    where only that is, and as flat as possible between.
    """
    total, weight = layout.gather(ratio, seen)
    mean = total / np.maximum(weight, 1e-6)[:, None]
    seen_share = np.minimum(weight / layout.texels_at, 1.0)
    tone = _skin_tone(layout, mean, seen_share)
    trust = _trust(layout, mean - tone)
    own = seen_share * trust
    mirrored = 0.3 * (1 - own) * own[layout.mirror]
    sheltered = layout.regions.sheltered
    expected = np.where(sheltered[:, None], tone.mean(), tone)
    drawn = 0.05 * np.where(sheltered, 1.0, layout.regions.skin)
    pull = own + mirrored + drawn + 1e-3
    target = own[:, None] * mean + mirrored[:, None] * mean[layout.mirror] + drawn[:, None] * expected
    system = sparse.diags(pull) + 0.3 * layout.laplacian
    factor = splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    return np.concatenate([factor.solve(target.astype(np.float64)), trust[:, None]], axis=1)


def _skin_tone(layout: _Layout, mean: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(3,) the ratio on the cheeks and the nose, the median by weight; 0 where they are not seen."""
    weight = seen * layout.regions.cheeks
    if weight.sum() < 1:
        return np.zeros(3)
    order = np.argsort(mean, axis=0)
    reached = np.cumsum(weight[order], axis=0) >= 0.5 * weight.sum()
    return np.take_along_axis(mean, order, axis=0)[reached.argmax(axis=0), np.arange(3)]


def _trust(layout: _Layout, difference: np.ndarray) -> np.ndarray:
    """(V,) down to 0 where the photo differs from the skin tone as no skin does: hair, clothes, background.

    Inside the face everything is trusted, because brows, beards and glasses belong to the look, and on the
    scalp, where hair does.
    """
    strength = difference.mean(axis=1)
    tint = difference - strength[:, None]
    squared = (strength / 0.8) ** 2 + (tint**2).sum(axis=1) / 0.25**2
    trust = layout.regions.anything + (1 - layout.regions.anything) / (1 + squared**2)
    for _ in range(2):
        trust = np.minimum(trust, layout.smoothing @ trust)
    return trust


@dataclass(frozen=True, eq=False)
class _Regions:
    """Places of a head in the model frame, (V,) weights in [0, 1].

    Attributes:
        cheeks: skin that is rarely covered.
        anything: where the photo is trusted, whatever it shows.
        skin: skin without hair, which must not get the colour of hair beside it.
        sheltered: bool, what is not skin: eyes, teeth and tongue.
    """

    cheeks: np.ndarray
    anything: np.ndarray
    skin: np.ndarray
    sheltered: np.ndarray

    @classmethod
    def of(cls, model: MorphableModel) -> _Regions:
        x, y, z = np.asarray(model.identity_mean, np.float64).T
        x = np.abs(x)
        skin = np.asarray(model.part) == 0
        hairline = 65 - 95 * _step(z, -60, -130)
        scalp = _step(y - hairline, -10, 10)
        core = _step(x, 62, 48) * _step(y, 38, 24) * _step(y, -125, -105) * _step(z, -70, -50)
        return cls(
            cheeks=skin * (x < 50) * (y > -55) * (y < -8) * (z > -30) * 1.0,
            anything=np.where(skin, np.maximum(core, scalp), 1.0),
            skin=skin * (1 - scalp),
            sheltered=~skin,
        )


@dataclass(frozen=True, eq=False)
class _Layout:
    """What is the same for every face of one model at one texture size. N covered texels.

    Attributes:
        size: S.
        number: (S, S) int32 number of the texel at each pixel, -1 where there is none.
        nearest: (S, S) int32 number of the nearest texel.
        triangle: (N,) int32 detail triangle.
        barycentric: (N, 3) float32 in it.
        detail_triangles: (T, 3) int32.
        parents: (T, 3) int32 base vertices of the base triangle each detail triangle is part of.
        base_barycentric: (N, 3) float32 weights of the parents.
        mirrored_px: (N, 2) float32 column and row of the mirrored point of the surface, -1 without one.
        mirror: (V,) int32.
        laplacian: (V, V) graph Laplacian of the base mesh.
        smoothing: (V, V) mean over each base vertex and its neighbours.
        regions: of the head.
        part: (T_base,) int32 part of each base triangle.
        texel_part: (N,) int32 part of each texel.
        texels_at: (V,) texels that a base vertex has a share in.
        texels_of: (T_base,) area of each base triangle in the texture.
    """

    size: int
    number: np.ndarray
    nearest: np.ndarray
    triangle: np.ndarray
    barycentric: np.ndarray
    detail_triangles: np.ndarray
    parents: np.ndarray
    base_barycentric: np.ndarray
    mirrored_px: np.ndarray
    mirror: np.ndarray
    laplacian: sparse.csr_matrix
    smoothing: sparse.csr_matrix
    regions: _Regions
    part: np.ndarray
    texel_part: np.ndarray
    texels_at: np.ndarray
    texels_of: np.ndarray

    def on_detail(self, attribute: np.ndarray) -> np.ndarray:
        """(V_detail, C) attribute at the texels: (N, C)."""
        return self._interpolated(self.barycentric, self.detail_triangles, attribute)

    def on_base(self, attribute: np.ndarray) -> np.ndarray:
        """(V, C) attribute at the texels: (N, C)."""
        return self._interpolated(self.base_barycentric, self.parents, attribute)

    def _interpolated(
        self, barycentric: np.ndarray, corners: np.ndarray, attribute: np.ndarray
    ) -> np.ndarray:
        from mien.raster_kernel import interpolate_pictures

        out = np.empty((1, len(self.triangle), attribute.shape[1]), np.float32)
        attribute = np.ascontiguousarray(attribute, np.float32)
        interpolate_pictures(
            attribute[None], corners.reshape(-1), self.triangle[None], barycentric[None], out
        )
        return out[0]

    def gather(self, value: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weighted sums of (N, C) texel values at the base vertices (V, C), and of the weights (V,)."""
        from mien.texture_kernel import gather

        total = np.zeros((len(self.mirror), value.shape[1]), np.float32)
        total_weight = np.zeros(len(self.mirror), np.float32)
        gather(self.triangle, self.base_barycentric, self.parents, value, weight, total, total_weight)
        return total, total_weight

    def feathered(self, weight: np.ndarray) -> np.ndarray:
        """(N,) weights that fall to zero smoothly, inside of where they fell before."""
        radius = max(self.size // 400, 1)
        picture = weight[self.nearest]
        picture = cv2.erode(picture, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8))
        for _ in range(2):
            picture = cv2.blur(picture, (2 * radius + 1, 2 * radius + 1))
        return np.minimum(picture[self.number >= 0], weight)

    def picture(self, log_linear: np.ndarray) -> np.ndarray:
        """(N, 3) logarithms of linear colours as the sRGB texture (S, S, 3)."""
        from mien.texture_kernel import encode

        picture = np.empty((self.size, self.size, 3), np.float32)
        first, table = _srgb_table()
        encode(self.nearest, log_linear, table, first, (_STEPS - 1) / -first, picture)
        return picture


@lru_cache(maxsize=1)
def _srgb_table() -> tuple[float, np.ndarray]:
    """sRGB of logarithms of linear light: the first logarithm, and `_STEPS` values from there to 0."""
    first = math.log(_DARKEST)
    return first, linear_to_srgb(np.exp(np.linspace(first, 0.0, _STEPS))).astype(np.float32)


@lru_cache(maxsize=2)
def _layout(model: MorphableModel, size: int) -> _Layout:
    parents, weights = _parents(model)
    base_triangle, corner_uv = _corners_uv(model, parents)
    _, mirrored_uv = _corners_uv(model, np.asarray(model.mirror)[parents])
    flip = np.array([size, -size]), np.array([0, size])
    place = np.einsum("tkj,tjc->tkc", weights, corner_uv) * flip[0] + flip[1]
    mirrored = np.einsum("tkj,tjc->tkc", weights, mirrored_uv) * flip[0] + flip[1]
    points = np.concatenate([place, np.full_like(place[..., :1], 2 * NEAR_MM)], axis=-1).reshape(-1, 3)
    corners = np.arange(len(points), dtype=np.int32).reshape(-1, 3)
    fragments = rasterize(points.astype(np.float32), corners, size, size, cull_backfaces=False)
    covered = fragments.triangle >= 0
    triangle, barycentric = fragments.triangle[covered], fragments.barycentric[covered]
    number = np.where(covered, np.cumsum(covered).reshape(size, size) - 1, -1).astype(np.int32)
    rows, columns = ndimage.distance_transform_edt(~covered, return_distances=False, return_indices=True)
    base_barycentric = np.einsum("nk,nkj->nj", barycentric, weights[triangle]).astype(np.float32)
    mirrored_px = np.einsum("nk,nkc->nc", barycentric, mirrored[triangle])
    vertices = len(model.mirror)
    laplacian = _graph_laplacian(np.asarray(model.triangles), vertices)
    part = np.asarray(model.part, np.int32)[model.triangles[:, 0]]
    shares = np.bincount(parents[triangle].ravel(), base_barycentric.ravel(), minlength=vertices)
    return _Layout(
        size=size,
        number=number,
        nearest=number[rows, columns],
        triangle=triangle,
        barycentric=barycentric,
        detail_triangles=np.ascontiguousarray(model.refinement.triangles, np.int32),
        parents=parents.astype(np.int32),
        base_barycentric=base_barycentric,
        mirrored_px=np.nan_to_num(mirrored_px, nan=-1).astype(np.float32),
        mirror=np.asarray(model.mirror),
        laplacian=laplacian,
        smoothing=sparse.identity(vertices) - sparse.diags(1 / (1 + laplacian.diagonal())) @ laplacian,
        regions=_Regions.of(model),
        part=part,
        texel_part=part[base_triangle[triangle]],
        texels_at=np.maximum(shares, 1e-3),
        texels_of=np.bincount(base_triangle[triangle], minlength=len(model.triangles)),
    )


def _parents(model: MorphableModel) -> tuple[np.ndarray, np.ndarray]:
    """The base triangle around each detail triangle: its vertices (T, 3), and the corners' weights (T, 3, 3).

    A detail vertex is a mean of base vertices; those of a triangle's corners together are its parent's.
    """
    rows = sparse.identity(len(model.identity_mean), format="csr")
    for pairs in model.refinement.levels:
        rows = sparse.vstack([rows, 0.5 * (rows[pairs[:, 0]] + rows[pairs[:, 1]])], format="csr")
    corners = np.asarray(model.refinement.triangles)
    together = sum(rows[corners[:, k]] for k in range(3)).tocsr()
    together.sort_indices()
    parents = together.indices.reshape(-1, 3)
    asked = np.broadcast_to(parents[:, None, :], (len(parents), 3, 3)).reshape(-1)
    weights = np.asarray(rows[corners.reshape(-1).repeat(3), asked]).reshape(-1, 3, 3)
    return parents, weights


def _corners_uv(model: MorphableModel, triples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The base triangles (T,) with these vertices (T, 3) in any order, and their corners' uv (T, 3, 2).

    -1 and NaN where the mesh has no such triangle.
    """
    count = len(model.identity_mean)

    def key(corners: np.ndarray) -> np.ndarray:
        a, b, c = np.sort(corners.astype(np.int64), axis=1).T
        return (a * count + b) * count + c

    triangles = np.asarray(model.triangles)
    keys = key(triangles)
    order = np.argsort(keys)
    place = np.minimum(np.searchsorted(keys[order], key(triples)), len(order) - 1)
    found = order[place]
    missing = keys[found] != key(triples)
    uv = np.asarray(model.uv, np.float64)[model.uv_triangles[found]]
    same = triples[:, :, None] == triangles[found][:, None, :]
    uv = np.take_along_axis(uv, same.argmax(axis=2)[:, :, None], axis=1)
    uv[missing] = np.nan
    return np.where(missing, -1, found), uv


def _step(value: np.ndarray, start: float | np.ndarray, end: float) -> np.ndarray:
    """Rises smoothly from 0 at `start` to 1 at `end`, which may be below `start`."""
    t = np.clip((value - start) / (end - start), 0.0, 1.0)
    return t * t * (3 - 2 * t)


def _graph_laplacian(triangles: np.ndarray, count: int) -> sparse.csr_matrix:
    edges = triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    ones = np.ones(len(edges))
    adjacent = sparse.coo_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(count, count))
    adjacent = ((adjacent + adjacent.T) > 0).astype(np.float64)
    return (sparse.diags(np.asarray(adjacent.sum(axis=1)).ravel()) - adjacent).tocsr()
