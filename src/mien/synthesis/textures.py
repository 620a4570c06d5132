"""Surfaces without a photograph: random textures for backgrounds, cloth and hair."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

SIDE = 256
"""Side of a texture in pixels; it repeats without a seam in the noise, not in the shapes."""

COUNT = 48


@cache
def surfaces() -> np.ndarray:
    """(COUNT, SIDE, SIDE, 3) uint8: coloured noise of every grain, gradients, stripes and shapes."""
    rng = np.random.default_rng(8)
    return np.stack([_surface(rng) for _ in range(COUNT)])


@cache
def strands() -> np.ndarray:
    """(8, SIDE, SIDE) uint8 around 128: streaks that fall from the middle of the top, as hair does."""
    rng = np.random.default_rng(9)
    pictures = []
    for length in (30, 50, 80, 120) * 2:
        noise = rng.normal(size=(SIDE, SIDE)).astype(np.float32)
        streaks = cv2.GaussianBlur(noise, (0, 0), sigmaX=rng.uniform(0.7, 1.6), sigmaY=length / 3)
        waves = cv2.GaussianBlur(noise[::-1], (0, 0), sigmaX=9, sigmaY=14)
        mixed = streaks / streaks.std() * 28 + waves / waves.std() * 26
        pictures.append(_fallen(rng, np.clip(128 + mixed, 0, 255).astype(np.uint8)))
    return np.stack(pictures)


def _fallen(rng: np.random.Generator, streaks: np.ndarray) -> np.ndarray:
    """Vertical streaks bent to spread from the middle of the top, straighter further down; wavy at times."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) + 0.5
    aside, spread = x - SIDE / 2, rng.uniform(0.2, 0.5) * SIDE
    wave = rng.exponential(2.5) * np.sin(y / rng.uniform(6, 18) + aside / 40)
    # where on the crown a strand begins: below it, all lie side by side
    root = SIDE / 2 + aside * (1 + spread / (y + 0.1 * SIDE)) + wave
    return cv2.remap(streaks, root, np.hypot(aside, y), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


@cache
def grain() -> np.ndarray:
    """(512, 512, 3) int8 Gaussian noise of deviation 32, partly common to the channels, as a sensor's is."""
    rng = np.random.default_rng(10)
    common, own = rng.normal(size=(512, 512, 1)), rng.normal(size=(512, 512, 3))
    return np.clip((0.8 * common + 0.6 * own) * 32, -127, 127).astype(np.int8)


def _surface(rng: np.random.Generator) -> np.ndarray:
    colour = np.clip(rng.uniform(20, 235) + rng.normal(size=3) * rng.exponential(22), 5, 250)
    picture = np.tile(colour, (SIDE, SIDE, 1))
    ramp = np.linspace(-1, 1, SIDE)[:, None, None] * (rng.normal() * 45 + rng.normal(size=3) * 12)
    picture += ramp + ramp.swapaxes(0, 1) * rng.normal()
    for scale in 2.0 ** np.arange(0, 7):
        coarse = max(1, int(scale) // 2)  # a wide blur on a coarse grid
        noise = rng.normal(size=(SIDE // coarse, SIDE // coarse, 3)).astype(np.float32)
        soft = cv2.GaussianBlur(noise, (0, 0), scale / coarse) * (scale / coarse * 3.5)
        soft = cv2.resize(soft, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        grey = soft.mean(-1, keepdims=True) * 1.7
        picture += rng.exponential(8) * (grey if rng.random() < 0.8 else soft)
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    for _ in range(rng.integers(0, 9)):
        colour = tuple(
            map(int, np.clip(rng.uniform(0, 255) + rng.normal(size=3) * rng.exponential(30), 0, 255))
        )
        points = (rng.uniform(-0.2, 1.2, 2) + rng.normal(size=(rng.integers(3, 7), 2)) * 0.25) * SIDE
        if rng.random() < 0.5:
            cv2.fillPoly(picture, [points.astype(np.int32)], colour, cv2.LINE_AA)
        else:
            cv2.polylines(
                picture, [points.astype(np.int32)], False, colour, int(rng.integers(1, 18)), cv2.LINE_AA
            )
    return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 4))
