"""Pictures of the tiny head with the signature of `mien.synthesis`, well made or not, and a tiny run."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from mien import synthesis
from mien.camera import Camera, project, to_camera
from mien.facecode import FaceCode
from mien.morphable import MorphableModel
from mien.render import render
from mien.training.config import TrainingConfig
from tiny_face import tiny_code

BLOCK = 8
BACKBONE = "test_efficientnet"


@dataclass(frozen=True)
class Recipe(synthesis.Recipe):
    size: int = 48


@dataclass(frozen=True, eq=False)
class Pictures:
    images: np.ndarray
    landmarks_px: np.ndarray
    codes: FaceCode


def generate(model: MorphableModel, recipe: Recipe, seed: int, block: int) -> Pictures:
    """Renderings on black with exact landmarks plus noise."""
    size = recipe.size
    rng = np.random.default_rng([seed, block])
    code = tiny_code(int(rng.integers(2**31)), (BLOCK,))
    code = code.with_(focal_px=code.focal_px * np.float32(size / 96))
    images = render(model, code, (size, size)).image_uint8
    points = model.landmarks478(model.vertices(code.identity, code.expression))
    camera = Camera(code.focal_px, np.full(2, size / 2, np.float32), (size, size))
    landmarks = project(to_camera(points, code.rotation, code.translation), camera)[..., :2]
    return Pictures(images, (landmarks + rng.normal(0, 0.2, landmarks.shape)).astype(np.float32), code)


def killed_at(last: int, model: MorphableModel, recipe: Recipe, seed: int, block: int, signal=9) -> Pictures:
    """`generate`, but when block `last` of the run is due, the training process gets a signal."""
    if seed == 0 and block == last:
        os.kill(os.getppid() if multiprocessing.parent_process() else os.getpid(), signal)
    return generate(model, recipe, seed, block)


def poisoned_at(last: int, model: MorphableModel, recipe: Recipe, seed: int, block: int) -> Pictures:
    """`generate`, but block `last` of the run has a number that no loss can bear."""
    made = generate(model, recipe, seed, block)
    if seed == 0 and block == last:
        made.codes.identity[0, 0] = np.inf
    return made


def astray_from(first: int, model: MorphableModel, recipe: Recipe, seed: int, block: int) -> Pictures:
    """`generate`, but from block `first` of the run on nothing that the network says can be true."""
    made = generate(model, recipe, seed, block)
    if seed == 0 and block >= first:
        made.codes.identity[:] = 1e3
    return made


def short_of_memory_at(
    last: int, kind: str, model: MorphableModel, recipe: Recipe, seed: int, block: int
) -> Pictures:
    """`generate`, but block `last` of the run needs more memory than there is: torch's or, as if, a GPU's."""
    if seed == 0 and block == last:
        if kind == "gpu":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has ...")
        torch.empty(1 << 60, dtype=torch.uint8)
    return generate(model, recipe, seed, block)


def wrong_size(model: MorphableModel, recipe: Recipe, seed: int, block: int) -> Pictures:
    """Pictures that are not square."""
    made = generate(model, recipe, seed, block)
    return replace(made, images=made.images[:, :40])


def tiny_config(folder: Path, **settings) -> TrainingConfig:
    """A run of a few seconds."""
    defaults = {"backbone": BACKBONE, "pictures": 64, "batch_size": 8, "validation_blocks": 1, "workers": 0}
    return TrainingConfig(folder=folder, **({"recipe": Recipe(), "model": "tiny"} | defaults | settings))
