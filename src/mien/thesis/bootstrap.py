"""The thesis's bootstrapping: what was read with colours corrected, and two variants of each photograph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien.camera import Camera, project, rotate, to_camera
from mien.facecode import FaceCode
from mien.mesh import vertex_normals
from mien.morphable import MorphableModel
from mien.render import incidence
from mien.synthesis import BLOCK, Pictures, Recipe
from mien.thesis.pictures import draw
from mien.thesis.vectors import SIZE, from_vector, to_vector

DEVIATION = 0.2
"""Standard deviation of what is added to each of the 231 numbers."""

VARIANTS = 2
"""Pictures that are drawn around each photograph's numbers."""

COLOUR_ERROR = 0.1
"""Deviation of a photograph's colours, sRGB in [0, 1], from any that the model has: light, mostly."""

_INDEPENDENT = 100  # places of a face whose colours err by themselves
_MOST = 3000  # vertices whose colours are looked at
_FACING = 0.3  # cosine of the steepest angle under which skin is looked at


def with_seen_colours(model: MorphableModel, codes: FaceCode, images: np.ndarray) -> FaceCode:
    """Codes whose colours are those of the photographs where the faces that were read lie over them.

    The albedo coefficients are the likeliest by a standard normal prior and `COLOUR_ERROR`: a linear system,
    as the pictures of this preset show sRGB colours that are linear in them.

    Args:
        model: with sRGB colours, NumPy.
        codes: (N) as read in the crops.
        images: (N, S, S, 3) uint8 crops, black outside the hull.
    """
    chosen = np.sort(np.random.default_rng(0).permutation(len(model.identity_mean))[:_MOST])
    mean, components = model.albedo_mean[chosen], model.albedo_components[:, chosen]
    albedo = [
        _likeliest(mean, components, *_seen(model, codes[i], image, chosen)) for i, image in enumerate(images)
    ]
    return codes.with_(albedo=np.array(albedo, np.float32))


def _seen(
    model: MorphableModel, code: FaceCode, image: np.ndarray, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which of the chosen vertices are seen in a crop, (F,) bool, and their (M, 3) sRGB colours in it."""
    size = len(image)
    vertices = model.vertices(code.identity, code.expression)
    facing = rotate(vertex_normals(vertices, model.triangles, incidence(model)), code.rotation)[chosen, 2]
    camera = Camera(code.focal_px, np.full(2, size / 2), (size, size))
    points = project(to_camera(vertices[chosen], code.rotation, code.translation), camera)
    column, row = np.clip(np.floor(points[:, :2]), 0, size - 1).astype(int).T
    colour = image[row, column]
    seen = (facing > _FACING) & colour.any(-1)
    return seen, colour[seen] / 255.0


def _likeliest(mean: np.ndarray, components: np.ndarray, seen: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """(A,) coefficients whose colours at the seen vertices are nearest to (M, 3)."""
    basis = components[:, seen].reshape(len(components), -1).astype(np.float64)
    weight = min(1.0, _INDEPENDENT / max(len(colour), 1)) / COLOUR_ERROR**2
    normal = np.eye(len(basis)) + weight * basis @ basis.T
    return np.linalg.solve(normal, weight * basis @ (colour - mean[seen]).reshape(-1))


@dataclass(frozen=True)
class Variants:
    """A generator of pictures around the numbers read from photographs, the same ones in every epoch.

    Attributes:
        codes: npy file of (N, layout.size) float32 vectors of `FaceCode`.
        deviation: standard deviation of what is added to each of the 231 numbers.
    """

    codes: Path
    deviation: float = DEVIATION

    def __call__(self, model: MorphableModel, recipe: Recipe, seed: int, block: int) -> Pictures:
        """As `mien.synthesis.generate`: `VARIANTS` pictures a photograph in random order, over and over."""
        from mien.training.bootstrap import read_codes

        read = to_vector(FaceCode.from_vector(read_codes(self.codes), model.layout, model.id))
        order = np.random.default_rng(seed).permutation(VARIANTS * len(read))
        chosen = order[(block * BLOCK + np.arange(BLOCK)) % len(order)]
        noise = np.stack([np.random.default_rng([seed, number]).normal(size=SIZE) for number in chosen])
        numbers = read[chosen // VARIANTS] + self.deviation * noise
        return draw(model, from_vector(numbers, model, recipe.size), recipe.size)
