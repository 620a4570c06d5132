"""The fit: derivatives against finite differences, bounds, and faces found again from their own landmarks."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from mien.camera import rotation_matrix
from mien.facecode import FaceCode
from mien.fit import Fitter
from mien.fit.joint_fit import linearise_jointly
from mien.fit.landmark_fit import CAMERA_UNKNOWNS, Geometry, LandmarkEvidence, advance, cross, fit_landmarks
from mien.fit.least_squares import Linearisation, bounded_step
from mien.fit.pixel_fit import Appearance, Crop, PixelEvidence, linearise_pixels
from mien.fit.priors import LandmarkPriors
from mien.lighting import sh_basis, sh_basis_gradient
from mien.render import render
from tiny_face import tiny_code, tiny_face

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


def evidence(fitter: Fitter, points_px: np.ndarray, priors: LandmarkPriors | None = None) -> LandmarkEvidence:
    return LandmarkEvidence.of(fitter.landmarks, points_px, SIZE, None, priors or LandmarkPriors())


def landmarks_of(fitter: Fitter, state: Geometry) -> np.ndarray:
    """(L, 2) pixels in a picture of `SIZE`."""
    count = fitter.landmarks.points.count
    grid = np.random.default_rng(0).uniform(0, 300, (count, 2))  # any target does
    found = evidence(fitter, grid).linearise(state)
    residual_mm = (found.residual / found.scale).reshape(2, -1).T
    return grid - residual_mm * state.focal_px / state.translation[2]


def test_bounded_step_is_the_constrained_optimum() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        matrix = random.normal(size=(30, 12))
        right = 3 * random.normal(size=30)
        value = np.where(random.random(8) < 0.5, 0.0, random.uniform(0, 1, 8))
        low, high = -value, np.where(random.random(8) < 0.3, np.inf, 1.0 - value)
        step = bounded_step(matrix.T @ matrix, matrix.T @ right, low, high)
        assert (step[4:] >= low).all() and (step[4:] <= high).all()
        free = np.full(4, np.inf)
        bounds = np.concatenate([-free, low - 1e-12]), np.concatenate([free, high + 1e-12])
        np.testing.assert_allclose(step, lsq_linear(matrix, right, bounds).x, atol=1e-5)


def test_shared_errors_weigh_as_their_covariance() -> None:
    random = np.random.default_rng(5)
    jacobian = random.normal(size=(6, 40)).astype(np.float32)
    residual, shared = random.normal(size=40), random.normal(size=(3, 40)).astype(np.float32)
    precision = np.linalg.inv(np.eye(40) + shared.T @ shared)
    hessian, gradient = Linearisation(jacobian, residual, np.ones(40), shared).normal_equations()
    np.testing.assert_allclose(hessian, jacobian @ precision @ jacobian.T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gradient, jacobian @ precision @ residual, rtol=1e-4, atol=1e-4)


def test_landmark_derivatives(fitter: Fitter) -> None:
    state = some_geometry(fitter)
    found = evidence(fitter, landmarks_of(fitter, state)).linearise(state)
    for k in range(len(found.jacobian)):
        step = np.zeros(len(found.jacobian))
        step[k] = 1e-3
        ahead, behind = (advance(state, sign * step) for sign in (1, -1))
        slope = (landmarks_of(fitter, ahead) - landmarks_of(fitter, behind)).T.ravel() / 2e-3
        slope *= state.translation[2] / state.focal_px
        atol = 5e-3 * np.abs(slope).max() + 1e-3
        np.testing.assert_allclose(found.jacobian[k] / found.scale, slope, atol=atol)


def test_prior_pulls_down_its_energy(fitter: Fitter) -> None:
    """Also along the dolly zoom, which moves distance and focal length together."""
    state = some_geometry(fitter, seed=2)
    found = evidence(fitter, landmarks_of(fitter, some_geometry(fitter, seed=1)))

    def energy(step: np.ndarray) -> float:
        moved = advance(state, step)
        camera = np.log([moved.translation[2], moved.focal_px]) - found.centre
        offset = np.concatenate([np.zeros(5), camera, moved.coefficients])
        return 0.5 * (found.precision * offset**2).sum()

    both, by_data = found.normal_equations(state), found.linearise(state).normal_equations()
    curvature, pull = both[0] - by_data[0], both[1] - by_data[1]
    np.testing.assert_allclose(curvature, curvature.T, atol=1e-6)
    for step in 1e-2 * np.random.default_rng(0).normal(size=(5, len(pull))):
        expected = energy(step) - energy(0 * step)
        assert 0.5 * step @ curvature @ step - pull @ step == pytest.approx(expected, rel=1e-3)


def test_light_basis_derivative() -> None:
    normals = np.random.default_rng(1).normal(size=(50, 3))
    for axis, step in enumerate(1e-5 * np.eye(3)):
        slope = (sh_basis(normals + step) - sh_basis(normals - step)) / 2e-5
        np.testing.assert_allclose(sh_basis_gradient(normals)[..., axis], slope, atol=1e-6)


def test_landmarks_give_back_pose_and_shape(fitter: Fitter) -> None:
    state = some_geometry(fitter, seed=3)
    points = landmarks_of(fitter, state)
    priors = LandmarkPriors(noise_mm=0.01, contour_noise_mm=0.01, identity=3.0, expression=3.0)
    found = fit_landmarks(
        fitter.landmarks, points, SIZE, focal_px=state.focal_px, priors=priors, iterations=12
    )
    np.testing.assert_allclose(found.rotation, state.rotation, atol=4e-3)
    np.testing.assert_allclose(found.translation, state.translation, rtol=0.03)
    assert np.abs(landmarks_of(fitter, found) - points).max() < 0.2
    lower, upper = fitter.landmarks.bounds
    expression = found.coefficients[fitter.landmarks.identity_count :]
    assert (expression >= lower).all() and (expression <= upper).all()


def test_pixel_derivatives(fitter: Fitter) -> None:
    """All columns of the joint step against differences of the residual, on a smooth picture."""
    ys, xs = np.mgrid[: SIZE[1], : SIZE[0]] / 60.0
    waves = [0.5 + 0.2 * np.sin(xs + c) * np.cos(0.7 * ys - c) for c in range(3)]
    crop = Crop(np.stack(waves, axis=-1).astype(np.float32), np.zeros(2), 1.0, grey=False)
    mean_albedo = np.zeros(len(fitter.pixels.albedo_components))
    pixels = PixelEvidence(fitter.pixels, crop, np.array(SIZE) / 2, fitter.pixel_priors, mean_albedo)
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
        seen = pixels.view(geometry)
        values = crop.sample(seen.points_px)
        return linearise_pixels(fitter.pixels, appearance, values, sh_basis(seen.normals).T).residual.ravel()

    found = linearise_jointly(pixels, pixels.view(state), state, look)
    known = found.scale > found.scale.max() * 0.5
    camera = 27 + len(look.albedo)
    for k in range(camera + CAMERA_UNKNOWNS + 12):
        step = np.zeros(len(found.jacobian))
        step[k] = 2e-3
        sides = [
            residual(advance(state, sign * step[camera:]), look.advance(sign * step[:camera], look.trust))
            for sign in (1, -1)
        ]
        slope = -(sides[0] - sides[1])[known] / 4e-3
        error = np.abs(found.jacobian[k][known] / found.scale[known] - slope)
        assert np.percentile(error, 95) < 0.08 * np.abs(slope).max() + 1e-4, k


def test_albedo_stays_as_expected_where_nothing_is_seen(fitter: Fitter) -> None:
    crop = Crop(np.full((SIZE[1], SIZE[0], 3), 0.3, np.float32), np.zeros(2), 1.0, grey=False)
    expected = np.random.default_rng(7).normal(size=len(fitter.pixels.albedo_components))
    pixels = PixelEvidence(fitter.pixels, crop, np.array(SIZE) / 2, fitter.pixel_priors, expected)
    seen = pixels.view(some_geometry(fitter))
    moved = pixels.fit(seen, pixels.start, 3).albedo
    unmoved = pixels.fit(replace(seen, seen=0 * seen.seen), pixels.start, 3).albedo
    np.testing.assert_allclose(unmoved, expected, atol=1e-6)
    assert np.abs(moved - expected).max() > 0.05


def test_cross_is_numpys() -> None:
    a, b = np.random.default_rng(6).normal(size=(2, 3, 4, 5))
    np.testing.assert_allclose(cross(a, b), np.cross(a, b, axis=0))
    np.testing.assert_allclose(cross(a[:, 0], b), np.cross(a[:, :1], b, axis=0))


@pytest.mark.parametrize("known", [False, True], ids=["from nothing", "from a code"])
def test_face_is_found_again_in_its_picture(fitter: Fitter, known: bool) -> None:
    geometry = some_geometry(fitter, seed=7)
    count = fitter.landmarks.identity_count
    code = tiny_code(3).with_(
        identity=geometry.coefficients[:count].astype(np.float32),
        expression=geometry.coefficients[count:].astype(np.float32),
        rotation=geometry.rotation_vector.astype(np.float32),
        translation=geometry.translation.astype(np.float32),
        focal_px=np.float32(geometry.focal_px),
    )
    picture = render(fitter.model, code, SIZE)
    points = landmarks_of(fitter, geometry)
    wild = code.expression - 0.1  # an encoder may leave the bounds
    start = code.with_(identity=0 * code.identity, albedo=0 * code.albedo, expression=wild) if known else None
    found = fitter(points, SIZE, picture.image, focal_px=geometry.focal_px, start=start).code
    again = render(
        fitter.model,
        FaceCode.from_vector(found.to_vector().astype(np.float32), found.layout, found.model),
        SIZE,
    )
    assert (found.expression >= 0).all() and (found.expression <= 1).all()
    shown = (picture.mask > 0) & (again.mask > 0)
    assert np.sqrt(((again.image - picture.image)[shown] ** 2).mean()) < 0.04


def test_code_to_start_from_is_of_the_model(fitter: Fitter) -> None:
    stranger = FaceCode.from_vector(tiny_code().to_vector(), tiny_code().layout, "other/1")
    with pytest.raises(ValueError, match="belongs to model other/1"):
        fitter(np.zeros((478, 2)), SIZE, start=stranger)
