"""Pictures through lens, sensor, processing and file, in torch: the camera of `mien.synthesis.world`.

A picture of fewer pixels is kept in the first rows and columns of one of full size, the rest of which repeats
its last: so that pictures of all resolutions go through each step together.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mien.synthesis.on_device.chance import Chance
from mien.synthesis.on_device.filters import area, gaussian, sample, separable
from mien.synthesis.on_device.jpeg import jpeg
from mien.synthesis.on_device.shapes import centres
from mien.synthesis.world import GREY_PICTURES, LOW_RESOLUTION, SMALLEST_FACE_PX

GREY = (0.299, 0.587, 0.114)
"""Weights of sRGB's channels in a grey picture (ITU-R BT.601)."""


def photograph(planes: Tensor, brightness: Tensor, chance: Chance) -> tuple[Tensor, Tensor]:
    """What a camera makes of pictures, another camera for each.

    Args:
        planes: (N, 3, S, S) sRGB in [0, 255].
        brightness: (N,) mean of the face in [0, 255], which stays.
        chance: source of chance.

    Returns:
        The pictures, not rounded, and (N,) the widths of their real pixels.
    """
    (count, _, size, _), rng = planes.shape, chance.rng
    smallest = min(1.0, SMALLEST_FACE_PX / (0.7 * size))
    low = chance.flags(LOW_RESOLUTION, count)
    side = np.where(low, (size * np.exp(rng.uniform(np.log(smallest), 0, count))).astype(int), size)
    kind = rng.random(count)
    blurred, moved = kind < 0.35, (kind >= 0.35) & (kind < 0.42)
    sigma = np.where(blurred, rng.uniform(0.3, 1.6, count) * side / 112 + 0.05, 0.0)

    chosen = np.flatnonzero(low | blurred)
    if len(chosen):
        used = chance.tensor(side[chosen])
        matrix = gaussian(chance.tensor(sigma[chosen]), used, size) @ area(used, size)
        some = chance.numbers(chosen)
        planes[some] = separable(planes[some], matrix)
    chosen = np.flatnonzero(moved)
    if len(chosen):
        some = chance.numbers(chosen)
        planes[some] = _moved(planes[some], side[chosen], chance)
    planes = _toned(planes, brightness, chance)
    grey = chance.tensor(chance.flags(GREY_PICTURES, count))[:, None, None, None]
    planes = torch.lerp(planes, torch.einsum("nchw,c->nhw", planes, planes.new_tensor(GREY))[:, None], grey)
    planes = _noisy(planes, chance).round_().clamp_(0, 255)
    chosen = np.flatnonzero(chance.flags(0.4, count))
    if len(chosen):
        some = chance.numbers(chosen)
        planes[some] = jpeg(planes[some], chance.tensor(rng.integers(20, 96, len(chosen))))
    cubic = chance.flags(0.5, count)
    for mode, wanted in (("bicubic", cubic), ("bilinear", ~cubic)):
        chosen = np.flatnonzero((side != size) & wanted)
        if len(chosen):
            some = chance.numbers(chosen)
            scale = chance.tensor(side[chosen] / size)[:, None, None, None]
            planes[some] = sample(planes[some], centres(size, planes.device) * scale, mode)
    return planes, chance.tensor(size / side)


def _moved(planes: Tensor, side: np.ndarray, chance: Chance) -> Tensor:
    """(n, 3, S, S) pictures, `side` pixels of them used, by a camera that moved along a line."""
    count, size = len(planes), planes.shape[-1]
    length = np.maximum(3, (chance.rng.uniform(0.015, 0.045, count) * side).astype(int))
    angle = chance.rng.uniform(0, np.pi, count)
    reach = chance.tensor((length - 1)[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1))[:, None, None]
    # the NumPy form moves by half the way twice: a triangle of weights
    steps = np.linspace(-1, 1, 2 * max(3, int(0.045 * size)) + 1)[1:-1]
    weights = (1 - abs(steps)) / (1 - abs(steps)).sum()
    pixels = centres(size, planes.device)
    return sum(
        float(w) * sample(planes, pixels + float(t) * reach) for w, t in zip(weights, steps, strict=True)
    )


def _toned(planes: Tensor, brightness: Tensor, chance: Chance) -> Tensor:
    """Gamma and contrast, around the face's brightness, of seven pictures in ten."""
    count, changed = len(planes), chance.tensor(chance.flags(0.7, len(planes)))

    def random(deviation: float) -> Tensor:
        return (chance.normal(count) * deviation * changed)[:, None, None, None]

    pivot = brightness.clamp_min(0.05 * 255)[:, None, None, None]
    curve = pivot * (planes.clamp(0, 255) / pivot) ** torch.exp(random(0.15))
    return ((curve - pivot) * torch.exp(random(0.12)) + pivot + 255 * random(0.01)).clamp(0, 255)


def _noisy(planes: Tensor, chance: Chance) -> Tensor:
    """Grain in six pictures of ten, partly common to the channels, as a sensor's is."""
    count, _, size, _ = planes.shape
    strength = np.minimum(chance.rng.exponential(0.12, count), 0.6) * chance.flags(0.6, count) * 32
    grain = 0.8 * chance.noise((count, 1, size, size)) + 0.6 * chance.noise((count, 3, size, size))
    return planes + grain * chance.tensor(strength)[:, None, None, None]
