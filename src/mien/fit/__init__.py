"""Analysis by synthesis: from landmarks and pixels to the most probable face code.

Three stages, each the start of the next: geometry from landmarks, light and albedo from pixels, then all
together from both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mien.facecode import FaceCode
from mien.fit.joint_fit import joint_step
from mien.fit.landmark_fit import Geometry, LandmarkBasis, LandmarkEvidence
from mien.fit.pixel_fit import Appearance, Crop, PixelBasis, PixelEvidence
from mien.fit.priors import LandmarkPriors, PixelPriors, priors_of
from mien.morphable import MorphableModel

__all__ = ["FaceFit", "Fitter", "LandmarkPriors", "PixelPriors", "fit_face"]


_LANDMARK_STEPS, _APPEARANCE_STEPS = 2, 3
"""Gauss-Newton steps; over landmarks one fewer from a code. More change neither truth nor likeness."""


@dataclass(frozen=True, eq=False)
class FaceFit:
    """A fitted face.

    Attributes:
        code: the most probable code, NumPy float64.
    """

    code: FaceCode


@dataclass(frozen=True, eq=False)
class Fitter:
    """Fits one model. Holds what can be computed once; a pure function otherwise.

    Attributes:
        model: the model whose codes are fitted.
        landmarks, pixels: what the stages read of it.
        landmark_priors, pixel_priors: assumptions.
    """

    model: MorphableModel
    landmarks: LandmarkBasis
    pixels: PixelBasis
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
        measured = priors_of(model)
        landmark_priors = landmark_priors or measured[0]
        return cls(
            model,
            LandmarkBasis.of(model, model.landmarks478, sliding=False),
            PixelBasis.of(model),
            landmark_priors,
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
        start: FaceCode | None = None,
    ) -> FaceFit:
        """The most probable code of one face.

        Args:
            landmarks_px: (478, 2 or more) pixels; the detector's depth is not read: it was found to mislead.
            image_size: width and height of the picture.
            image: (H, W, 3) sRGB in [0, 1]; without it only geometry is fitted.
            focal_px: focal length if known.
            polish: whether geometry is refined against pixels too.
            start: a code near the truth, an encoder's say, from which fewer steps are needed; around its
                identity, expression and albedo the prior is centred. Its light is not read: which pixels
                show skin is judged better by the usual light.

        Raises:
            ValueError: the start belongs to another model.
        """
        if start is not None and start.model != self.model.id:
            raise ValueError(f"the code to start from belongs to model {start.model}, not to {self.model.id}")
        points = np.asarray(landmarks_px, np.float64)[:, :2]
        landmarks = LandmarkEvidence.of(
            self.landmarks, points, image_size, focal_px, self.landmark_priors, start
        )
        geometry = landmarks.start if start is None else Geometry.of(start, self.landmarks.bounds)
        geometry = landmarks.fit(geometry, _LANDMARK_STEPS - (start is not None))
        if image is None:
            nothing = Appearance(np.zeros(self.model.layout.albedo), np.zeros((9, 3)), np.zeros(0))
            return FaceFit(self._code(geometry, nothing if start is None else Appearance.of(start)))
        crop = Crop.around(image, points)
        expected = np.zeros(self.model.layout.albedo) if start is None else start.albedo
        pixels = PixelEvidence(self.pixels, crop, np.asarray(image_size) / 2.0, self.pixel_priors, expected)
        seen = pixels.view(geometry)
        appearance = pixels.fit(seen, pixels.start, _APPEARANCE_STEPS)
        if polish:
            geometry, appearance = joint_step(landmarks, pixels, seen, geometry, appearance)
        return FaceFit(self._code(geometry, appearance))

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
