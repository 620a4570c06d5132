"""The fit: derivatives against finite differences, bounds, and faces found again from their own landmarks."""

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from mien.camera import rotation_matrix
from mien.fit import Fitter
from mien.fit.joint_fit import _linearise_everything
from mien.fit.landmark_fit import CAMERA_UNKNOWNS, Geometry, advance, fit_landmarks, linearise
from mien.fit.least_squares import bounded_step, normal_equations
from mien.fit.pixel_fit import Appearance, Crop, linearise_pixels, view
from mien.fit.priors import LandmarkPriors
from mien.lighting import sh_basis, sh_basis_gradient
from tiny_face import tiny_face

SIZE = (320, 300)


@pytest.fixture(scope="module")
def fitter() -> Fitter:
    return Fitter.of(tiny_face())


def some_geometry(fitter: Fitter, seed: int = 0, turn: float = 0.2) -> Geometry:
    random = np.random.default_rng(seed)
    identity = random.normal(size=fitter.landmarks.identity_count)
    expression = np.clip(random.normal(0, 0.3, fitter.landmarks.bounds.shape[1]), 0, 1)
    return Geometry(
        rotation=rotation_matrix(turn * random.normal(size=3)),
        translation=np.array([20.0, -15.0, 800.0]),
        focal_px=900.0,
        coefficients=np.concatenate([0.5 * identity, expression]),
    )


def landmarks_of(fitter: Fitter, state: Geometry) -> np.ndarray:
    basis = fitter.landmarks
    _, _, residual, _ = linearise(basis, state, np.zeros((basis.points.count, 2)), LandmarkPriors())
    return -residual.reshape(2, -1).T * state.focal_px / state.translation[2]


def test_bounded_step_is_the_constrained_optimum() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        matrix = random.normal(size=(30, 12))
        right = 3 * random.normal(size=30)
        value = random.uniform(0, 1, 12)
        lower, upper = np.zeros(12), np.where(random.random(12) < 0.3, np.inf, 1.0)
        step = bounded_step(matrix.T @ matrix, matrix.T @ right, value, lower, upper)
        assert (value + step >= lower - 1e-12).all() and (value + step <= upper + 1e-12).all()
        best = lsq_linear(matrix, right, (lower - value - 1e-12, upper - value + 1e-12)).x
        np.testing.assert_allclose(step, best, atol=1e-5)


def test_shared_errors_weigh_as_their_covariance() -> None:
    random = np.random.default_rng(5)
    jacobian = random.normal(size=(6, 40)).astype(np.float32)
    weight, residual, shared = random.uniform(0.5, 2, 40), random.normal(size=40), random.normal(size=(3, 40))
    precision = np.linalg.inv(np.diag(1 / weight) + shared.T @ shared)
    hessian, gradient = normal_equations(jacobian, weight, residual, shared)
    np.testing.assert_allclose(hessian, jacobian @ precision @ jacobian.T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gradient, jacobian @ precision @ residual, rtol=1e-4, atol=1e-4)


def test_landmark_derivatives(fitter: Fitter) -> None:
    basis = fitter.landmarks
    state = some_geometry(fitter)
    target = landmarks_of(fitter, state)
    jacobian, _, _, _ = linearise(basis, state, target, LandmarkPriors())
    for k in range(len(jacobian)):
        step = np.zeros(len(jacobian))
        step[k] = 1e-3
        ahead, behind = (advance(state, sign * step) for sign in (1, -1))
        slope = (landmarks_of(fitter, ahead) - landmarks_of(fitter, behind)).T.ravel() / 2e-3
        slope *= state.translation[2] / state.focal_px
        np.testing.assert_allclose(jacobian[k], slope, atol=5e-3 * np.abs(slope).max() + 1e-3)


def test_light_basis_derivative() -> None:
    normals = np.random.default_rng(1).normal(size=(50, 3))
    for axis, step in enumerate(1e-5 * np.eye(3)):
        slope = (sh_basis(normals + step) - sh_basis(normals - step)) / 2e-5
        np.testing.assert_allclose(sh_basis_gradient(normals)[..., axis], slope, atol=1e-6)


def test_landmarks_give_back_pose_and_shape(fitter: Fitter) -> None:
    state = some_geometry(fitter, seed=3)
    points = landmarks_of(fitter, state) + np.array(SIZE) / 2
    priors = LandmarkPriors(noise_mm=0.01, contour_noise_mm=0.01, identity=3.0, expression=3.0)
    found = fit_landmarks(
        fitter.landmarks, points, SIZE, focal_px=state.focal_px, priors=priors, iterations=12
    )
    np.testing.assert_allclose(found.rotation, state.rotation, atol=2e-3)
    np.testing.assert_allclose(found.translation, state.translation, rtol=0.03)
    again = landmarks_of(fitter, found) + np.array(SIZE) / 2
    assert np.abs(again - points).max() < 0.2
    lower, upper = fitter.landmarks.bounds
    expression = found.coefficients[fitter.landmarks.identity_count :]
    assert (expression >= lower).all() and (expression <= upper).all()


def test_pixel_derivatives(fitter: Fitter) -> None:
    """All columns of the joint step against differences of the residual, on a smooth picture."""
    ys, xs = np.mgrid[: SIZE[1], : SIZE[0]] / 60.0
    waves = [0.5 + 0.2 * np.sin(xs + c) * np.cos(0.7 * ys - c) for c in range(3)]
    crop = Crop(np.stack(waves, axis=-1).astype(np.float32), np.zeros(2), 1.0, grey=False)
    principal = np.array(SIZE) / 2
    state = some_geometry(fitter, turn=0.05)
    state = Geometry(state.rotation, state.translation, state.focal_px, 0 * state.coefficients)
    random = np.random.default_rng(4)
    light = np.zeros((9, 3))
    light[0] = 3.0
    light[1:4] = 0.4 * random.normal(size=(3, 3))
    look = Appearance(
        0.3 * random.normal(size=len(fitter.pixels.albedo_components)),
        light,
        np.ones(len(fitter.pixels.detail)),
    )

    def residual(geometry: Geometry, appearance: Appearance) -> np.ndarray:
        seen = view(fitter.pixels, geometry, principal, crop)
        values, _ = crop.sample(seen.points_px)
        return linearise_pixels(fitter.pixels, appearance, values, sh_basis(seen.normals), False)[0]

    jacobian, weight, _ = _linearise_everything(
        fitter.pixels, state, look, principal, crop, fitter.pixel_priors
    )
    known = weight > weight.max() * 0.2
    geometry_unknowns = CAMERA_UNKNOWNS + fitter.pixels.components.shape[1]
    for k in [*range(CAMERA_UNKNOWNS + 12), *range(geometry_unknowns, len(jacobian))]:
        step = np.zeros(len(jacobian))
        step[k] = 2e-3
        sides = []
        for sign in (1, -1):
            moved = advance(state, sign * step[:geometry_unknowns])
            appearance = Appearance(
                look.albedo + sign * step[geometry_unknowns + 27 :],
                look.illumination + sign * step[geometry_unknowns : geometry_unknowns + 27].reshape(9, 3),
                look.trust,
            )
            sides.append(residual(moved, appearance).ravel())
        slope = -(sides[0] - sides[1]) / 4e-3
        error = np.abs(jacobian[k] - slope)[known]
        assert np.percentile(error, 95) < 0.08 * np.abs(slope[known]).max() + 1e-4, k
