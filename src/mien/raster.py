"""Visibility: which triangle is seen at each pixel, where on it, and how far away."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array, is_torch_array

NEAR_MM = 1.0
"""A triangle with a vertex at this depth or nearer (or behind the camera) is not drawn."""
GUARD_PX = 16384.0
"""Triangles that reach further than this from the picture's corner, where float32 is coarser, are dropped."""
GRID = 1024.0
"""Vertices are snapped to this part of a pixel."""


@dataclass(frozen=True, eq=False)
class Fragments:
    """What is seen at each pixel centre of a picture, or of a batch of them.

    Attributes:
        triangle: (..., H, W) int32 triangle number, -1 where empty.
        barycentric: (..., H, W, 3) float32 weights of the triangle's corners at the point seen
            (perspective-correct: they interpolate in space, not in the picture), 0 where empty.
        depth: (..., H, W) float32 millimetres along the optical axis, inf where empty.
    """

    triangle: Any
    barycentric: Any
    depth: Any


def rasterize(points: Any, triangles: Any, height: int, width: int, cull_backfaces: bool = True) -> Fragments:
    """Draws triangles with a depth buffer. Constants to the gradient: see `barycentric` for derivatives.

    A pixel is covered where its centre lies in the triangle; a centre on an edge that two triangles share is
    drawn once (top-left rule). Of equally near triangles the first is seen. Not drawn are triangles with a
    vertex that is not finite, at depth `NEAR_MM` or nearer, or more than 16,384 px away from the picture's
    corner: nothing is clipped, so a head should stand wholly before the camera.

    The pictures of a batch are shared out to `numba.get_num_threads()` threads (the environment's
    NUMBA_NUM_THREADS), which live only during the call: nothing is left to trouble a later `fork`.

    Args:
        points: (..., V, 3) of (x_px, y_px, depth_mm), `mien.camera.project`. NumPy, or torch on the CPU or on
            CUDA, where nothing then leaves the GPU.
        triangles: (T, 3) int32.
        height, width: of the picture in pixels, 0 or more.
        cull_backfaces: whether to drop triangles seen from behind.

    Raises:
        ValueError: a triangle names a vertex that does not exist.
    """
    batch, corners = points.shape[:-2], points.shape[-2:]
    flat = array_namespace(points).reshape(points, (math.prod(batch), *corners))
    drawn = _body(points)(flat, triangles, height, width, cull_backfaces)
    return Fragments(*(a.reshape(*batch, *a.shape[1:]) for a in drawn))


def missing_vertices(lowest: int, highest: int, count: int) -> ValueError:
    """The error of triangles whose vertex numbers, from `lowest` to `highest`, are not below `count`."""
    return ValueError(f"triangles name vertices {lowest} to {highest}, but there are {count} points")


def barycentric(points: Any, triangles: Any, fragments: Fragments) -> Any:
    """The weights of `fragments` again, as a differentiable function of the projected points.

    Args:
        points: (..., V, 3) of (x_px, y_px, depth_mm), as given to `rasterize`.
        triangles: (T, 3) int32.
        fragments: of those points; its triangle numbers are taken as they are.

    Returns:
        (..., H, W, 3) perspective-correct weights, 0 where empty.
    """
    xp = array_namespace(points)
    like = {"dtype": points.dtype, "device": device(points)}
    if triangles.shape[0] == 0 or math.prod(fragments.triangle.shape) == 0:
        return xp.zeros((*fragments.triangle.shape, 3), **like)
    height, width = fragments.triangle.shape[-2:]
    centre_x = xp.arange(width, **like) + 0.5
    centre_y = xp.arange(height, **like)[:, None] + 0.5
    corners = gather_corners(points, triangles, fragments.triangle)
    x = [corners[..., i, 0] - centre_x for i in range(3)]
    y = [corners[..., i, 1] - centre_y for i in range(3)]
    empty = fragments.triangle < 0
    edges = [x[j] * y[k] - x[k] * y[j] for j, k in ((1, 2), (2, 0), (0, 1))]
    facing = xp.sign(edges[0] + edges[1] + edges[2])
    weights = []
    for i, edge in enumerate(edges):
        depth = xp.where(empty, xp.ones_like(edge), corners[..., i, 2])
        # a centre that is inside by the kernel's grid may be a thousandth of a pixel outside here
        weights.append(xp.clip(facing * edge, min=0) / depth)
    total = weights[0] + weights[1] + weights[2]
    total = xp.where(empty | (total == 0), xp.ones_like(total), total)
    stacked = xp.stack([w / total for w in weights], axis=-1)
    return xp.where(empty[..., None], xp.zeros_like(stacked), stacked)


