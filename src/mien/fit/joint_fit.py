"""The last step of a fit: geometry, light and albedo together, against landmarks and pixels at once."""

from __future__ import annotations

import numpy as np

from mien.fit.landmark_fit import CAMERA_UNKNOWNS, Geometry, LandmarkEvidence, advance, cross
from mien.fit.least_squares import Linearisation, bounded_step
from mien.fit.pixel_fit import Appearance, PixelEvidence, View, linearise_pixels, robust_trust
from mien.lighting import sh_basis, sh_basis_gradient

_FLIP = np.array([1.0, -1.0, -1.0])


def joint_step(
    landmarks: LandmarkEvidence, pixels: PixelEvidence, seen: View, geometry: Geometry, appearance: Appearance
) -> tuple[Geometry, Appearance]:
    """One Gauss-Newton step over all unknowns, from a geometry and an appearance found one after the other.

    A second one was measured to change neither truth nor likeness.

    Args:
        seen: the geometry's view.
    """
    look = 27 + len(appearance.albedo)
    hessian, gradient = linearise_jointly(pixels, seen, geometry, appearance).normal_equations()
    pixels.add_prior(hessian, gradient, appearance)
    by_landmarks = landmarks.normal_equations(geometry)
    hessian[look:, look:] += by_landmarks[0]
    gradient[look:] += by_landmarks[1]
    step = bounded_step(hessian, gradient, *landmarks.basis.room(geometry))
    return advance(geometry, step[look:]), appearance.advance(step[:look], appearance.trust)


def linearise_jointly(
    pixels: PixelEvidence, seen: View, geometry: Geometry, appearance: Appearance
) -> Linearisation:
    """The pixels' residuals (C N,) by light (27), albedo (A), camera (7) and coefficients (K + E)."""
    values, gradient = pixels.crop.sample_with_gradient(seen.points_px)
    slopes = linearise_pixels(pixels.basis, appearance, values, sh_basis(seen.normals).T)
    trust = robust_trust(slopes.residual, seen.seen, pixels.priors) * np.minimum(1.0, 4.0 * appearance.trust)
    scale = pixels.scale(trust)

    x, y, z = camera = seen.camera.T
    normals, from_principal = seen.normals.T, (seen.points_px - pixels.principal_px).T
    by_x, by_y = gradient * scale * (geometry.focal_px / z)
    photo_by_camera = np.stack([by_x, by_y, -(by_x * x + by_y * y) / z])  # (3, C, N), as those below
    photo_by_turned = photo_by_camera * _FLIP[:, None, None]
    # harmonics bend by the normal, times light, times how the picture follows the shading
    by_normal = np.einsum("nka,kc->acn", sh_basis_gradient(seen.normals), appearance.illumination)
    model_by_normal = by_normal * slopes.by_shading * scale
    if len(values) == 1:
        model_by_normal = model_by_normal.sum(1, keepdims=True)

    turned = (camera - geometry.translation[:, None]) * _FLIP[:, None]
    look = 27 + len(appearance.albedo)
    total = look + CAMERA_UNKNOWNS + len(geometry.coefficients)
    jacobian = np.empty((total, *values.shape), np.float32)
    np.multiply(slopes.by_light, scale, out=jacobian[:27])
    np.multiply(slopes.by_albedo, scale, out=jacobian[27:look])
    rows = jacobian[look:]
    rows[:3] = cross(normals, model_by_normal) - cross(turned, photo_by_turned)
    rows[3:5] = -photo_by_camera[:2]
    rows[6] = -(gradient * from_principal[:, None]).sum(0) * scale
    rows[5] = rows[6] * (1 - geometry.translation[2] / z)
    by_model = np.einsum("ba,bcn->can", geometry.rotation, -photo_by_turned)
    by_model_normal = np.einsum("ba,bcn->can", geometry.rotation, model_by_normal)
    blocks = np.concatenate([by_model, by_model_normal], axis=1).astype(np.float32)
    np.einsum("akn,can->kcn", pixels.basis.components, blocks, out=rows[CAMERA_UNKNOWNS:])
    return Linearisation(
        jacobian.reshape(total, -1),
        (slopes.residual * scale).ravel(),
        np.broadcast_to(scale, values.shape).ravel(),
    )
