"""One source of chance for host and device."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Chance:
    """Random numbers as float32 tensors on a device.

    Attributes:
        rng: source of the numbers of which a picture has a few, and of the device's seed.
        device: where the tensors are.
    """

    rng: np.random.Generator
    device: torch.device
    generator: torch.Generator = field(init=False)

    def __post_init__(self) -> None:
        generator = torch.Generator(self.device)
        generator.manual_seed(int(self.rng.integers(1 << 62)))
        object.__setattr__(self, "generator", generator)

    def tensor(self, array: np.ndarray) -> Tensor:
        """An array of numbers on the device."""
        return torch.from_numpy(np.asarray(array, np.float32)).to(self.device)

    def numbers(self, array: np.ndarray) -> Tensor:
        """An array of places on the device, int64."""
        return torch.from_numpy(np.asarray(array, np.int64)).to(self.device)

    def normal(self, *size: int) -> Tensor:
        """Standard normal, drawn by NumPy."""
        return self.tensor(self.rng.standard_normal(size, np.float32))

    def uniform(self, low: float, high: float, *size: int) -> Tensor:
        """Even between two bounds, drawn by NumPy."""
        return self.tensor(self.rng.uniform(low, high, size))

    def flags(self, share: float, *size: int) -> np.ndarray:
        """Booleans, NumPy, of which a share is true."""
        return self.rng.random(size) < share

    def noise(self, size: tuple[int, ...]) -> Tensor:
        """Standard normal, drawn on the device."""
        return torch.randn(size, generator=self.generator, device=self.device)
