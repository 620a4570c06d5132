"""What JPEG compression leaves of pictures, in torch: baseline, colour at half resolution.

Source: ITU-T T.81 (1992), annexes A and K; colour as in JFIF, scaling of the tables by quality and smooth
enlargement of colour as in the Independent JPEG Group's library.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
"""Table K.1."""

CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99), (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99), *((99,) * 8,) * 4,
)  # fmt: skip
"""Table K.2."""

_TO_YCC = (
    (0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312),
)  # fmt: skip


def jpeg(planes: Tensor, quality: Tensor) -> Tensor:
    """Pictures after a JPEG file.

    Args:
        planes: (N, 3, H, W) sRGB in [0, 255].
        quality: (N,) from 1 to 100.

    Returns:
        (N, 3, H, W) in [0, 255], whole numbers.
    """
    height, width = planes.shape[-2:]
    whole = F.pad(planes, (0, -width % 16, 0, -height % 16), mode="replicate")
    to_ycc = planes.new_tensor(_TO_YCC)
    ycc = torch.einsum("nchw,dc->ndhw", whole, to_ycc).round()
    luma = _quantised(ycc[:, :1] - 128, _table(LUMINANCE, quality))
    chroma = _quantised(F.avg_pool2d(ycc[:, 1:], 2).round(), _table(CHROMINANCE, quality))
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    decoded = torch.cat([luma + 128, chroma.round()], 1)
    rgb = torch.einsum("nchw,dc->ndhw", decoded, torch.linalg.inv(to_ycc.double()).to(to_ycc))
    return rgb[..., :height, :width].round().clamp(0, 255)


def _table(base: tuple[tuple[int, ...], ...], quality: Tensor) -> Tensor:
    """(N, 8, 8) quantisation steps at (N,) qualities."""
    percent = torch.where(quality < 50, torch.floor(5000 / quality), 200 - 2 * quality)
    steps = torch.floor((quality.new_tensor(base) * percent[:, None, None] + 50) / 100)
    return steps.clamp(1, 255)


def _quantised(planes: Tensor, steps: Tensor) -> Tensor:
    """(N, C, H, W) planes whose blocks of 8 x 8 have cosine coefficients that are multiples of (N, 8, 8)."""
    cosines = _cosines().to(planes)
    blocks = planes.unflatten(3, (-1, 8)).unflatten(2, (-1, 8))
    steps = steps[:, None, None, :, None, :]
    coefficients = torch.einsum("ui,nchiwj,vj->nchuwv", cosines, blocks, cosines)
    coefficients = (coefficients / steps).round() * steps
    blocks = torch.einsum("ui,nchuwv,vj->nchiwj", cosines, coefficients, cosines)
    return blocks.flatten(4, 5).flatten(2, 3).round().clamp(-128, 127)


def _cosines() -> Tensor:
    """(8, 8) the orthonormal DCT, frequency by place (T.81, A.3.3)."""
    place = torch.arange(8, dtype=torch.float64)
    table = torch.cos(math.pi / 16 * (2 * place + 1) * place[:, None]) / 2
    table[0] /= math.sqrt(2)
    return table
