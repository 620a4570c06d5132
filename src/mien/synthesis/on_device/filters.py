"""Filters of whole batches, each picture its own: a separable one is a matrix on each side of a picture."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def separable(planes: Tensor, matrix: Tensor) -> Tensor:
    """The same filter along columns and rows.

    Args:
        planes: (N, C, S, S).
        matrix: (N, S, S), from samples to samples.
    """
    return matrix[:, None] @ planes @ matrix[:, None].mT


def gaussian(sigma_px: Tensor, used: Tensor, size: int) -> Tensor:
    """Gaussian filters within the first samples, cut off at three deviations; no filter where sigma is 0.

    Args:
        sigma_px: (N,) deviations.
        used: (N,) how many samples there are; the rest repeat the last.
        size: S.

    Returns:
        (N, S, S).
    """
    place = torch.arange(size, device=sigma_px.device)
    target = torch.minimum(place, (used - 1)[:, None])[..., None]
    off = (place - target) / sigma_px.clamp_min(0.05)[:, None, None]
    weight = torch.exp(-0.5 * off**2) * ((off.abs() <= 3) & (place < used[:, None, None]))
    return weight / weight.sum(-1, keepdim=True)


def area(used: Tensor, size: int) -> Tensor:
    """Filters that shrink S samples to fewer by their mean over each one's span; the rest repeat the last.

    Args:
        used: (N,) how many samples are left.
        size: S.

    Returns:
        (N, S, S).
    """
    place = torch.arange(size, device=used.device)
    target = torch.minimum(place, (used - 1)[:, None])[..., None]
    span = (size / used)[:, None, None]
    overlap = torch.minimum(place + 1, (target + 1) * span) - torch.maximum(place, target * span)
    return overlap.clamp_min(0) / span


def sample(planes: Tensor, points_px: Tensor, mode: str = "bilinear") -> Tensor:
    """(N, C, S, S) pictures at (N, H, W, 2) points; beyond the border the border's colour."""
    grid = points_px * (2 / planes.shape[-1]) - 1
    return F.grid_sample(planes, grid, mode=mode, padding_mode="border", align_corners=False)


def sample_bank(bank: Tensor, number: Tensor, points_px: Tensor) -> Tensor:
    """Points of pictures of a bank, each batch entry in a picture of its own; mirrored beyond their borders.

    Args:
        bank: (C, K, S, S) K pictures.
        number: (N,) int64 of the picture.
        points_px: (N, H, W, 2).

    Returns:
        (N, C, H, W).
    """
    layer = (number * (2 / (bank.shape[1] - 1)) - 1)[:, None, None, None].expand(*points_px.shape[:-1], 1)
    last = bank.shape[-1] - 1
    # a volume whose layers are the pictures, asked exactly at its layers
    grid = torch.cat([((points_px - 0.5) * (2 / last) - 1), layer], -1)
    return F.grid_sample(bank[None], grid[None], padding_mode="reflection", align_corners=True)[0].transpose(
        0, 1
    )
