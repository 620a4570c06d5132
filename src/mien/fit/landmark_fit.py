"""Pose, camera, identity and expression from landmarks alone: a maximum-a-posteriori fit by Gauss-Newton."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.camera import rotation_matrix, rotation_vector
from mien.facecode import FaceCode
from mien.fit.least_squares import Linearisation, bounded_step
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

    def room(self, state: Geometry) -> np.ndarray:
        """(2, E) how far each expression coefficient can go down, as a number <= 0, and up."""
        return self.bounds - state.coefficients[self.identity_count :]


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

    @classmethod
    def of(cls, code: FaceCode, bounds: np.ndarray) -> Geometry:
        """The geometry of one face's code, its expression brought inside bounds (2, E)."""
        expression = np.clip(code.expression, *bounds)
        return cls(
            rotation=rotation_matrix(np.asarray(code.rotation, np.float64)),
            translation=np.asarray(code.translation, np.float64),
            focal_px=float(code.focal_px),
            coefficients=np.concatenate([code.identity, expression]).astype(np.float64),
        )

    @property
    def rotation_vector(self) -> np.ndarray:
        """(3,) axis-angle radians."""
        return rotation_vector(self.rotation)


CAMERA_UNKNOWNS = 7
"""First in every step: rotation (3), translation x and y in mm, log distance with the picture's scale kept (a
dolly zoom), log focal length. Distance and focal length alone would be all but the same unknown."""