def interpolate(attributes: Any, triangles: Any, fragments: Fragments) -> Any:
    """Vertex attributes at the points seen. Differentiable in attributes and weights (torch).

    Args:
        attributes: (..., V, C).
        triangles: (T, 3) int32.
        fragments: of those triangles.

    Returns:
        (..., H, W, C), 0 where empty.
    """
    xp = array_namespace(attributes)
    shape = (*fragments.triangle.shape, attributes.shape[-1])
    if triangles.shape[0] == 0 or math.prod(shape) == 0:
        return xp.zeros(shape, dtype=attributes.dtype, device=device(attributes))
    if is_numpy_array(attributes) and attributes.dtype == np.float32:
        return _interpolate_numpy(attributes, triangles, fragments)
    corners = gather_corners(attributes, triangles, fragments.triangle)
    return xp.sum(corners * xp.astype(fragments.barycentric, attributes.dtype)[..., None], axis=-2)


def gather_corners(attributes: Any, triangles: Any, triangle: Any) -> Any:
    """(..., V, C) attributes of (..., H, W) triangles as (..., H, W, 3, C); triangle 0's where empty."""
    xp = array_namespace(attributes)
    batch, (count, channels) = triangle.shape[:-2], attributes.shape[-2:]
    seen = xp.reshape(xp.where(triangle < 0, 0, triangle), (-1,))
    first = count * xp.arange(math.prod(batch), dtype=xp.int64, device=device(attributes))
    corners = xp.reshape(xp.take(triangles, seen, axis=0), (len(first), -1)) + first[:, None]
    flat = xp.reshape(xp.broadcast_to(attributes, (*batch, count, channels)), (-1, channels))
    return xp.reshape(xp.take(flat, xp.reshape(corners, (-1,)), axis=0), (*triangle.shape, 3, channels))


def _body(points: Any) -> Callable[..., tuple[Any, Any, Any]]:
    """The function that draws (B, V, 3) points on their device."""
    if str(device(points)) == "cpu":
        return _rasterize_numba
    from mien.raster_torch import rasterize_tensors

    return rasterize_tensors


def _rasterize_numba(
    points: Any, triangles: Any, height: int, width: int, cull: bool
) -> tuple[Any, Any, Any]:
    from mien.raster_kernel import rasterize_pictures

    flat = np.ascontiguousarray(_to_numpy(points), np.float32)
    corners = np.ascontiguousarray(_to_numpy(triangles), np.int32).reshape(-1)
    triangle = np.empty((len(flat), height, width), np.int32)
    weights = np.empty((len(flat), height, width, 3), np.float32)
    depth = np.empty((len(flat), height, width), np.float32)

    def draw(part: slice) -> None:
        pictures = triangle[part], weights[part], depth[part]
        if not rasterize_pictures(flat[part], corners, NEAR_MM, cull, *pictures):
            raise missing_vertices(corners.min(), corners.max(), flat.shape[1])

    _for_parts(draw, len(flat))
    drawn = triangle, weights, depth
    return tuple(map(array_namespace(points).asarray, drawn)) if is_torch_array(points) else drawn


def _interpolate_numpy(attributes: np.ndarray, triangles: np.ndarray, fragments: Fragments) -> np.ndarray:
    from mien.raster_kernel import interpolate_pictures

    *batch, height, width = fragments.triangle.shape
    count, (vertices, channels) = math.prod(batch), attributes.shape[-2:]
    attributes = np.broadcast_to(attributes, (*batch, vertices, channels)).reshape(count, vertices, channels)
    inputs = (
        np.ascontiguousarray(attributes),
        np.ascontiguousarray(triangles, np.int32).reshape(-1),
        np.ascontiguousarray(fragments.triangle).reshape(count, -1),
        np.ascontiguousarray(fragments.barycentric).reshape(count, -1, 3),
    )
    out = np.empty((count, height * width, channels), np.float32)
    _for_parts(
        lambda p: interpolate_pictures(inputs[0][p], inputs[1], inputs[2][p], inputs[3][p], out[p]), count
    )
    return out.reshape(*batch, height, width, channels)


def _for_parts(work: Any, count: int) -> None:
    """Calls `work` on slices that cover `count` pictures, one slice for each thread."""
    from numba import get_num_threads

    threads = min(count, get_num_threads())
    parts = [slice(count * i // threads, count * (i + 1) // threads) for i in range(threads)]
    if threads <= 1:
        for part in parts:
            work(part)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, parts))


def _to_numpy(array: Any) -> np.ndarray:
    return np.asarray(array.detach() if is_torch_array(array) else array)
