"""Training pictures made on the training device, in the training process itself: no worker, no transfer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mien.synthesis.on_device import DeviceGenerator
from mien.training.crop_code import CropCode, landmarks_in_crop
from mien.training.stream import Batch


@dataclass(frozen=True)
class DeviceStream:
    """Batches by their number, in place of `mien.training.stream.BlockDataset`: a block is a batch.

    Attributes:
        generate: makes one block of as many pictures as a batch has.
        seed: of the stream.
    """

    generate: DeviceGenerator
    seed: int

    def __getitem__(self, number: int) -> Batch:
        size = self.generate.recipe.size
        made = self.generate(self.seed, number)
        landmarks = landmarks_in_crop(made.landmarks_px, size)
        return Batch(made.images, landmarks, CropCode.from_code(made.codes, size))

    def batches(self, first: int, stride: int, end: int, workers: int = 0) -> Iterator[Batch]:
        """Batches first, first + stride, ... below end, each made when it is asked for, without workers."""
        return (self[number] for number in range(first, end, stride))