def fit_landmarks(
    basis: LandmarkBasis,
    landmarks_px: np.ndarray,
    image_size: tuple[int, int],
    *,
    focal_px: float | None = None,
    priors: LandmarkPriors | None = None,
    iterations: int = 3,
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
    evidence = LandmarkEvidence.of(basis, landmarks_px, image_size, focal_px, priors or LandmarkPriors())
    return evidence.fit(evidence.start, iterations)


@dataclass(frozen=True, eq=False)
class LandmarkEvidence:
    """The landmarks of one face, and what is assumed about them and the head.

    Attributes:
        basis: of the model and the embedding that the landmarks belong to.
        target: (L, 2) pixels from the principal point.
        start: pose of the mean head.
        variance: (2, L) mm² of each landmark by itself.
        shared: (R, 2, L) float32 mm, errors that they have in common; None if there are none.
        spread: (L,) mm, deviation of each landmark with all its errors, mean of x and y.
        precision: (7 + K + E,) of the prior: of log distance, log focal length and the coefficients.
        centre: (2,) of the prior: log distance in mm, log focal length in px.
        expected: (K + E,) of the prior: coefficients.
    """

    basis: LandmarkBasis
    target: np.ndarray
    start: Geometry
    variance: np.ndarray
    shared: np.ndarray | None
    spread: np.ndarray
    precision: np.ndarray
    centre: np.ndarray
    expected: np.ndarray

    @classmethod
    def of(
        cls,
        basis: LandmarkBasis,
        landmarks_px: np.ndarray,
        image_size: tuple[int, int],
        focal_px: float | None,
        priors: LandmarkPriors,
        encoded: FaceCode | None = None,
    ) -> LandmarkEvidence:
        """Arguments as of `fit_landmarks`; what an encoder reads, if there is one."""
        target = np.asarray(landmarks_px, np.float64) - np.asarray(image_size) / 2.0
        centre = np.log([priors.distance_mm, focal_px or priors.focal_sides * max(image_size)])
        start = _initial(basis, target, priors, np.exp(centre[1]), known_focal=focal_px is not None)
        variance = np.full((2, len(target)), priors.noise_mm**2)
        variance[:, basis.points.contour] = priors.contour_noise_mm**2
        shared, spread = None, variance
        if priors.noise is not None:
            noise = priors.noise.rolled(start.rotation)
            variance += noise.variance
            shared = (np.sqrt(priors.shared) * noise.factors).astype(np.float32)
            spread = variance + np.einsum("ral,ral->al", shared, shared)
        log_focal = priors.log_known_focal if focal_px else priors.log_focal
        expected = np.zeros(basis.components.shape[1])
        deviations = priors.identity, priors.expression
        if encoded is not None:
            expected = Geometry.of(encoded, basis.bounds).coefficients
            deviations = priors.encoded_identity, priors.encoded_expression
        precision = np.concatenate([
            np.zeros(5),
            [priors.log_distance**-2, log_focal**-2],
            np.full(basis.identity_count, deviations[0] ** -2),
            np.full(basis.bounds.shape[1], deviations[1] ** -2),
        ])  # fmt: skip
        spread = np.sqrt(spread.mean(0))
        return cls(basis, target, start, variance, shared, spread, precision, centre, expected)

    def fit(self, state: Geometry, iterations: int) -> Geometry:
        """The most probable geometry, by Gauss-Newton from another one."""
        for _ in range(iterations):
            step = bounded_step(*self.normal_equations(state), *self.basis.room(state))
            state = advance(state, step)
        return state

    def normal_equations(self, state: Geometry) -> tuple[np.ndarray, np.ndarray]:
        """Of landmarks and prior: (7 + K + E, 7 + K + E) and (7 + K + E,)."""
        hessian, gradient = self.linearise(state).normal_equations()
        hessian[np.diag_indices_from(hessian)] += self.precision
        camera = np.log([state.translation[2], state.focal_px]) - self.centre
        pull = self.precision * np.concatenate([np.zeros(5), camera, state.coefficients - self.expected])
        hessian[5:7, 5] += self.precision[6]  # a dolly zoom moves the focal length too
        hessian[5, 6] += self.precision[6]
        pull[5] += pull[6]
        return hessian, gradient - pull

    def linearise(self, state: Geometry) -> Linearisation:
        """Residuals in mm at the face, x of all landmarks before y, believed less where they are outliers."""
        basis = self.basis
        model_points = basis.mean.T + state.coefficients.astype(np.float32) @ basis.components
        turned = state.rotation @ model_points
        x, y, z = camera = turned * _FLIP[:, None] + state.translation[:, None]
        chosen = basis.points.choose((state.focal_px * camera[:2] / z).T, state.rotation)
        components = basis.components
        if not np.array_equal(chosen, np.arange(components.shape[2])):
            components, turned, camera = components[:, :, chosen], turned[:, chosen], camera[:, chosen]
            x, y, z = camera
        gain = state.translation[2] / z  # mm of picture per mm of head
        residual = self.target.T * (state.translation[2] / state.focal_px) - gain * camera[:2]

        outlier = np.maximum(1.0, np.linalg.norm(residual, axis=0) / (3.0 * self.spread))
        scale = 1.0 / np.sqrt(self.variance * outlier)

        none = np.zeros_like(gain)
        by_camera = np.array([[gain, none, -gain * x / z], [none, gain, -gain * y / z]]) * scale[:, None]
        by_turned = by_camera * _FLIP[:, None]
        by_model = (state.rotation.T @ by_turned).astype(np.float32)
        jacobian = np.empty((len(self.precision), *scale.shape), np.float32)
        jacobian[:3] = cross(turned, by_turned.transpose(1, 0, 2))
        jacobian[3:5] = by_camera[:, :2].transpose(1, 0, 2)
        jacobian[5] = (1 - gain) * gain * camera[:2] * scale
        jacobian[6] = gain * camera[:2] * scale
        np.einsum("akn,can->kcn", components, by_model, out=jacobian[CAMERA_UNKNOWNS:])
        shared = self.shared
        if shared is not None:
            shared = (shared * scale.astype(np.float32)).reshape(len(shared), -1)
        return Linearisation(
            jacobian.reshape(len(jacobian), -1), (residual * scale).ravel(), scale.ravel(), shared
        )


def advance(state: Geometry, step: np.ndarray) -> Geometry:
    """The geometry after a step over the camera's seven unknowns and the coefficients."""
    dolly, zoom = np.exp(np.clip(step[5:7], -0.5, 0.5))
    return Geometry(
        rotation=rotation_matrix(step[:3]) @ state.rotation,
        translation=np.array([*(state.translation[:2] + step[3:5]), state.translation[2] * dolly]),
        focal_px=state.focal_px * float(dolly * zoom),
        coefficients=state.coefficients + step[CAMERA_UNKNOWNS:],
    )


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross product along the first axis, (3, ..., N) each: several times as fast as `np.cross`."""
    if a.ndim < b.ndim:
        a = a[:, None]
    return np.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


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
