"""Random face codes: people, expressions, poses, cameras and lights, as the encoder meets them in a crop."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mien.align import Alignment, align
from mien.camera import Camera, project, to_camera
from mien.crop_camera import to_crop_camera
from mien.facecode import ARKIT_NAMES, FaceCode
from mien.fit.landmark_fit import LandmarkBasis
from mien.fit.landmark_response import landmark_response
from mien.fit.priors import measured_priors
from mien.lighting import directional_light, uniform_light
from mien.morphable import MorphableModel
from mien.synthesis.expressions import random_expressions

DISTANCE_MM, LOG_DISTANCE = 800.0, 0.5
"""Median and log deviation of the distance to the camera: selfies to long lenses."""

SHARED_NOISE = 0.6
"""Share of the detector's measured common errors that landmarks get, as a standard deviation. All of it would
teach the network to trust them too little to sit on the photograph. How else the detector answers renders, it
need not answer photographs: of its mean error and its own way with expressions landmarks get any share."""

OWN_NOISE_MM = 0.4
"""What real photographs add to the error of each landmark by itself."""


def random_codes(model: MorphableModel, rng: np.random.Generator, count: int) -> FaceCode:
    """`count` faces before a camera that looks straight at them, float64; `focal_px` 1.

    Args:
        model: whose codes are drawn.
        rng: source of chance.
        count: how many.
    """
    layout = model.layout
    if model.expression_names == ARKIT_NAMES:
        expression = random_expressions(rng, count).astype(np.float64)
    else:
        expression = rng.normal(size=(count, layout.expression))
        expression = np.clip(expression, *model.expression_bounds)
    turned = rng.random((count, 1)) < 0.3
    spread = np.where(turned, [0.22, 0.6, 0.2], [0.16, 0.22, 0.12])
    distance = DISTANCE_MM * np.exp(rng.normal(size=count) * LOG_DISTANCE)
    return FaceCode(
        identity=rng.normal(size=(count, layout.identity)),
        expression=expression,
        albedo=rng.normal(size=(count, layout.albedo)),
        rotation=np.clip(rng.normal(size=(count, 3)) * spread, [-0.7, -1.3, -0.7], [0.7, 1.3, 0.7]),
        translation=np.stack([0 * distance, 0 * distance, np.clip(distance, 280, 5000)], -1),
        illumination=random_light(rng, count, model.name),
        focal_px=np.ones(count),
        model=model.id,
    )


def random_light(rng: np.random.Generator, count: int, model_name: str) -> np.ndarray:
    """(count, 9, 3): light as measured on photographs, or one to three coloured lamps and fill.

    Exposure and white balance are the light's: a picture cannot tell them apart.
    """
    prior = measured_priors(model_name)[1].light
    measured = rng.multivariate_normal(prior.mean.reshape(-1), prior.covariance, count, method="cholesky")
    light = np.where(rng.random((count, 1, 1)) < 0.6, measured.reshape(count, 9, 3), _lamps(rng, count))
    # exposure: the mean light stays between deep shade and a bright day
    level = light[:, 0].mean(-1) * 0.282095
    wanted = np.clip(level, 0.2, 1.5)
    gain = np.where(level > 0.05, wanted / np.maximum(level, 0.05), 1.0)[:, None]
    gain = gain * np.exp(0.25 + rng.normal(size=(count, 1)) * 0.3 + rng.normal(size=(count, 3)) * 0.08)
    return gain[:, None] * light


def _lamps(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 9, 3): fill and one to three lamps, mostly before and above the face."""
    fill = (
        uniform_light() * rng.uniform(0.1, 0.8, (count, 1, 1)) * (1 + rng.normal(size=(count, 1, 3)) * 0.08)
    )
    directions = rng.normal(size=(count, 3, 3)) + [0.0, 0.4, 0.5]
    strength = rng.uniform(0.1, 0.9, (count, 3)) * (np.arange(3) < rng.integers(1, 4, (count, 1)))
    lamps = directional_light(directions, strength) * (1 + rng.normal(size=(count, 3, 1, 3)) * 0.1)
    return fill + lamps.sum(1)


