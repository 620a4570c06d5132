"""What a fit assumes before it sees a face: how the detector errs, how faces vary, what light is like."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from safetensors.numpy import load_file

from mien import assets
from mien.fit.landmark_response import LandmarkNoise, landmark_noise
from mien.lighting import uniform_light
from mien.morphable import MorphableModel


@dataclass(frozen=True, eq=False)
class LightPrior:
    """Gaussian distribution of the light on faces in photographs.

    Attributes:
        mean: (9, 3) spherical harmonics, light frame.
        covariance: (27, 27) of the mean flattened.
    """

    mean: np.ndarray
    covariance: np.ndarray

    @cached_property
    def precision(self) -> np.ndarray:
        """(27, 27) inverse of the covariance."""
        return np.linalg.inv(self.covariance)

    @classmethod
    def plain(cls) -> LightPrior:
        """White light from everywhere, give or take any other whitish light."""
        return cls(uniform_light(0.75).astype(np.float64), 0.3 * np.kron(np.eye(9), 0.95 + 0.05 * np.eye(3)))


@dataclass(frozen=True)
class LandmarkPriors:
    """Standard deviations of what the fit assumes before it sees a face.

    Attributes:
        noise: measured errors of the detector; without it every landmark errs by itself.
        shared: share of the measured common variance that is believed. With all of it heads are truer in 3D
            but sit less well on their photographs.
        noise_mm: deviation of one landmark at the face: where `noise` is measured, what real photographs add.
        contour_noise_mm: the same on the occluding contour.
        identity: of an identity component.
        expression: of an ARKit coefficient around rest.
        encoded_identity, encoded_expression: the same of both around what an encoder reads.
        distance_mm, log_distance: median and log deviation of the distance between camera and head.
        focal_sides, log_focal: median of the focal length in units of the picture's longer side, and its log
            deviation, when the camera is unknown.
        log_known_focal: log deviation of a focal length that is known, from EXIF say.
    """

    noise: LandmarkNoise | None = None
    shared: float = 0.08
    noise_mm: float = 1.2
    contour_noise_mm: float = 2.4
    identity: float = 0.35
    expression: float = 0.15
    encoded_identity: float = 0.1
    encoded_expression: float = 0.015
    distance_mm: float = 900.0
    log_distance: float = 0.35
    focal_sides: float = 1.6
    log_focal: float = 0.6
    log_known_focal: float = 0.02


@dataclass(frozen=True)
class PixelPriors:
    """What the pixel fit assumes.

    Attributes:
        light: its distribution.
        noise: deviation of an sRGB pixel that the model explains; robust weights fall beyond twice this.
        albedo: deviation of an albedo component.
        correlation: how many neighbouring vertices err together; divides the evidence of the pixels.
    """

    light: LightPrior = field(default_factory=LightPrior.plain)
    noise: float = 0.05
    albedo: float = 1.0
    correlation: float = 6.0


def measured_priors(model_name: str) -> tuple[LandmarkPriors, PixelPriors]:
    """The priors measured for a packaged model; the defaults for any other.

    Raises:
        mien.errors.BadAsset: the file is missing or altered.
    """
    file = f"{model_name}.priors.safetensors"
    if file not in assets.catalogue():
        return LandmarkPriors(), PixelPriors()
    arrays = {name: array.astype(np.float64) for name, array in load_file(assets.path(file)).items()}
    light = LightPrior(arrays["light_mean"], arrays["light_covariance"])
    return (
        LandmarkPriors(
            noise=landmark_noise(model_name),
            noise_mm=0.6,
            contour_noise_mm=0.6,
            identity=0.8,
            expression=0.3,
        ),
        PixelPriors(light=light),
    )


def priors_of(model: MorphableModel) -> tuple[LandmarkPriors, PixelPriors]:
    """The measured priors of a model; for an added one the default model's, whose landmarks it has.

    The identity of an added model, and its expressions if they are a PCA's, are standard normal; around what
    an encoder reads they vary in the same proportion to that as the default model's.

    Raises:
        mien.errors.BadAsset: the file is missing or altered.
    """
    if model.correspondence is None:
        return measured_priors(model.name)
    landmarks, pixels = measured_priors("anny")
    expression = 1.0 if np.isinf(model.expression_bounds[1]) else landmarks.expression
    return replace(
        landmarks,
        identity=1.0,
        expression=expression,
        encoded_identity=landmarks.encoded_identity / landmarks.identity,
        encoded_expression=landmarks.encoded_expression * expression / landmarks.expression,
    ), pixels
