"""Analysis by synthesis: from landmarks and pixels to the most probable face code.

Three stages, each the start of the next: geometry from landmarks, light and albedo from pixels, then all
together from both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from mien.facecode import FaceCode
from mien.fit.joint_fit import fit_jointly
from mien.fit.landmark_fit import (
    Geometry,
    LandmarkBasis,
    fit_landmarks,
    landmark_prior,
)
from mien.fit.pixel_fit import Appearance, Crop, PixelBasis, fit_appearance, view
from mien.fit.priors import LandmarkPriors, PixelPriors, measured_priors
from mien.morphable import MorphableModel

__all__ = ["FaceFit", "Fitter", "LandmarkPriors", "PixelPriors", "fit_face"]

_THINNING = 3
"""The joint step, the dearest, reads every third of the sampled vertices."""


@dataclass(frozen=True, eq=False)
class FaceFit:
    """A fitted face.

    Attributes:
        code: the most probable code, NumPy float64.
        trusted: (N, 3) x, y in pixels and trust in [0, 1] of the skin samples the appearance was read from;
            empty when only landmarks were fitted.
    """

    code: FaceCode
    trusted: np.ndarray


@dataclass(frozen=True, eq=False)
class Fitter:
    """Fits one model. Holds what can be computed once; a pure function otherwise.

    Attributes:
        model: the model whose codes are fitted.
        landmarks, pixels, fewer_pixels: what the three stages read of it.
        landmark_priors, pixel_priors: assumptions.
    """

    model: MorphableModel
    landmarks: LandmarkBasis
    pixels: PixelBasis
    fewer_pixels: PixelBasis
    landmark_priors: LandmarkPriors
    pixel_priors: PixelPriors

    @classmethod
    def of(
        cls,
        model: MorphableModel,
        landmark_priors: LandmarkPriors | None = None,
        pixel_priors: PixelPriors | None = None,
    ) -> Fitter:
        """A fitter of `model` for MediaPipe's landmarks; priors not given are the measured ones."""
        measured = measured_priors(model.name)
        pixels = PixelBasis.of(model)
        return cls(
            model,
            LandmarkBasis.of(model, model.landmarks478, sliding=False),
            pixels,
            pixels.thinned(_THINNING),
            landmark_priors or measured[0],
            pixel_priors or measured[1],
        )

    def __call__(
        self,
        landmarks_px: np.ndarray,
        image_size: tuple[int, int],
        image: np.ndarray | None = None,
        *,
        focal_px: float | None = None,
        polish: bool = True,
    ) -> FaceFit:
        """The most probable code of one face.

        Args:
            landmarks_px: (478, 2 or more) pixels; the detector's depth is not read: it was found to mislead.
            image_size: width and height of the picture.
            image: (H, W, 3) sRGB in [0, 1]; without it only geometry is fitted.
            focal_px: focal length if known.
            polish: whether geometry is refined against pixels too.
        """
        points = np.asarray(landmarks_px, np.float64)[:, :2]
        geometry = fit_landmarks(
            self.landmarks,
            points,
            image_size,
            focal_px=focal_px,
            priors=self.landmark_priors,
        )
        if image is None:
            nothing = Appearance(np.zeros(self.model.layout.albedo), np.zeros((9, 3)), np.zeros(0))
            return FaceFit(self._code(geometry, nothing), np.zeros((0, 3)))
        principal = np.asarray(image_size) / 2.0
        crop = Crop.around(image, points)
        seen = view(self.pixels, geometry, principal, crop)
        appearance = fit_appearance(self.pixels, geometry, crop, seen, self.pixel_priors)
        trust = appearance.trust
        if polish:
            geometry, appearance = fit_jointly(
                self.landmarks,
                self.fewer_pixels,
                geometry,
                replace(appearance, trust=appearance.trust[::_THINNING]),
                points - principal,
                principal,
                crop,
                landmark_prior(self.landmarks, image_size, focal_px, self.landmark_priors),
                self.landmark_priors,
                self.pixel_priors,
            )
        return FaceFit(self._code(geometry, appearance), np.column_stack([seen.points_px, trust]))

    def _code(self, geometry: Geometry, appearance: Appearance) -> FaceCode:
        count = self.landmarks.identity_count
        return FaceCode(
            identity=geometry.coefficients[:count],
            expression=geometry.coefficients[count:],
            albedo=appearance.albedo,
            rotation=geometry.rotation_vector,
            translation=geometry.translation,
            illumination=appearance.illumination,
            focal_px=np.float64(geometry.focal_px),
            model=self.model.id,
        )


@lru_cache(maxsize=2)
def _fitter(model: MorphableModel) -> Fitter:
    return Fitter.of(model)


def fit_face(
    model: MorphableModel, landmarks_px: np.ndarray, image: np.ndarray, **options: object
) -> FaceFit:
    """`Fitter.of(model)` kept between calls, on a picture (H, W, 3); options as of a `Fitter`'s call."""
    height, width = image.shape[:2]
    return _fitter(model)(landmarks_px, (width, height), image, **options)
