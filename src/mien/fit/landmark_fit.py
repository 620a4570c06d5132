"""Pose, camera, identity and expression from landmarks alone: a maximum-a-posteriori fit by Gauss-Newton."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.camera import rotation_matrix, rotation_vector
from mien.fit.least_squares import bounded_step, normal_equations
from mien.fit.priors import LandmarkPriors
from mien.landmarks import LandmarkPoints
from mien.morphable import Embedding, MorphableModel

_FLIP = np.array([1.0, -1.0, -1.0])


@dataclass(frozen=True, eq=False)
class LandmarkBasis:
    """What the landmark fit reads of a model: its components at the landmarks. Made once a model.

    Attributes:
        points: where landmarks can be.
        mean: (P, 3) mm, model frame.
        components: (3, K + E, P) float32 mm, identity before expression.
        identity_count: K.
        bounds: (2, E) lowest and highest expression coefficients.
    """

    points: LandmarkPoints
    mean: np.ndarray
    components: np.ndarray
    identity_count: int
    bounds: np.ndarray

    @classmethod
    def of(cls, model: MorphableModel, embedding: Embedding, sliding: bool) -> LandmarkBasis:
        """Components of `model` at the landmarks of one of its embeddings."""
        points = LandmarkPoints.of(embedding, model.identity_mean, sliding)
        components = np.concatenate([points(model.identity_components), points(model.expression_components)])
        lower, upper = model.expression_bounds
        count = len(model.expression_components)
        return cls(
            points=points,
            mean=points(model.identity_mean).astype(np.float64),
            components=np.ascontiguousarray(components.transpose(2, 0, 1), dtype=np.float32),
            identity_count=len(model.identity_components),
            bounds=np.array([[lower] * count, [upper] * count], dtype=np.float64),
        )


@dataclass(frozen=True, eq=False)
class Geometry:
    """Everything the landmarks tell: the unknowns of the landmark fit.

    Attributes:
        rotation: (3, 3) matrix R of the pose.
        translation: (3,) mm, camera frame.
        focal_px: focal length in pixels.
        coefficients: (K + E,) identity, then expression.
    """

    rotation: np.ndarray
    translation: np.ndarray
    focal_px: float
    coefficients: np.ndarray

    @property
    def rotation_vector(self) -> np.ndarray:
        """(3,) axis-angle radians."""
        return rotation_vector(self.rotation)


CAMERA_UNKNOWNS = 7
"""Rotation (3), translation x and y in mm, log distance, log focal length: first in every step."""


def fit_landmarks(
    basis: LandmarkBasis,
    landmarks_px: np.ndarray,
    image_size: tuple[int, int],
    *,
    focal_px: float | None = None,
    priors: LandmarkPriors | None = None,
    iterations: int = 5,
) -> Geometry:
    """The most probable head, pose and camera given its landmarks.

    Args:
        basis: of the model and the embedding that the landmarks belong to.
        landmarks_px: (L, 2) pixels.
        image_size: width and height of the picture; its centre is the principal point.
        focal_px: focal length if known.
        priors: assumptions.
        iterations: Gauss-Newton steps over all unknowns.

    Returns:
        Geometry in float64.
    """
    priors = priors or LandmarkPriors()
    principal = np.asarray(image_size) / 2.0
    target = np.asarray(landmarks_px, np.float64) - principal
    precision, centre = landmark_prior(basis, image_size, focal_px, priors)
    state = _initial(basis, target, priors, np.exp(centre[1]), known_focal=focal_px is not None)
    bounds = np.full((2, len(precision)), np.inf) * [[-1], [1]]
    bounds[:, CAMERA_UNKNOWNS + basis.identity_count :] = basis.bounds
    for _ in range(iterations):
        hessian, gradient = normal_equations(*linearise(basis, state, target, priors))
        hessian[np.diag_indices_from(hessian)] += precision
        gradient -= precision * offset_from_prior(state, centre)
        value = np.concatenate([np.zeros(CAMERA_UNKNOWNS), state.coefficients])
        state = advance(state, bounded_step(hessian, gradient, value, *bounds))
    return state


def landmark_prior(
    basis: LandmarkBasis,
    image_size: tuple[int, int],
    focal_px: float | None,
    priors: LandmarkPriors,
) -> tuple[np.ndarray, np.ndarray]:
    """Precision (7 + K + E,) of the Gaussian prior over the unknowns, and its centre.

    The pose is free and the coefficients are about zero; the centre (2,) is that of the logs of the distance
    in mm and of the focal length in px.
    """
    total = basis.components.shape[1]
    centre = np.log([priors.distance_mm, focal_px or priors.focal_sides * max(image_size)])
    precision = np.concatenate([
        np.zeros(5),
        [priors.log_distance**-2, (priors.log_known_focal if focal_px else priors.log_focal) ** -2],
        np.full(basis.identity_count, priors.identity**-2),
        np.full(total - basis.identity_count, priors.expression**-2),
    ])  # fmt: skip
    return precision, centre


def offset_from_prior(state: Geometry, centre: np.ndarray) -> np.ndarray:
    """(7 + K + E,) how far a geometry is from the centre (2,) of `landmark_prior`."""
    camera = np.log([state.translation[2], state.focal_px]) - centre
    return np.concatenate([np.zeros(5), camera, state.coefficients])


def linearise(
    basis: LandmarkBasis, state: Geometry, target: np.ndarray, priors: LandmarkPriors
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """The landmarks' part of the normal equations, as arguments of `normal_equations`.

    Args:
        target: (L, 2) pixels from the principal point.

    Returns:
        jacobian (7 + K + E, 2 L) float32; weight (2 L,) inverse variances, lowered for outliers;
        residual (2 L,) target minus prediction in mm at the face, x of all landmarks before y;
        shared (R, 2 L) errors in common, or None.
    """
    model_points = basis.mean + (state.coefficients.astype(np.float32) @ basis.components).T
    turned = model_points @ state.rotation.T
    camera = turned * _FLIP + state.translation
    projected = state.focal_px * camera[:, :2] / camera[:, 2:]
    chosen = basis.points.choose(projected, state.rotation)
    camera, turned, projected = camera[chosen], turned[chosen], projected[chosen]
    mm_per_px = state.translation[2] / state.focal_px

    x, y, z = camera.T
    gain = state.translation[2] / z  # mm of picture per mm of head
    derivatives = [
        np.stack([gain, 0 * gain, -gain * x / z]),
        np.stack([0 * gain, gain, -gain * y / z]),
    ]  # of the picture's axes by the camera point, (3, L) each
    count = len(chosen)
    jacobian = np.zeros((CAMERA_UNKNOWNS + basis.components.shape[1], 2, count), np.float32)
    unmoved = np.array_equal(chosen, np.arange(count))
    parts = basis.components[:, :, :count] if unmoved else basis.components[:, :, chosen]
    for axis, by in enumerate(derivatives):
        by_turned = by * _FLIP[:, None]
        by_model = (state.rotation.T @ by_turned).astype(np.float32)
        jacobian[:3, axis] = np.cross(turned, by_turned.T).T
        jacobian[CAMERA_UNKNOWNS:, axis] = (
            parts[0] * by_model[0] + parts[1] * by_model[1] + parts[2] * by_model[2]
        )
        jacobian[3:5, axis] = by[:2]
        jacobian[5, axis] = by[2] * state.translation[2]
        jacobian[6, axis] = projected[:, axis] * mm_per_px
    residual = (target - projected).T * mm_per_px

    variance = np.full((2, count), priors.noise_mm**2)
    variance[:, basis.points.contour] = priors.contour_noise_mm**2
    spread, shared = variance, None
    if priors.noise is not None:
        noise = priors.noise.rolled(state.rotation)
        variance += noise.variance
        spread = variance + priors.shared * (noise.factors**2).sum(0)
        shared = np.sqrt(priors.shared) * noise.factors.reshape(len(noise.factors), -1)
    outlier = np.maximum(1.0, np.linalg.norm(residual, axis=0) / (3.0 * np.sqrt(spread.mean(0))))
    weight = 1.0 / (variance * outlier)
    return jacobian.reshape(len(jacobian), -1), weight.ravel(), residual.ravel(), shared


def advance(state: Geometry, step: np.ndarray) -> Geometry:
    """The geometry after a step over the camera's seven unknowns and the coefficients."""
    distance = state.translation[2] * np.exp(np.clip(step[5], -0.5, 0.5))
    return Geometry(
        rotation=rotation_matrix(step[:3]) @ state.rotation,
        translation=np.array([state.translation[0] + step[3], state.translation[1] + step[4], distance]),
        focal_px=state.focal_px * float(np.exp(np.clip(step[6], -0.5, 0.5))),
        coefficients=state.coefficients + step[CAMERA_UNKNOWNS:],
    )


def _initial(
    basis: LandmarkBasis,
    target: np.ndarray,
    priors: LandmarkPriors,
    focal_px: float,
    known_focal: bool,
) -> Geometry:
    """Pose of the mean head by orthographic least squares (POS of DeMenthon and Davis 1995)."""
    head = basis.mean[: basis.points.count]
    centre = head.mean(0)
    rows = np.linalg.lstsq(head - centre, (target - target.mean(0)) * [1, -1], rcond=None)[0].T
    scale = np.sqrt(np.linalg.norm(rows[0]) * np.linalg.norm(rows[1]))
    u, _, vt = np.linalg.svd(np.stack([rows[0], rows[1], np.cross(rows[0], rows[1]) / scale]))
    rotation = u @ vt
    distance = focal_px / scale
    if not known_focal:
        trust = priors.log_focal**2 / (priors.log_focal**2 + priors.log_distance**2)
        distance = distance ** (1 - trust) * priors.distance_mm**trust
    offset = rotation @ centre * _FLIP
    return Geometry(
        rotation=rotation,
        translation=np.array([*(target.mean(0) / scale), distance]) - offset,
        focal_px=scale * distance,
        coefficients=np.zeros(basis.components.shape[1]),
    )