def seen_in_crops(
    model: MorphableModel, rng: np.random.Generator, codes: FaceCode, size: int
) -> tuple[FaceCode, np.ndarray]:
    """Codes in the cameras of the crops that a detector's landmarks give, a little off.

    Args:
        model: of the codes.
        rng: source of chance.
        codes: (N) as `random_codes` makes them.
        size: side of the crops in pixels.

    Returns:
        The codes, and (N, 478, 2) float32 landmarks as detected, in pixels of the crops.
    """
    share = rng.random((len(codes.rotation), 1))
    points = _answered(model, codes, share)
    # a picture with focal length 1: millimetres on the unit plane
    landmarks = (points[..., :2] + _scatter(rng, model, codes)) / points[..., 2:]
    exact = align(landmarks, size)
    off = rng.normal(size=(len(landmarks), 4)) * [0.02, 0.02, 0.03, 0.03]
    alignment = Alignment(
        exact.centre_px + off[:, :2] * exact.side_px[:, None],
        exact.side_px * np.exp(off[:, 2]),
        exact.roll_radians + off[:, 3],
        size,
    )
    seen = to_crop_camera(codes, np.zeros(2), alignment)
    return seen, alignment.to_crop(landmarks).astype(np.float32)


def landmarks_in_crops(model: MorphableModel, codes: FaceCode, size: int) -> np.ndarray:
    """(N, 478, 2) where the landmarks of codes in crop cameras truly are, pixels."""
    camera = Camera(codes.focal_px, np.full(2, size / 2), (size, size))
    return project(_landmarks(model, codes), camera)[..., :2]


def mean_error_in_crops(model: MorphableModel, codes: FaceCode) -> np.ndarray:
    """(N, 478, 2) pixels: the mean error of detected landmarks, as measured on renders, in crops of codes."""
    upright = np.broadcast_to(landmark_response(model).bias, (len(codes.rotation), 2, 478))
    return _rolled(codes, upright) * (codes.focal_px / codes.translation[:, 2])[:, None, None]


def _answered(model: MorphableModel, codes: FaceCode, share: np.ndarray) -> np.ndarray:
    """(N, 478, 3) mm, camera frame: landmarks with a share (N, 1) of the detector's own ways.

    These are how they follow expressions, what expressions move besides, and their mean error.
    """
    response = landmark_response(model)
    answer = codes.expression @ response.answer.T
    points = _landmarks(model, codes.with_(expression=(1 - share) * codes.expression + share * answer))
    besides = response.bias + np.tensordot(codes.expression, response.besides, 1)
    points[..., :2] += _rolled(codes, share[..., None] * besides)
    return points


def _landmarks(model: MorphableModel, codes: FaceCode) -> np.ndarray:
    """(N, 478, 3) mm, camera frame."""
    basis = _basis(model)
    coefficients = np.concatenate([codes.identity, codes.expression], -1).astype(np.float32)
    heads = basis.mean + np.moveaxis(coefficients @ basis.components, 0, -1)
    return to_camera(heads, codes.rotation, codes.translation)


@lru_cache(maxsize=2)
def _basis(model: MorphableModel) -> LandmarkBasis:
    return LandmarkBasis.of(model, model.landmarks478, sliding=False)


def _scatter(rng: np.random.Generator, model: MorphableModel, codes: FaceCode) -> np.ndarray:
    """(N, 478, 2) mm at the face: the measured errors, more of them in some pictures than in others."""
    count, noise = len(codes.rotation), landmark_response(model).noise
    own = rng.normal(size=(count, 2, 478)) * np.sqrt(noise.variance + OWN_NOISE_MM**2)
    weights = rng.normal(size=(count, len(noise.factors))) * SHARED_NOISE
    level = np.exp(rng.normal(size=(count, 1, 1)) * 0.4)
    return _rolled(codes, level * (own + np.tensordot(weights, noise.factors, 1)))


def _rolled(codes: FaceCode, upright: np.ndarray) -> np.ndarray:
    """(N, 2, 478) in the picture of an upright face to (N, 478, 2) in that of the faces as they are."""
    cosine, sine = np.cos(codes.rotation[:, 2]), np.sin(codes.rotation[:, 2])
    turn = np.stack([np.stack([cosine, sine], -1), np.stack([-sine, cosine], -1)], -2)
    return np.swapaxes(turn @ upright, 1, 2)
