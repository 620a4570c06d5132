"""The rasteriser's second body: whole batches in torch operations, so that nothing leaves the GPU.

The arithmetic is that of `mien.raster_kernel`, operation by operation, so that both give the same numbers:
vertices on the grid, edge functions that are exact, 1 / depth in float32 for triangles of 2 x 2 pixel centres
at most and in float64 for larger ones. In place of the kernel's loops each pixel centre in a triangle's box
is a candidate, and the nearest is found by one maximum over keys of 1 / depth and triangle number, which no
order of execution changes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mien.raster import GRID, GUARD_PX, NEAR_MM, missing_vertices

BLOCK = 1 << 22
"""Most triangles, and most pixels, of the pictures that are drawn together: bounds the memory."""
CANDIDATES = 1 << 22
"""Candidates that are tested together."""
LAST = (1 << 31) - 1
"""A key is the bits of 1 / depth, whose order is that of the positive floats, above `LAST` - triangle."""


@torch.no_grad()
def rasterize_tensors(
    points: Tensor, triangles: Tensor, height: int, width: int, cull: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The fields of `mien.raster.Fragments` for a batch of pictures, on the device of the points.

    Args:
        points: (B, V, 3) x_px, y_px, depth_mm.
        triangles: (T, 3).
        height, width: of the pictures.
        cull: whether triangles seen from behind are dropped.

    Returns:
        triangle (B, H, W) int32, barycentric (B, H, W, 3) float32, depth (B, H, W) float32.

    Raises:
        ValueError: a triangle names a vertex that does not exist.
    """
    (batch, vertices), pixels, device = points.shape[:2], height * width, points.device
    triangle = torch.full((batch, height, width), -1, dtype=torch.int32, device=device)
    barycentric = torch.zeros((batch, height, width, 3), device=device)
    depth = torch.full((batch, height, width), torch.inf, device=device)
    if batch == 0 or len(triangles) == 0:
        return triangle, barycentric, depth
    lowest, highest = (int(n) for n in torch.aminmax(triangles))
    if lowest < 0 or highest >= vertices:
        raise missing_vertices(lowest, highest, vertices)
    corners = triangles.to(device, torch.int64).T
    block = max(1, BLOCK // max(len(triangles), pixels))
    for start in range(0, batch, block):
        part = slice(start, start + block)
        placed = _snap(points[part].to(torch.float32))
        keys = _nearest(placed, corners, height, width, cull)
        _finish(placed, corners, keys, triangle[part], barycentric[part], depth[part])
    return triangle, barycentric, depth


def _snap(points: Tensor) -> Tensor:
    """(B, V, 3) points to (3, B, V) of x and y on the grid, pixel i's centre at i, and 1 / depth.

    A vertex that cannot be drawn gets NaN, which no triangle's area survives.
    """
    x, y, depth = points.unbind(-1)
    usable = (depth > NEAR_MM) & (depth < torch.inf) & (x.abs() < GUARD_PX) & (y.abs() < GUARD_PX)
    x, y = (torch.floor(axis * GRID + 0.5) / GRID - 0.5 for axis in (x, y))
    return torch.stack([torch.where(usable, x, torch.nan), y, 1 / depth])


def _nearest(placed: Tensor, corners: Tensor, height: int, width: int, cull: bool) -> Tensor:
    """(B, H W) int64 keys of what is seen at each pixel centre, 0 where nothing is.

    Args:
        placed: (3, B, V) from `_snap`.
        corners: (3, T) int64 vertex numbers.
        height, width, cull: as in `rasterize_tensors`.
    """
    _, batch, vertices = placed.shape
    count = corners.shape[1]
    placed = placed.reshape(3, -1)
    first = vertices * torch.arange(batch, device=placed.device)
    # clockwise as the eye sees the picture's axes, so that the area of what faces the camera is positive
    corners = (corners[[0, 2, 1], None] + first[:, None]).reshape(3, -1)
    x, y = placed[0][corners], placed[1][corners]
    (left, columns), (top, rows) = _box(x, width), _box(y, height)
    # in float32 the area may be 0 where it is not, but never has the wrong sign
    drawn = (columns > 0) & (rows > 0) & (_area(x, y) >= (0 if cull else -torch.inf))
    kept = drawn.nonzero().squeeze(1)
    x, y, corners, left, columns, top, rows = (
        a[..., kept] for a in (x, y, corners, left, columns, top, rows)
    )
    if not cull:
        turned = _area(x.double(), y.double()) < 0
        x, y, corners = (torch.where(turned, a[[0, 2, 1]], a) for a in (x, y, corners))
    picture, number = kept // count, kept % count
    keys = torch.zeros(batch * height * width, dtype=torch.int64, device=placed.device)
    x, y, inverse = x - left, y - top, placed[2][corners]
    pixel = (picture * height + top.long()) * width + left.long()
    small = (columns <= 2) & (rows <= 2) if cull else torch.zeros_like(drawn[kept])
    for chosen, dtype in ((small, torch.float32), (~small, torch.float64)):
        fields = _fields(x[:, chosen].to(dtype), y[:, chosen].to(dtype), inverse[:, chosen].to(dtype))
        box = torch.stack([a[chosen].long() for a in (pixel, columns, rows, number)])
        _draw(fields, box, width, keys)
    return keys.reshape(batch, -1)


def _box(axis: Tensor, end: int) -> tuple[Tensor, Tensor]:
    """First pixel at or after (3, N) corners along an axis, and how many to the last, cut off to [0, end)."""
    low, high = torch.aminmax(torch.ceil(axis), dim=0)
    low = low.clamp(min=0)
    return low, high.clamp(max=end) - low


def _area(x: Tensor, y: Tensor) -> Tensor:
    """Twice the area of (3, N) corners."""
    return (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])


