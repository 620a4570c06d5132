"""The last step of a fit: geometry, light and albedo together, against landmarks and pixels at once."""

from __future__ import annotations

import numpy as np

from mien.fit.landmark_fit import (
    CAMERA_UNKNOWNS,
    Geometry,
    LandmarkBasis,
    advance,
    linearise,
    offset_from_prior,
)
from mien.fit.least_squares import bounded_step, normal_equations
from mien.fit.pixel_fit import (
    Appearance,
    Crop,
    PixelBasis,
    linearise_pixels,
    robust_trust,
    view,
)
from mien.fit.priors import LandmarkPriors, PixelPriors
from mien.lighting import sh_basis, sh_basis_gradient

_FLIP = np.array([1.0, -1.0, -1.0])


def fit_jointly(
    landmarks: LandmarkBasis,
    pixels: PixelBasis,
    geometry: Geometry,
    appearance: Appearance,
    target: np.ndarray,
    principal_px: np.ndarray,
    crop: Crop,
    geometry_prior: tuple[np.ndarray, np.ndarray],
    landmark_priors: LandmarkPriors,
    pixel_priors: PixelPriors,
    iterations: int = 2,
) -> tuple[Geometry, Appearance]:
    """Gauss-Newton over all unknowns, from a geometry and an appearance found one after the other.

    Args:
        target: (L, 2) landmarks in pixels from the principal point.
        geometry_prior: precision and centre, from `landmark_prior`.
    """
    geometry_precision, geometry_centre = geometry_prior
    count = len(geometry_precision)
    total = count + 27 + len(appearance.albedo)
    bounds = np.full((2, total), np.inf) * [[-1], [1]]
    bounds[:, CAMERA_UNKNOWNS + landmarks.identity_count : count] = landmarks.bounds
    light_precision = pixel_priors.light.precision
    for _ in range(iterations):
        hessian, gradient = normal_equations(
            *_linearise_everything(pixels, geometry, appearance, principal_px, crop, pixel_priors)
        )
        by_landmarks = normal_equations(*linearise(landmarks, geometry, target, landmark_priors))
        hessian[:count, :count] += by_landmarks[0]
        gradient[:count] += by_landmarks[1]

        offset = offset_from_prior(geometry, geometry_centre)
        light = slice(count, count + 27)
        hessian[light, light] += light_precision
        gradient[light] -= light_precision @ (appearance.illumination - pixel_priors.light.mean).ravel()
        albedo_precision = np.full(len(appearance.albedo), pixel_priors.albedo**-2)
        precision = np.concatenate([geometry_precision, np.zeros(27), albedo_precision])
        hessian[np.diag_indices_from(hessian)] += precision
        gradient -= precision * np.concatenate([offset, np.zeros(27), appearance.albedo])

        value = np.concatenate([
            np.zeros(CAMERA_UNKNOWNS), geometry.coefficients, np.zeros(27), appearance.albedo
        ])  # fmt: skip
        step = bounded_step(hessian, gradient, value, *bounds)
        geometry = advance(geometry, step[:count])
        appearance = Appearance(
            appearance.albedo + step[count + 27 :],
            appearance.illumination + step[light].reshape(9, 3),
            appearance.trust,
        )
    return geometry, appearance


def _linearise_everything(
    pixels: PixelBasis,
    geometry: Geometry,
    appearance: Appearance,
    principal_px: np.ndarray,
    crop: Crop,
    priors: PixelPriors,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Derivatives (7 + K + E + 27 + A, N C) of the pixel residuals, weights (N C,), and residuals (N C,)."""
    seen = view(pixels, geometry, principal_px, crop)
    values, slopes = crop.sample_with_gradient(seen.points_px)
    harmonics = sh_basis(seen.normals)
    residual, by_light, by_albedo, by_shading = linearise_pixels(
        pixels, appearance, values, harmonics, crop.grey
    )
    channels = residual.shape[1]
    if crop.grey:
        slopes = slopes.mean(1, keepdims=True)

    x, y, z = seen.camera.T
    pixels_per_mm = geometry.focal_px / z
    by_x = np.stack([pixels_per_mm, 0 * z, -pixels_per_mm * x / z], axis=-1)
    by_y = np.stack([0 * z, pixels_per_mm, -pixels_per_mm * y / z], axis=-1)
    photo_by_camera = slopes[:, :, :1] * by_x[:, None] + slopes[:, :, 1:] * by_y[:, None]  # (N, C, 3)
    photo_by_turned = photo_by_camera * _FLIP
    shading_by_normal = np.einsum("nka,kc->nca", sh_basis_gradient(seen.normals), appearance.illumination)
    model_by_normal = np.einsum("nci,nia->nca", by_shading, shading_by_normal)  # (N, C, 3), light frame

    turned = (seen.camera - geometry.translation) * _FLIP
    jacobian = np.empty(
        (CAMERA_UNKNOWNS + pixels.components.shape[1] + 27 + len(by_albedo), len(x), channels), np.float32
    )
    camera_rows = jacobian[:CAMERA_UNKNOWNS]
    camera_rows[:3] = -(
        np.cross(turned[:, None], photo_by_turned) - np.cross(seen.normals[:, None], model_by_normal)
    ).transpose(2, 0, 1)
    camera_rows[3:5] = -photo_by_camera[:, :, :2].transpose(2, 0, 1)
    camera_rows[5] = -photo_by_camera[:, :, 2] * geometry.translation[2]
    camera_rows[6] = -(slopes * (seen.points_px - principal_px)[:, None]).sum(-1)
    moved = -(photo_by_turned @ geometry.rotation).astype(np.float32)
    tilted = (model_by_normal @ geometry.rotation).astype(np.float32)
    shape_rows = jacobian[CAMERA_UNKNOWNS : CAMERA_UNKNOWNS + pixels.components.shape[1]]
    for channel in range(channels):
        shape_rows[..., channel] = sum(
            pixels.components[axis] * moved[:, channel, axis]
            + pixels.normal_components[axis] * tilted[:, channel, axis]
            for axis in range(3)
        )
    jacobian[-27 - len(by_albedo) : -len(by_albedo)] = by_light.reshape(27, -1, channels)
    jacobian[-len(by_albedo) :] = by_albedo.reshape(len(by_albedo), -1, channels)

    trust = robust_trust(residual, seen.seen, priors) * np.minimum(1.0, 4.0 * appearance.trust)
    weight = np.repeat(trust, channels) / (priors.noise**2 * priors.correlation)
    return jacobian.reshape(len(jacobian), -1), weight, residual.ravel()
