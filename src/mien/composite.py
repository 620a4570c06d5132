"""An edited face put back into its photograph.

What the photograph shows is moved, not painted over: skin, eyes and the mouth's inside are three layers, each
moved by its own smooth field of offsets, which the mesh before and after the edit gives and which fades out
around the head. So hair, glasses and beards come along and nowhere is a seam. Only what the photograph does
not show, the inside of a mouth that opens above all, is drawn from the model. Light and colours change by the
ratio of the model's radiances after and before (Z. Liu, Y. Shan, Z. Zhang, "Expressive expression mapping
with ratio images", SIGGRAPH 2001).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from mien.camera import Camera, project, rotate, to_camera
from mien.facecode import FaceCode
from mien.image import linear_to_srgb, srgb_to_linear
from mien.lighting import shading
from mien.mesh import normalize, vertex_normals
from mien.morphable import MorphableModel
from mien.mouth import cavity, inside_albedo
from mien.raster import interpolate, rasterize
from mien.registration import offsets_px
from mien.warp import moved, soft, spread, step

_SKIN, _EYES, _MOUTH = range(3)
_SIDE_PX = 700  # of the head: finer layers would only cost time
_REACH_MM = 50.0  # how far around the head the photograph moves along
_FADE_MM = 25.0  # and how far the change of light reaches beyond it
_GRAZING = 0.1  # cosine below which the photograph does not show a surface
_DARKEST = 0.02  # linear radiance below which light is not told apart
_INNER_LIPS = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95]
"""MediaPipe's points around the inside of the lips, from the subject's right corner over the upper lip."""

_EYE_SHADE = 0.6  # lids and lashes keep this share of the light from the eyes


def composite(
    model: MorphableModel,
    before: FaceCode,
    after: FaceCode,
    image: np.ndarray,
    camera: Camera,
    landmarks_px: np.ndarray | None = None,
) -> np.ndarray:
    """The photograph as if the face in it were another.

    Args:
        model: of both codes, NumPy.
        before: the face that the photograph shows (no batch axes).
        after: the face it shall show.
        image: (H, W, 3) float, sRGB in [0, 1].
        camera: the photograph's.
        landmarks_px: (478, 2 or 3) MediaPipe's landmarks as detected; the face is then cut along lips and
            lids where these are seen, not where the fit has them.

    Returns:
        (H, W, 3) float32, sRGB in [0, 1]; where nothing changes the photograph's own pixels.
    """
    heads = _Head.of(model, before, camera), _Head.of(model, after, camera)
    if landmarks_px is not None:
        xy = [head.points[:, :2] for head in heads]
        for place, offset in zip(
            xy, offsets_px(model, *xy, heads[0].facing, landmarks_px[:, :2]), strict=True
        ):
            place += offset
    low, high, scale = _frame(heads, image.shape)
    if (high <= low).any():
        return np.asarray(image, np.float32)
    crop = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]], np.float32)
    size = np.maximum(np.rint((high - low) * scale), 1).astype(int)
    for head in heads:
        head.points[:, :2] = (head.points[:, :2] - low) * scale
    layers = _layers(model, *heads, (int(size[0]), int(size[1])))
    result = np.array(image, np.float32)
    result[low[1] : high[1], low[0] : high[0]] = layers.laid_over(crop)
    return result


@dataclass(frozen=True, eq=False)
class _Head:
    """A posed and lit head.

    Attributes:
        points: (V, 3) x_px, y_px, depth_mm of the base mesh.
        facing: (V,) cosine between normal and direction to the camera.
        radiance: (V_detail, 3) linear RGB.
        light: (V, 3) shading.
        px_per_mm: at the head's middle.
    """

    points: np.ndarray
    facing: np.ndarray
    radiance: np.ndarray
    light: np.ndarray
    px_per_mm: float

    @classmethod
    def of(cls, model: MorphableModel, code: FaceCode, camera: Camera) -> _Head:
        code = FaceCode.from_vector(code.to_vector().astype(np.float32), code.layout, code.model)
        vertices = model.vertices(code.identity, code.expression)
        points = to_camera(vertices, code.rotation, code.translation)
        normals = rotate(vertex_normals(vertices, model.triangles), code.rotation)
        away = points / np.linalg.norm(points, axis=1, keepdims=True)
        fine = normalize(model.refinement(normals))
        return cls(
            points=project(points, camera).astype(np.float32),
            facing=-(normals * [1, -1, -1] * away).sum(axis=1),
            radiance=model.albedo(code.albedo) * shading(fine, code.illumination),
            light=shading(normals, code.illumination),
            px_per_mm=float(code.focal_px / code.translation[2]),
        )


def _frame(heads: tuple[_Head, _Head], shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, float]:
    """Left top and right bottom of the part of the picture that can change, and the scale to compute at."""
    xy = np.concatenate([head.points[:, :2] for head in heads])
    margin = 1.2 * _REACH_MM * max(head.px_per_mm for head in heads)
    limits = np.array(shape[1::-1])
    low = np.clip(np.floor(xy.min(axis=0) - margin).astype(int), 0, limits)
    high = np.clip(np.ceil(xy.max(axis=0) + margin).astype(int), 0, limits)
    return low, high, min(1.0, _SIDE_PX / max((high - low).max(), 1))


@dataclass(frozen=True, eq=False)
class _Layers:
    """What becomes of each pixel, at the scale it was computed at.

    Attributes:
        share: (3, H, W) of skin, eyes and the mouth's inside at each pixel; they add up to 1.
        offset_px: (3, H, W, 2) from each pixel to where the photograph shows the same.
        known: (3, H, W) how far the photograph shows it at all.
        drawn: (3, H, W, 3) linear RGB for where it does not.
        gain: (3, H, W, 3) logarithm of what linear light is multiplied by.
        opened: (H, W) where the photograph shows the mouth's inside.
    """

    share: np.ndarray
    offset_px: np.ndarray
    known: np.ndarray
    drawn: np.ndarray
    gain: np.ndarray
    opened: np.ndarray

    def laid_over(self, crop: np.ndarray) -> np.ndarray:
        """(H', W', 3) the crop of the photograph (any size) after the edit."""
        height, width = crop.shape[:2]
        scale = width / self.gain.shape[2]

        def full(picture: np.ndarray) -> np.ndarray:
            if picture.shape[:2] == (height, width):
                return picture
            return cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)

        opened = full(self.opened)[..., None]
        lips = opened * spread(crop, 1 - opened[..., 0]) + (1 - opened) * crop
        result = np.zeros_like(crop)
        for layer, source in ((_SKIN, lips), (_EYES, crop), (_MOUTH, crop)):
            share = full(self.share[layer])[..., None]
            if not share.any():
                continue
            seen = srgb_to_linear(moved(source, full(self.offset_px[layer]) * scale))
            seen *= np.exp(full(self.gain[layer]))
            known = full(self.known[layer])[..., None]
            result += share * (known * seen + (1 - known) * full(self.drawn[layer]))
        result = linear_to_srgb(np.minimum(result, 1.0))
        changed = full(self._changed())[..., None]
        return crop + changed * (result - crop)

    def _changed(self) -> np.ndarray:
        """(H, W) 0 where the edit does nothing."""
        moves = (self.share * np.linalg.norm(self.offset_px, axis=-1)).max(axis=0)
        new = (self.share * (1 - self.known)).sum(axis=0)
        change = np.maximum.reduce(
            [moves / 0.3, new / 0.1, np.abs(self.share[..., None] * self.gain).max(axis=(0, -1)) / 0.01]
        )
        return step(soft(np.minimum(change, 1), 2.0), 0.1, 0.9)


def _layers(model: MorphableModel, before: _Head, after: _Head, size: tuple[int, int]) -> _Layers:
    width, height = size
    mesh = _mesh(model)
    zoom = np.array([2, 2, 1], np.float32)
    points = [mesh.fine(head.points) for head in (before, after)]
    seen = [rasterize(p * zoom, mesh.triangles, 2 * height, 2 * width) for p in points]
    layer = [np.append(mesh.layer, np.int8(_SKIN))[f.triangle] for f in seen]
    covered = seen[1].triangle >= 0

    gain = np.log(np.maximum(after.radiance, _DARKEST)) - np.log(np.maximum(before.radiance, _DARKEST))
    table = np.concatenate(
        [points[0], mesh.fine(before.facing[:, None]), gain, after.radiance, points[1][:, 2:], mesh.rest],
        axis=1,
    ).astype(np.float32)
    there = interpolate(table, mesh.triangles, seen[1])
    x, y, depth, facing = np.moveaxis(there[..., :4], -1, 0)
    row, column = np.int32(2 * y), np.int32(2 * x)
    within = covered & (row >= 0) & (row < 2 * height) & (column >= 0) & (column < 2 * width)
    row, column = np.where(within, row, 0), np.where(within, column, 0)
    visible = within & (facing > _GRAZING) & (layer[0][row, column] == layer[1])
    visible &= depth < seen[0].depth[row, column] + 3.0

    rows, columns = np.mgrid[: 2 * height, : 2 * width].astype(np.float32) / 2 + 0.25
    offset = np.stack([x - columns, y - rows], axis=-1)
    anywhere = _half(covered | (seen[0].triangle >= 0))
    far = cv2.distanceTransform((anywhere == 0).astype(np.uint8), cv2.DIST_L2, 5) / after.px_per_mm
    share = [_half(layer[1] == number) for number in range(3)]
    known = [_half(visible & (layer[1] == number)) for number in range(3)]
    offsets = [
        _half(offset * (visible & (layer[1] == number))[..., None])
        / np.maximum(known[number], 1e-6)[..., None]
        for number in range(3)
    ]
    still = (far > _REACH_MM).astype(np.float32)
    offsets[_SKIN] = spread(offsets[_SKIN] * (1 - still)[..., None], np.maximum(known[_SKIN], still))
    known[_SKIN] = np.ones_like(still)
    offsets[_EYES], known[_EYES] = _eyes(offsets[_EYES], known[_EYES], share[_EYES])
    opened = _opening(model, before, size)
    share[_MOUTH] = _opening(model, after, size) * (share[_EYES] == 0) * (_half(covered) > 0)
    share[_SKIN] = 1 - share[_EYES] - share[_MOUTH]
    offsets[_MOUTH], known[_MOUTH] = _upper_jaw(model, before, after, opened)
    shade = _shade(share[_MOUTH], after.px_per_mm)
    shade_before = moved(_shade(opened, before.px_per_mm), offsets[_MOUTH])

    fade = step(far, _FADE_MM, 0.0)[..., None]
    on_skin = covered & (layer[1] == _SKIN)
    weight = _half(on_skin)
    relit = spread(_mean(there[..., 4:7], on_skin), weight)
    darker = np.log(np.minimum(shade / shade_before, 1))
    drawn = [_mean(there[..., 7:10], layer[1] == number) for number in range(3)]
    drawn[_EYES] *= _EYE_SHADE
    inside = layer[1] == _MOUTH
    if inside.any():
        part = mesh.part[np.maximum(seen[1].triangle[inside], 0)]
        colour = np.zeros_like(there[..., :3])
        colour[inside] = inside_albedo(model, there[inside][:, 11:14], part)
        light = np.median(after.light[after.facing > 0.5], axis=0)
        lips = spread(_mean(there[..., 10:11], on_skin), weight)[..., 0]
        behind = spread(_mean(there[..., 10:11], inside), _half(inside))[..., 0] - lips
        behind = np.maximum(behind, 0)[..., None]
        drawn[_MOUTH] = spread(_mean(colour, inside), _half(inside)) * light * shade[..., None]
        drawn[_MOUTH] *= 0.8 * np.exp(-behind / 25)
    return _Layers(
        share=np.stack(share),
        offset_px=np.stack(offsets),
        known=np.stack(known),
        drawn=np.stack(drawn),
        gain=np.stack([relit * fade] * 2 + [relit * fade + darker[..., None]]),
        opened=_grown(opened, 1.0 * before.px_per_mm),
    )


def _eyes(offset: np.ndarray, known: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (H, W, 2) and what is known (H, W) of the eyes.

    Of an open eye the photograph's pixels continue below lids that open further; an eye that was closed is
    drawn.
    """
    known = known.copy()
    count, eye = cv2.connectedComponents((share > 0).astype(np.uint8))
    for number in range(1, count):
        here = eye == number
        enough = known[here].sum() > 0.25 * share[here].sum()
        known[here] = (known[here] > 0.5) if enough else 0
    if not known.any():
        return offset, known
    _, nearest = cv2.distanceTransformWithLabels(
        (known == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    rows, columns = np.nonzero(known)
    order = np.zeros(nearest.max() + 1, int)
    order[nearest[rows, columns]] = np.arange(len(rows))
    row, column = rows[order[nearest]], columns[order[nearest]]
    height, width = known.shape
    place = np.stack([column - np.arange(width), row - np.arange(height)[:, None]], axis=-1)
    filled = offset[row, column] + place
    for number in range(1, count):
        here = eye == number
        known[here] = known[here].max()
    return filled.astype(np.float32), known


def _opening(model: MorphableModel, head: _Head, size: tuple[int, int]) -> np.ndarray:
    """(H, W) share of what is between the lips."""
    ring = model.landmarks478(head.points[:, :2])[_INNER_LIPS]
    mask = np.zeros(size[::-1], np.uint8)
    if np.abs(ring[1:10, 1] - ring[:10:-1, 1]).max() > 0.5 * head.px_per_mm:
        for _ in range(2):  # G. Chaikin, "An algorithm for high-speed curve generation", 1974
            onward = np.roll(ring, -1, axis=0)
            ring = np.stack([0.75 * ring + 0.25 * onward, 0.25 * ring + 0.75 * onward], 1).reshape(-1, 2)
        cv2.fillPoly(mask, [np.rint(16 * ring - 8).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return soft(mask / np.float32(255), 0.5 * head.px_per_mm)


def _grown(mask: np.ndarray, radius_px: float) -> np.ndarray:
    """(H, W) mask grown to all sides, or shrunk where the radius is negative."""
    side = 2 * round(abs(radius_px)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.dilate(mask, disc) if radius_px > 0 else cv2.erode(mask, disc)


def _upper_jaw(
    model: MorphableModel, before: _Head, after: _Head, opened: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (H, W, 2) and what is known (H, W) of the mouth's inside: it stays with the upper teeth."""
    height, width = opened.shape
    teeth = np.array(model.part_names)[model.part] == "teeth_upper"
    if not teeth.any():
        return np.zeros((height, width, 2), np.float32), opened
    now = np.column_stack([after.points[teeth, :2], np.ones(teeth.sum())])
    turn = np.linalg.lstsq(now, before.points[teeth, :2], rcond=None)[0].astype(np.float32)
    rows, columns = np.mgrid[:height, :width].astype(np.float32) + 0.5
    offset = columns[..., None] * turn[0] + rows[..., None] * turn[1] + turn[2]
    offset -= np.stack([columns, rows], axis=-1)
    inner = soft(_grown(opened, -0.5 * before.px_per_mm), 0.5 * before.px_per_mm)
    return offset, moved(inner, offset)


def _shade(share: np.ndarray, px_per_mm: float) -> np.ndarray:
    """(H, W) share of the light that gets past the lips into a mouth (H, W): least below the upper lip."""
    shift = np.float32([[1, 0, 0], [0, 1, 1.3 * px_per_mm]])
    below = cv2.warpAffine(share, shift, share.shape[::-1])
    return 0.3 + 0.7 * np.clip(2 * soft(below, 3.0 * px_per_mm) - 1, 0, 1)


def _mean(value: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Means over 2 × 2 pixels of values (2H, 2W, C) where these hold (2H, 2W); 0 where they nowhere do."""
    return _half(value * where[..., None]) / np.maximum(_half(where), 1e-6)[..., None]


@dataclass(frozen=True, eq=False)
class _Mesh:
    """The detail mesh of a model, with what the layers need.

    Attributes:
        triangles: (T, 3) int32.
        layer: (T,) int8.
        part: (T,) int32 part of the model.
        rest: (V_detail, 3) the mean head at rest.
    """

    model: MorphableModel
    triangles: np.ndarray
    layer: np.ndarray
    part: np.ndarray
    rest: np.ndarray

    def fine(self, attribute: np.ndarray) -> np.ndarray:
        return self.model.refinement(attribute)


@lru_cache(maxsize=4)
def _mesh(model: MorphableModel) -> _Mesh:
    triangles = np.ascontiguousarray(model.refinement.triangles, np.int32)
    part = np.asarray(model.refinement.part)[triangles[:, 0]]
    inner = model.refinement(cavity(model).astype(np.float32)[:, None])[:, 0]
    name = np.array(model.part_names)[part]
    layer = np.where(np.char.startswith(name, "eye"), _EYES, np.where(name == "skin", _SKIN, _MOUTH))
    layer[(name == "skin") & (inner[triangles].min(axis=1) > 0.5)] = _MOUTH
    return _Mesh(model, triangles, layer.astype(np.int8), part, model.refinement(model.identity_mean))


def _half(picture: np.ndarray) -> np.ndarray:
    """Means of 2 × 2 pixels, float32."""
    picture = np.asarray(picture, np.float32)
    return (picture[::2, ::2] + picture[1::2, ::2] + picture[::2, 1::2] + picture[1::2, 1::2]) / 4
