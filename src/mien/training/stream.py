"""Training pictures made while the network trains: a stream in which the position is one integer."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mien.errors import BadTraining
from mien.morphable import MorphableModel
from mien.training.crop_code import CropCode, landmarks_in_crop

_GRACE_SECONDS = 30

Generator = Callable[[MorphableModel, Any, int, int], Any]
"""(model, recipe, seed, block) to `mien.synthesis.Pictures`, the same for the same arguments."""


class Batch(NamedTuple):
    """Pictures and what is true of them.

    Attributes:
        images: (N, S, S, 3) uint8 sRGB.
        landmarks: (N, 478, 2) as detected, in half sides of the crop from its centre.
        codes: what they show, in the crop's camera.
    """

    images: Tensor
    landmarks: Tensor
    codes: CropCode

    def to(self, device: torch.device) -> Batch:
        """All of it on a device."""
        return Batch(
            self.images.to(device, non_blocking=True),
            self.landmarks.to(device, non_blocking=True),
            self.codes.to(device, non_blocking=True),
        )

    @property
    def pictures(self) -> Tensor:
        """(N, 3, S, S) float32 in [0, 1], channels last in memory."""
        return self.images.permute(0, 3, 1, 2).float() / 255


@dataclass(frozen=True)
class BlockDataset(Dataset):
    """Batches by the number of their first block. Pickles small: workers load the model themselves.

    Attributes:
        generate: makes one block.
        load: makes the morphable model, in the process that needs it.
        recipe: of the pictures.
        seed: of the stream.
        blocks: how many make a batch.
    """

    generate: Generator
    load: Callable[[], MorphableModel]
    recipe: Any
    seed: int
    blocks: int

    def __getitem__(self, first: int) -> Batch:
        parts = [
            self.generate(_loaded(self.load), self.recipe, self.seed, first + i) for i in range(self.blocks)
        ]
        codes = [CropCode.from_code(part.codes, self.recipe.size) for part in parts]
        landmarks = np.concatenate([part.landmarks_px for part in parts]).astype(np.float32)
        return Batch(
            torch.from_numpy(np.concatenate([part.images for part in parts])),
            torch.from_numpy(landmarks_in_crop(landmarks, self.recipe.size)),
            CropCode(*(torch.cat(column) for column in zip(*codes, strict=True))),
        )

    def batches(self, first: int, stride: int, end: int, workers: int) -> Iterator[Batch]:
        """Batches that start at blocks first, first + stride, ... below end, in order.

        Args:
            workers: processes that make them ahead; 0 makes each when it is asked for.
        """
        loader = DataLoader(
            self,
            batch_size=None,
            sampler=range(first, end, stride),
            num_workers=workers,
            prefetch_factor=2 if workers else None,
            multiprocessing_context="spawn" if workers else None,
            worker_init_fn=_start_worker,
        )
        return iter(loader)


def pictures_per_block(generate: Generator, model: MorphableModel, recipe: Any) -> int:
    """N of the generator, which its first block shows.

    Raises:
        BadTraining: the generator's pictures are not of the recipe's size.
    """
    images = generate(model, recipe, 0, 0).images
    if images.shape[1:] != (recipe.size, recipe.size, 3) or images.dtype != np.uint8:
        raise BadTraining(
            f"the generator's pictures are {images.dtype} of shape {images.shape[1:]}; "
            f"the recipe says uint8 of ({recipe.size}, {recipe.size}, 3)"
        )
    return len(images)


@cache
def _loaded(load: Callable[[], MorphableModel]) -> MorphableModel:
    return load()


def _start_worker(_: int) -> None:
    # whoever stops a whole group of processes shall let the trainer finish its step and write a checkpoint
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_GRACE_SECONDS))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    numba.set_num_threads(1)  # first, as its start sets torch's threads too
    torch.set_num_threads(1)
