"""Masks of shapes in whole batches of pictures: polygons, superellipses, lines. Pixels, picture frame."""

from __future__ import annotations

import torch
from torch import Tensor

_SCANLINES = 4
"""Lines along which a row of pixels is filled."""
_UNITS = 256
"""Parts of a pixel in which coverage is counted: sums of whole numbers have no order."""


def centres(size: int, device: torch.device) -> Tensor:
    """(S, S, 2) x and y of the pixels' centres."""
    axis = torch.arange(size, device=device) + 0.5
    return torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)


def polygon(outline: Tensor, size: int) -> Tensor:
    """Share of each pixel inside polygons, inside where an outline winds around.

    Along each scanline an edge changes the winding number where it crosses; the number at a place is the sum
    of the changes to its left.

    Args:
        outline: (N, M, 2) corners.
        size: side S of the pictures.

    Returns:
        (N, S, S).
    """
    count, rows = len(outline), size * _SCANLINES
    y = ((torch.arange(rows, device=outline.device) + 0.5) / _SCANLINES)[:, None]
    (x0, y0), (x1, y1) = (ends[:, None].unbind(-1) for ends in (outline, outline.roll(-1, 1)))
    above, below = y0 <= y, y1 <= y
    rise = torch.where(y1 == y0, 1.0, y1 - y0)
    x = (x0 + (y - y0) / rise * (x1 - x0)).clamp(0, size)
    part = ((x - x.floor()) * _UNITS).round().int()
    winding = above.int() - below.int()
    changes = torch.zeros(count, rows, size + 2, dtype=torch.int32, device=outline.device)
    changes.scatter_add_(2, x.long(), winding * (_UNITS - part))
    changes.scatter_add_(2, x.long() + 1, winding * part)
    inside = changes[..., :size].cumsum(2).abs().clamp(max=_UNITS)
    return inside.view(count, size, _SCANLINES, size).float().mean(2) / _UNITS


def superellipse(points: Tensor, half_axes: Tensor, power: Tensor) -> Tensor:
    """Distance to the outline |x / a|^(2 / power) + |y / b|^(2 / power) = 1, to the first order.

    Args:
        points: (..., 2) in the frame of the axes.
        half_axes: (..., 2) a and b.
        power: (...) 1 gives an ellipse, 0 a rectangle.

    Returns:
        (...) negative inside.
    """
    exponent = 2 / power
    across = (points.abs() / half_axes).clamp_min(1e-4)
    norm = (across ** exponent[..., None]).sum(-1) ** (1 / exponent)
    slope = ((across / norm[..., None]) ** (exponent - 1)[..., None] / half_axes).norm(dim=-1)
    return (norm - 1) / slope


def segment(points: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """(...) distance of points (..., 2) to the segment between two points (..., 2)."""
    along, offset = end - start, points - start
    share = (offset * along).sum(-1) / (along * along).sum(-1).clamp_min(1e-6)
    return (offset - share.clamp(0, 1)[..., None] * along).norm(dim=-1)


def covered(distance: Tensor) -> Tensor:
    """(...) share of a pixel inside a shape whose outline is at a distance (...), negative inside."""
    return (0.5 - distance).clamp(0, 1)
