"""The world around faces, in torch: the shapes, shares and colours of `mien.synthesis.world`, batch by batch.

Each kind of thing is drawn for the pictures that have it, all at once.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from mien.synthesis.on_device.chance import Chance
from mien.synthesis.on_device.filters import gaussian, sample_bank, separable
from mien.synthesis.on_device.shapes import centres, covered, polygon, segment, superellipse
from mien.synthesis.textures import COUNT, SIDE, strands, surfaces
from mien.synthesis.world import GLASSES, HAIR, HAND, THING, UPPER_OVAL


class World:
    """What surrounds some faces, one random world a face.

    Attributes:
        chance: source of chance.
        landmarks_px: (N, 478, 2) where the landmarks truly are.
        size: side S of the pictures in pixels.
    """

    def __init__(self, chance: Chance, landmarks_px: Tensor, size: int) -> None:
        self.chance, self.landmarks_px, self.size = chance, landmarks_px, size

    def backgrounds(self) -> Tensor:
        """(N, S, S, 3) sRGB in [0, 1]."""
        return self._cloth(len(self.landmarks_px)).permute(0, 2, 3, 1) / 255

    def dress(self, planes: Tensor) -> None:
        """Draws what is before the faces into (N, 3, S, S) pictures, sRGB in [0, 255]."""
        shares = ((self._hair, HAIR), (self._glasses, GLASSES), (self._hands, HAND), (self._things, THING))
        for draw, share in shares:
            chosen = self.chance.numbers(np.flatnonzero(self.chance.flags(share, len(planes))))
            if len(chosen):
                planes[chosen] = draw(planes[chosen], self.landmarks_px[chosen])

    def _cloth(self, count: int) -> Tensor:
        """(count, 3, S, S) pieces of random surfaces at random scales."""
        chance, rng = self.chance, self.chance.rng
        number, side = rng.integers(COUNT, size=count), rng.integers(SIDE // 6, SIDE, count)
        first = chance.tensor(rng.integers((SIDE - side)[:, None], size=(count, 2)))[:, None, None]
        # mirrored along one axis or both, as in the NumPy form
        mirrored = chance.tensor(np.array([[1, 0], [0, 1], [1, 1]])[rng.integers(3, size=count)])
        share = (centres(self.size, chance.device) / self.size - mirrored[:, None, None]).abs()
        place = first + share * chance.tensor(side)[:, None, None, None]
        return sample_bank(_banks(chance.device)[0], chance.numbers(number), place)

    def _hair(self, planes: Tensor, points: Tensor) -> Tensor:
        """Hair or hats: a cap over the forehead, its sides of any length."""
        chance, rng, count = self.chance, self.chance.rng, len(planes)
        line = points[:, list(UPPER_OVAL)]
        eyes, chin = points[:, [33, 263]].mean(1, keepdim=True), points[:, None, 152]
        down = chin - eyes
        steps = len(UPPER_OVAL)
        t = torch.linspace(-1, 1, steps, device=planes.device)
        middle = (1 - t**2)[:, None]
        fringe = (
            (0.16 * chance.normal(count, 1)).clamp(-0.2, 0.5)
            + 0.1 * chance.normal(count, 1) * t
            + 0.03 * chance.normal(count, steps)
        )
        sides = 0.10 * chance.normal(count, 1) + 0.02 * chance.normal(count, steps)
        inner = (
            line
            + (fringe[..., None] * middle + 0.02) * down
            - sides[..., None] * (line - eyes) * (1 - middle)
        )
        volume = chance.uniform(0.15, 0.7, count, 1) + 0.03 * chance.normal(count, steps)
        outer = line + (line - eyes) * volume[..., None] - down * (0.35 * middle + 0.05)
        lengths = np.stack([np.zeros(count), rng.uniform(0.0, 0.5, count), rng.uniform(0.5, 2.5, count)], 1)
        kind = rng.choice(3, (count, 2), p=[0.4, 0.3, 0.3])
        ends = chance.tensor(np.take_along_axis(lengths, kind, 1))[..., None] * down
        first, last = ends[:, :1], ends[:, 1:]
        outline = torch.cat(
            [inner[:, :1] + first, inner, inner[:, -1:] + last, outer[:, -1:] + last, outer.flip(1),
             outer[:, :1] + first], 1,
        )  # fmt: skip
        face = down.norm(dim=-1)[:, 0]
        soft_px = 0.3 + 0.03 * face * chance.uniform(0, 1, count)
        cloth = chance.tensor(chance.flags(0.12, count))[:, None, None, None]
        hair = self._strands((eyes - 1.1 * down)[:, 0], face)
        colour = torch.lerp(hair, self._cloth(count), cloth)
        return torch.lerp(planes, colour, self._filled(outline, soft_px))

    def _strands(self, crown: Tensor, face: Tensor) -> Tensor:
        """(n, 3, S, S) hair of any colour that falls from n crowns (n, 2) over faces of n lengths."""
        chance, rng, count = self.chance, self.chance.rng, len(face)
        _, bank = _banks(chance.device)
        scale = SIDE / (chance.uniform(2.8, 4.5, count, 1) * face[:, None])
        parting = crown + chance.normal(count, 2) * face[:, None] * face.new_tensor([0.35, 0.05])
        side, lean = chance.tensor(rng.choice([-1.0, 1.0], (count, 1))), 0.1 * chance.normal(count, 1)
        axes = torch.cat([side, lean, torch.zeros_like(side), torch.ones_like(side)], 1) * scale
        from_parting = centres(self.size, chance.device) - parting[:, None, None]
        place = from_parting @ axes.view(count, 1, 2, 2).mT + face.new_tensor([SIDE / 2, 0])
        streaks = sample_bank(bank, chance.numbers(rng.integers(bank.shape[1], size=count)), place)
        light = chance.uniform(0.4, 1.6, count, 1, 1, 1) * (streaks / 128) ** 1.5
        colour = chance.tensor(_hair_colours(rng, count))
        return (light * colour[..., None, None]).clamp(0, 255)

    def _glasses(self, planes: Tensor, points: Tensor) -> Tensor:
        """Two lenses of one shape around the eyes, dark ones at times; bridge and temples."""
        chance, rng, count = self.chance, self.chance.rng, len(planes)
        across = points[:, 263] - points[:, 33]
        unit = (points[:, 152] - points[:, 168]).norm(dim=-1) * 0.2
        fits = (across.norm(dim=-1) >= 1.2 * unit).float()[:, None, None]
        across = across / across.norm(dim=-1, keepdim=True)
        axes = torch.stack([across, torch.stack([-across[:, 1], across[:, 0]], -1)], -1)
        width, height = chance.uniform(0.95, 1.4, count), chance.uniform(0.7, 1.25, count)
        power = chance.uniform(0.45, 1.0, count)[:, None, None, None]
        corners = points[:, [[33, 133], [263, 362]]]
        drop = chance.uniform(0, 0.35, count) * unit
        middle = corners.mean(2) + (drop[:, None] * axes[..., 1])[:, None]
        # a lens seen from the side is narrow: by as much as the eye is
        eye = (corners[:, :, 0] - corners[:, :, 1]).norm(dim=-1)
        narrow = (eye / eye.amax(1, keepdim=True)).clamp(0.3, 1.0) * (width * unit)[:, None]
        half_axes = torch.stack([narrow, (height * unit)[:, None].expand_as(narrow)], -1)[:, :, None, None]

        pixels = centres(self.size, planes.device)
        in_lens = (pixels - middle[:, :, None, None]) @ axes[:, None, None]
        lens = superellipse(in_lens, half_axes, power)
        dark = chance.flags(0.3, count)
        tint = np.where(dark[:, None], rng.uniform(0, 70, (count, 3)), rng.uniform(60, 255, (count, 3)))
        opacity = np.where(dark, rng.uniform(0.6, 1.0, count), rng.uniform(0.0, 0.18, count))
        shade = covered(lens).amax(1) * chance.tensor(opacity)[:, None, None]
        planes = _laid(planes, chance.tensor(tint), shade * fits)

        spot = chance.normal(count, 2, 2) * 0.3 * unit[:, None, None]
        narrowed = chance.uniform(0.1, 0.5, count, 2, 1, 1, 2) * half_axes
        glare = superellipse(in_lens - spot[:, :, None, None], narrowed, power)
        strength = chance.flags(0.3, count, 2) * rng.uniform(0.2, 0.9, (count, 2))
        # an edge blurred by one pixel
        bright = 0.5 * torch.erfc(glare * 0.5**0.5) * chance.tensor(strength)[..., None, None]
        planes = _laid(planes, planes.new_full((count, 3), 250.0), bright.amax(1) * fits)

        thickness = (unit * chance.uniform(0.04, 0.22, count)).round().clamp_min(1)[:, None, None]
        colour = rng.uniform(0, 255, (count, 3)) * np.where(rng.random((count, 1)) < 0.7, 0.25, 1.0)
        reach = narrow[..., None] * across[:, None]
        right, left = middle.unbind(1)
        lines = (
            (right + reach[:, 0], left - reach[:, 1]),
            (right - reach[:, 0], points[:, 127]),
            (left + reach[:, 1], points[:, 356]),
        )
        nearest = [segment(pixels, start[:, None, None], end[:, None, None]) for start, end in lines]
        framed = chance.tensor(np.where(chance.flags(0.85, count), 0.0, np.inf))[:, None, None, None]
        nearest.append((lens.abs() + framed).amin(1))
        frame = covered(torch.stack(nearest).amin(0) - thickness / 2)
        return _laid(planes, chance.tensor(colour), frame * fits)

    def _hands(self, planes: Tensor, points: Tensor) -> Tensor:
        """Some fingers from the border to somewhere on the face, in the colour of the skin nearly."""
        chance, rng, count = self.chance, self.chance.rng, len(planes)
        every = torch.arange(count, device=planes.device)
        unit = (points[:, 152] - points[:, 168]).norm(dim=-1, keepdim=True) * 0.17
        tip = points[every, chance.numbers(rng.integers(468, size=count))] + chance.normal(count, 2) * unit
        angle = chance.uniform(-0.9, np.pi + 0.9, count)
        way = torch.stack([torch.cos(angle), torch.sin(angle)], -1)
        aside = torch.stack([-way[:, 1], way[:, 0]], -1)
        cheek = points[every, chance.numbers(rng.choice([50, 280, 205, 425], count))]
        x, y = cheek.clamp(0, self.size - 1).long().unbind(-1)
        skin = planes[every, :, y, x] * chance.uniform(0.6, 1.2, count, 1) + chance.normal(count, 3) * 10
        fingers, width = rng.integers(1, 5, count), unit * chance.uniform(0.75, 1.1, count, 1)
        k = torch.arange(4, device=planes.device)[:, None]
        unit, width, way, aside = (a[:, None] for a in (unit, width, way, aside))
        tips = tip[:, None] + aside * k * width * 1.05 + way * unit * (k - 1.5).abs() * 0.6
        knuckles = tips + way * unit * chance.uniform(3.0, 3.6, count, 4, 1)
        knuckles = knuckles + aside * 0.2 * unit * chance.normal(count, 4, 1)
        last = knuckles[every, chance.numbers(fingers - 1)][:, None]
        sides = torch.cat([knuckles[:, :1] - aside * width * 0.55, last + aside * width * 0.55], 1)
        palm = torch.cat([sides, sides.flip(1) + way * unit * 4.5], 1)
        arm = palm.mean(1, keepdim=True) + aside * unit * unit.new_tensor([[-1.4], [1.4], [1.8], [-1.8]])
        arm = arm + way * 2 * self.size * unit.new_tensor([[0], [0], [1], [1]])
        open_hand = chance.tensor(fingers > 1)[:, None, None]
        for outline in (arm, palm):
            mask = self._filled(outline, 0.12 * unit.flatten())[:, 0] * open_hand
            planes = _laid(planes, (0.92 * skin).clamp(0, 255), mask)

        pixels = centres(self.size, planes.device)
        absent = chance.tensor(np.where(np.arange(4) < fingers[:, None], 0, 1e6))[..., None, None]

        def strokes(start: Tensor, end: Tensor, thickness: Tensor) -> Tensor:
            distance = segment(pixels, start[:, :, None, None], end[:, :, None, None]) + absent
            return covered(distance.amin(1) - thickness.round().clamp_min(1) / 2)

        # round: dark rims, a lighter middle; a nail
        for shade, share in ((0.7, 1.1), (0.95, 0.95), (1.06, 0.45)):
            planes = _laid(planes, (shade * skin).clamp(0, 255), strokes(tips, knuckles, share * width))
        nails = strokes(tips - way * width * 0.1, tips + way * width * 0.2, 0.5 * width)
        nails = nails * chance.tensor(chance.flags(0.6, count))[:, None, None]
        return _laid(planes, (1.1 * skin + 22).clamp(0, 255), nails)

    def _things(self, planes: Tensor, _: Tensor) -> Tensor:
        """Textured blobs anywhere: a microphone, a cup, a mask, another head."""
        chance, rng, count = self.chance, self.chance.rng, len(planes)
        corners = rng.integers(4, 12, (count, 1))
        # those beyond a polygon's last corner are its last corner
        corner = np.minimum(np.arange(11), corners - 1)
        angle = np.sort(np.where(np.arange(11) < corners, rng.uniform(0, 2 * np.pi, (count, 11)), np.inf))
        radius = self.size * rng.uniform(0.06, 0.22, (count, 1)) * rng.uniform(0.7, 1.3, (count, 11))
        angle, radius = (np.take_along_axis(a, corner, 1)[..., None] for a in (angle, radius))
        centre = rng.uniform(0, self.size, (count, 1, 2))
        outline = centre + radius * np.concatenate([np.cos(angle), np.sin(angle)], -1)
        mask = self._filled(chance.tensor(outline), chance.uniform(0.3, 2, count))
        return torch.lerp(planes, self._cloth(count), mask)

    def _filled(self, outline: Tensor, soft_px: Tensor) -> Tensor:
        """(n, 1, S, S) share of polygons (n, M, 2), their edges blurred where it is by more than 0.4 px."""
        mask = polygon(outline, self.size)[:, None]
        sigma = torch.where(soft_px > 0.4, soft_px, 0.0)
        return separable(mask, gaussian(sigma, torch.full_like(sigma, self.size), self.size))


def _laid(planes: Tensor, colour: Tensor, alpha: Tensor) -> Tensor:
    """(n, 3, S, S) pictures with one colour each, (n, 3), over them by a share (n, S, S)."""
    return torch.lerp(planes, colour[..., None, None].expand_as(planes), alpha[:, None].expand_as(planes))


def _hair_colours(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 3): black to blond, red and grey."""
    dark, fair = np.array([22.0, 17.0, 15.0]), np.array([190.0, 155.0, 105.0])
    red, grey = np.array([130.0, 60.0, 30.0]), np.array([165.0, 165.0, 168.0])
    colour = dark + (fair - dark) * rng.beta(0.7, 1.6, (count, 1))
    is_red = rng.random((count, 1)) < 0.6
    share = np.where(is_red, rng.beta(1, 4, (count, 1)), rng.beta(0.7, 1.2, (count, 1)))
    return colour + (np.where(is_red, red, grey) - colour) * share


@lru_cache(maxsize=2)
def _banks(device: torch.device) -> tuple[Tensor, Tensor]:
    """(3, COUNT, SIDE, SIDE) surfaces and (1, 8, SIDE, SIDE) strands, float32 in [0, 255]."""
    banks = surfaces().transpose(3, 0, 1, 2), strands()[None]
    return tuple(torch.from_numpy(np.ascontiguousarray(bank)).to(device).float() for bank in banks)