def _fields(x: Tensor, y: Tensor, inverse: Tensor) -> Tensor:
    """What the test of a candidate needs of its triangle.

    Args:
        x, y, inverse: (3, N) corners relative to the first pixel centre of the box, and 1 / depth there.

    Returns:
        (15, N): edge functions at the first centre, their steps down a row, less those along it, the least
        values of the inside; 1 / depth of corner 0, and what it gains with edge functions 1 and 2.
    """
    edge, dx, dy = _edges(x, y)
    owns = (dy < 0) | ((dy == 0) & (dx > 0))  # a top or left edge owns the pixel centres on it
    least = torch.where(owns, 0.0, 1 / GRID**2).to(x.dtype)
    slope = (inverse[1:] - inverse[0]) * (1 / (edge[0] + edge[1] + edge[2]))
    return torch.cat([edge, dx, dy, least, inverse[:1], slope])


def _edges(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(3, N) edge functions at the origin of (3, N) corners, and x and y along the edges."""
    x1, x2, y1, y2 = x[[1, 2, 0]], x[[2, 0, 1]], y[[1, 2, 0]], y[[2, 0, 1]]
    return x1 * y2 - x2 * y1, x2 - x1, y2 - y1


def _draw(fields: Tensor, box: Tensor, width: int, keys: Tensor) -> None:
    """Raises the keys of the pixel centres that triangles cover.

    Args:
        fields: (15, N) of `_fields`.
        box: (4, N) int64: first pixel of each triangle's box, its columns and rows; triangle number.
        width: of the pictures.
        keys: (B H W,) of the batch.
    """
    ends = torch.cumsum(box[1] * box[2], dim=0)
    total = int(ends[-1]) if len(ends) else 0
    for start in range(0, total, CANDIDATES):
        candidate = torch.arange(start, min(start + CANDIDATES, total), device=keys.device)
        of = torch.searchsorted(ends, candidate, right=True)
        pixel, columns, rows, number = box.index_select(1, of)
        place = candidate - ends[of] + columns * rows
        row, column = place // columns, place % columns
        field = fields.index_select(1, of)
        edge = field[0:3] + row * field[3:6] - column * field[6:9]
        here = (field[12] + edge[1] * field[13] + edge[2] * field[14]).to(torch.float32)
        seen = ((edge >= field[9:12]).all(dim=0) & (here > 0)).nonzero().squeeze(1)
        key = (here[seen].view(torch.int32).long() << 32) | (LAST - number[seen])
        keys.scatter_reduce_(0, (pixel + row * width + column)[seen], key, "amax")


def _finish(
    placed: Tensor, corners: Tensor, keys: Tensor, triangle: Tensor, barycentric: Tensor, depth: Tensor
) -> None:
    """Writes the fragments of the covered pixels (the arguments of `rasterize_tensors`, of one block)."""
    _, _, vertices = placed.shape
    *_, width = triangle.shape
    picture, pixel = keys.nonzero(as_tuple=True)
    row, column = pixel // width, pixel % width
    number = LAST - (keys[picture, pixel] & LAST)
    at = corners[:, number] + vertices * picture
    x, y, inverse = (axis.reshape(-1)[at] for axis in placed)
    edge, _, _ = _edges(x - column, y - row)
    weight = edge * inverse
    scale = 1 / (weight[0] + weight[1] + weight[2])
    triangle[picture, row, column] = number.to(torch.int32)
    barycentric[picture, row, column] = (weight * scale).T
    depth[picture, row, column] = (edge[0] + edge[1] + edge[2]) * scale
