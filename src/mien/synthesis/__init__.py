"""Random codes to labelled pictures: what the encoder learns from.

Pictures come in blocks. A block is a pure function of recipe, seed and number, so a corpus is the same
however many processes make it, and a training run finds its place again by one integer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from mien.facecode import ARKIT_NAMES, FaceCode
from mien.morphable import MorphableModel

BLOCK = 64
"""Pictures of a block."""

_AT_ONCE = 16  # pictures that are rendered together: what they need stays in the cache


@dataclass(frozen=True)
class Recipe:
    """What pictures are made of.

    Attributes:
        size: side of a picture in pixels.
        world: whether the world around the code is drawn: background, hair, hands, glasses, camera faults.
            Without it pictures are what the code alone says, on black.
        preset: whose codes and crops: mien's, or those of the thesis (docs/thesis.md).
        detected: share of the pictures, in [0, 1] and the same in each block, whose landmarks are not
            simulated but found by the detector, which takes several times as long. Of mien's preset, and on
            processors only.
    """

    size: int = 112
    world: bool = True
    preset: Literal["mien", "thesis"] = "mien"
    detected: float = 0.0


@dataclass(frozen=True, eq=False)
class Pictures:
    """Labelled pictures.

    Attributes:
        images: (N, S, S, 3) uint8 sRGB crops.
        landmarks_px: (N, 478, 2) float32 MediaPipe's landmarks as a detector gives them, pixels of the crop.
        codes: N codes, float32, in the crop's camera: principal point in the crop's centre.
    """

    images: np.ndarray
    landmarks_px: np.ndarray
    codes: FaceCode


def generate(model: MorphableModel, recipe: Recipe, seed: int, block: int, count: int = BLOCK) -> Pictures:
    """One block of random pictures.

    Args:
        model: whose codes are drawn; NumPy.
        recipe: what the pictures are made of.
        seed: of the corpus.
        block: number of the block.
        count: pictures of it.
    """
    rng = np.random.default_rng([seed, block])
    if recipe.preset == "thesis":
        from mien.thesis.pictures import draw
        from mien.thesis.vectors import random_codes as thesis_codes

        return draw(model, thesis_codes(model, rng, count, recipe.size), recipe.size)
    from mien.synthesis.codes import mean_error_in_crops, random_codes

    codes = random_codes(model, rng, count)
    looked_at = round(recipe.detected * count)
    parts = []
    if looked_at:
        from mien.synthesis.detected import ENLARGED, as_detected

        enlarged = replace(recipe, size=ENLARGED * recipe.size)
        drawn = picture(model, enlarged, codes[:looked_at], rng)
        # photographs need not share the mean error on renders: any part of it is taken back
        error_px = rng.random((looked_at, 1, 1)) * mean_error_in_crops(model, drawn.codes)
        parts.append(as_detected(drawn, recipe.size, error_px))
    if looked_at < count:
        parts.append(picture(model, recipe, codes[looked_at:], rng))
    return joined(parts)


def joined(parts: Sequence[Pictures]) -> Pictures:
    """All pictures of the parts, in order."""
    codes = parts[0].codes
    vectors = np.concatenate([part.codes.to_vector() for part in parts])
    return Pictures(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.landmarks_px for part in parts]),
        FaceCode.from_vector(vectors, codes.layout, codes.model),
    )


def picture(model: MorphableModel, recipe: Recipe, codes: FaceCode, rng: np.random.Generator) -> Pictures:
    """Pictures of given codes.

    Args:
        model: of the codes.
        recipe: what the pictures are made of, of mien's preset.
        codes: (N) float64; position in the picture and focal length are chosen anew, as a detector's crop
            would have them, distance and rotation are kept.
        rng: source of chance.
    """
    from mien.render import base_only, render
    from mien.synthesis.codes import landmarks_in_crops, seen_in_crops
    from mien.synthesis.shades import random_depths, shaded
    from mien.synthesis.world import World

    size = recipe.size
    seen, landmarks_px = seen_in_crops(model, rng, codes, size)
    exact_px = landmarks_in_crops(model, seen, size)
    seen = FaceCode(
        **{name: np.asarray(getattr(seen, name), np.float32) for name in seen.layout.shapes}, model=seen.model
    )
    world = World(rng, exact_px, size) if recipe.world else None
    people = recipe.world and model.expression_names == ARKIT_NAMES
    depths = random_depths(rng, seen.expression) if people else None
    samples = 2 if size < 160 else 1
    images = np.empty((len(exact_px), size, size, 3), np.uint8)
    for first in range(0, len(images), _AT_ONCE):
        some = slice(first, first + _AT_ONCE)
        background = world.backgrounds(len(images[some])) if world else None
        albedo = base_only(model).albedo(seen.albedo[some])
        if depths is not None:
            albedo = shaded(model, albedo, depths[some])
        drawn = render(
            model,
            seen[some],
            (size, size),
            detail=False,
            supersample=samples,
            albedo=albedo,
            background=background,
        )
        images[some] = drawn.image_uint8
    if world:
        images, landmarks_px = world.photographed(images, landmarks_px)
    return Pictures(images, landmarks_px.astype(np.float32), seen)
