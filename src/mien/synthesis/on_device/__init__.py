"""The random pictures again, in torch: whole batches, and nothing leaves the device.

Numbers of which a picture has a few are drawn by NumPy, so that codes, shares and shapes are those of the
NumPy form and no branch waits for the device; what a picture has thousands of is drawn there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from mien.facecode import ARKIT_NAMES, FaceCode
from mien.morphable import MorphableModel
from mien.render import base_only, render
from mien.synthesis import Pictures, Recipe
from mien.synthesis.codes import random_codes
from mien.synthesis.on_device.chance import Chance
from mien.synthesis.on_device.crops import Crops
from mien.synthesis.on_device.filters import sample
from mien.synthesis.on_device.photograph import photograph
from mien.synthesis.on_device.world import World
from mien.synthesis.shades import random_depths, shades


@dataclass(frozen=True, eq=False)
class DeviceGenerator:
    """Makes blocks of labelled pictures on a device.

    A block is a pure function of model, recipe, count, seed, number and the kind of device; its codes are
    those of the NumPy form if that has as many pictures in a block.

    Attributes:
        model: whose codes are drawn; NumPy.
        recipe: what the pictures are made of.
        device: where the pictures are made.
        count: N, pictures of a block.
    """

    model: MorphableModel
    recipe: Recipe
    device: torch.device
    count: int = 256

    def __call__(self, seed: int, block: int) -> Pictures:
        """One block: (N, S, S, 3) uint8, (N, 478, 2) float32 and codes float32, tensors on the device."""
        rng = np.random.default_rng([seed, block])
        return self.picture(random_codes(self.model, rng, self.count), rng)

    @torch.no_grad()
    def picture(self, codes: FaceCode, rng: np.random.Generator) -> Pictures:
        """As `mien.synthesis.picture`, of tensors on the device.

        Args:
            codes: (N), NumPy.
            rng: source of chance.
        """
        size, chance = self.recipe.size, Chance(rng, self.device)
        parts = {name: chance.tensor(getattr(codes, name)) for name in codes.layout.shapes}
        seen, landmarks_px = self._crops.seen(FaceCode(**parts, model=codes.model), chance, size)
        exact_px = self._crops.landmarks_px(seen, size)
        world = World(chance, exact_px, size) if self.recipe.world else None
        samples = 2 if size < 160 else 1
        albedo = base_only(self._model).albedo(seen.albedo)
        if world and self.model.expression_names == ARKIT_NAMES:
            depths = chance.tensor(random_depths(chance.rng, codes.expression))
            albedo = albedo * torch.exp(-torch.tensordot(depths, self._shades, 1))
        drawn = render(
            self._model,
            seen,
            (size, size),
            detail=False,
            supersample=samples,
            albedo=albedo,
            background=world.backgrounds() if world else None,
        )
        if world is None:
            return Pictures(drawn.image_uint8, landmarks_px, seen)
        planes = (255 * drawn.image).permute(0, 3, 1, 2).contiguous()
        brightness = sample(planes, exact_px[:, None]).mean((1, 2, 3))
        world.dress(planes)
        planes, pixel = photograph(planes, brightness, chance)
        landmarks_px += chance.noise(landmarks_px.shape) * 0.15 * (pixel - 1)[:, None, None]
        images = planes.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        return Pictures(images, landmarks_px, seen)

    @cached_property
    def _model(self) -> MorphableModel:
        return self.model.to(torch.empty(0, device=self.device))

    @cached_property
    def _shades(self) -> torch.Tensor:
        return torch.from_numpy(shades(self.model)).to(self.device)

    @cached_property
    def _crops(self) -> Crops:
        return Crops.of(self.model, self.device)
