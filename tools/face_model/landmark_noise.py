"""Random heads before a camera, and what errors of the landmarks on their renders have in common."""

from __future__ import annotations

import numpy as np

from mien.camera import rotation_matrix, rotation_vector
from mien.facecode import ARKIT_NAMES, FaceCode
from mien.fit.landmark_response import LandmarkNoise
from mien.lighting import directional_light, uniform_light
from mien.morphable import MorphableModel

SIZE_PX = 336
FACTORS = 60


def random_scene(model: MorphableModel, random: np.random.Generator) -> tuple[FaceCode, np.ndarray]:
    """A random head, expression, pose, camera and light, and a background (3,) sRGB."""
    yaw, pitch, roll = np.radians([25, 10, 6]) * random.normal(size=3).clip(-2, 2)
    turn = rotation_matrix(np.array([0, 0, roll])) @ rotation_matrix(np.array([pitch, 0, 0]))
    turn = turn @ rotation_matrix(np.array([0, yaw, 0]))
    distance = float(np.exp(random.normal(np.log(900), 0.35)))
    direction = (random.normal(), random.normal(0.3, 0.6), abs(random.normal(0.9, 0.4)))
    light = uniform_light(random.uniform(0.25, 0.8)) + directional_light(direction, random.uniform(0.1, 0.6))
    light = light * (1 + 0.08 * random.normal(size=3))
    return (
        FaceCode(
            identity=random.normal(size=model.layout.identity),
            expression=random_expression(random),
            albedo=0.9 * random.normal(size=model.layout.albedo),
            rotation=rotation_vector(turn),
            translation=np.array([*random.normal(0, 12, 2), distance]),
            illumination=light,
            focal_px=np.float64(distance * SIZE_PX / random.uniform(230, 360)),
            model=model.id,
        ),
        random.uniform(0, 1, 3),
    )


def random_expression(random: np.random.Generator) -> np.ndarray:
    """(52,) a few ARKit coefficients at a time, both sides mostly alike; a third of all faces is at rest."""
    expression = np.zeros(len(ARKIT_NAMES))
    if random.random() < 0.33:
        return expression
    stems = sorted({name.removesuffix("Left").removesuffix("Right") for name in ARKIT_NAMES})
    for stem in random.choice(stems, random.integers(1, 6), replace=False):
        strength = random.uniform(0, 1) ** 1.5
        for k, name in enumerate(ARKIT_NAMES):
            if name.startswith(stem):
                expression[k] = np.clip(strength * random.normal(1, 0.2), 0, 1)
    return expression


def upright_turn(pose: np.ndarray) -> np.ndarray:
    """(2, 2) rotation of the picture, y down, that turns a head with pose (3, 3) upright."""
    down = -pose[:2, 1] * [1, -1]
    return np.array([[down[1], -down[0]], [down[0], down[1]]]) / np.hypot(*down)


def describe(errors: np.ndarray, factors: int = FACTORS) -> LandmarkNoise:
    """Principal factors of errors (N, 2, L) about their mean, the worst hundredth left out."""
    size = np.median(np.linalg.norm(errors, axis=1), axis=1)
    errors = errors[size <= np.quantile(size, 0.99)]
    flat = errors.reshape(len(errors), -1)
    flat = flat - flat.mean(0)
    _, spread, directions = np.linalg.svd(flat, full_matrices=False)
    loadings = spread[:factors, None] / np.sqrt(len(flat)) * directions[:factors]
    rest = flat.var(0) - (loadings**2).sum(0)
    shape = errors.shape[1:]
    return LandmarkNoise(np.maximum(rest, 0.05**2).reshape(shape), loadings.reshape(-1, *shape))
