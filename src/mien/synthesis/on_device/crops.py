"""Codes in the cameras of their crops, in torch: what `seen_in_crops` of `mien.synthesis.codes` does."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mien.align import EYE_CORNERS_LEFT, EYE_CORNERS_RIGHT, MOUTH_CORNERS, SIDE
from mien.camera import Camera, project, rotation_matrix, to_camera
from mien.facecode import FaceCode
from mien.fit.landmark_fit import LandmarkBasis
from mien.fit.landmark_response import landmark_response
from mien.lighting import rotate_light
from mien.morphable import MorphableModel
from mien.synthesis.codes import OWN_NOISE_MM, SHARED_NOISE
from mien.synthesis.on_device.chance import Chance

_FLIP = (1.0, -1.0, -1.0)


@dataclass(frozen=True, eq=False)
class Crops:
    """What crops need of a model, on a device.

    Attributes:
        mean: (478, 3) mm, landmarks of the mean head.
        components: (K + E, 478, 3) mm, identity before expression.
        answer: (E, E) expression coefficients that detected landmarks show, by those that the face shows.
        besides: (E, 2, 478) mm, how each expression moves the detected landmarks besides.
        bias: (2, 478) mm, the mean of the detector's errors.
        spread: (2, 478) mm, deviation of each landmark's own error.
        factors: (F, 2, 478) mm, the errors that landmarks share.
    """

    mean: Tensor
    components: Tensor
    answer: Tensor
    besides: Tensor
    bias: Tensor
    spread: Tensor
    factors: Tensor

    @classmethod
    def of(cls, model: MorphableModel, device: torch.device) -> Crops:
        """Of a NumPy model."""
        basis = LandmarkBasis.of(model, model.landmarks478, sliding=False)
        response = landmark_response(model)

        def tensor(array: object) -> Tensor:
            return torch.as_tensor(array, dtype=torch.float32, device=device).contiguous()

        return cls(
            mean=tensor(basis.mean),
            components=tensor(basis.components.transpose(1, 2, 0)),
            answer=tensor(response.answer),
            besides=tensor(response.besides),
            bias=tensor(response.bias),
            spread=(tensor(response.noise.variance) + OWN_NOISE_MM**2).sqrt(),
            factors=tensor(response.noise.factors),
        )

    def landmarks_px(self, codes: FaceCode, size: int) -> Tensor:
        """(N, 478, 2) where the landmarks of codes in crop cameras truly are."""
        centre = torch.full((2,), size / 2, device=self.mean.device)
        return project(self._in_camera(codes), Camera(codes.focal_px, centre, (size, size)))[..., :2]

    def seen(self, codes: FaceCode, chance: Chance, size: int) -> tuple[FaceCode, Tensor]:
        """Codes in the cameras of the crops that a detector's landmarks give, a little off.

        Args:
            codes: (N) float32 tensors, otherwise as `random_codes` makes them.
            chance: source of chance.
            size: side of the crops in pixels.

        Returns:
            The codes, and (N, 478, 2) landmarks as detected, in pixels of the crops.
        """
        share = chance.uniform(0, 1, len(codes.rotation), 1)
        answered = torch.lerp(codes.expression, codes.expression @ self.answer.mT, share)
        points = self._in_camera(codes.with_(expression=answered))
        # a picture with focal length 1: millimetres on the unit plane
        landmarks = (points[..., :2] + self._errors(chance, codes, share)) / points[..., 2:]
        centre, side, roll = _aligned(landmarks)
        off = chance.normal(len(side), 4) * side.new_tensor([0.02, 0.02, 0.03, 0.03])
        centre = centre + off[:, :2] * side[:, None]
        side, roll = side * torch.exp(off[:, 2]), roll + off[:, 3]
        in_crop = (landmarks - centre[:, None]) @ _axes(roll) * (size / side)[:, None, None] + size / 2
        return _in_crop_camera(codes, centre, side, roll, size), in_crop

    def _in_camera(self, codes: FaceCode) -> Tensor:
        """(N, 478, 3) mm, camera frame."""
        coefficients = torch.cat([codes.identity, codes.expression], -1)
        heads = self.mean + (coefficients @ self.components.flatten(1)).unflatten(-1, (-1, 3))
        return to_camera(heads, codes.rotation, codes.translation)

    def _errors(self, chance: Chance, codes: FaceCode, share: Tensor) -> Tensor:
        """(N, 478, 2) mm at the face: the measured errors, more of them in some pictures than in others.

        Args:
            share: (N, 1) of the mean error and of what expressions move besides.
        """
        count = len(codes.rotation)
        own = chance.noise((count, *self.spread.shape)) * self.spread
        weights = chance.normal(count, len(self.factors)) * SHARED_NOISE
        level = torch.exp(chance.normal(count, 1, 1) * 0.4)
        upright = level * (own + (weights @ self.factors.flatten(1)).view_as(own))
        besides = (codes.expression @ self.besides.flatten(1)).view_as(own)
        upright = upright + share[..., None] * (self.bias + besides)
        # rows of the turn are columns of the axes of a crop with the roll of the head
        return (_axes(codes.rotation[:, 2]).mT @ upright).mT


def _axes(roll_radians: Tensor) -> Tensor:
    """(N, 2, 2) whose columns are the crop's axes in the picture."""
    cosine, sine = torch.cos(roll_radians), torch.sin(roll_radians)
    return torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], -2)


def _aligned(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Centres (N, 2), sides (N,) and rolls (N,) of the crops of (N, 478, 2) landmarks: `mien.align.align`."""
    right, left, mouth = (
        points[:, list(numbers)].mean(1) for numbers in (EYE_CORNERS_RIGHT, EYE_CORNERS_LEFT, MOUTH_CORNERS)
    )
    across, down = left - right, mouth - (left + right) / 2
    x = across + torch.stack([down[:, 1], -down[:, 0]], -1)
    roll = torch.atan2(x[:, 1], x[:, 0])
    axes = _axes(roll)
    low, high = torch.aminmax(points @ axes, dim=1)
    centre = (((low + high) / 2)[:, None] @ axes.mT)[:, 0]
    return centre, SIDE * (high - low).amax(-1), roll


def _in_crop_camera(codes: FaceCode, centre: Tensor, side: Tensor, roll: Tensor, size: int) -> FaceCode:
    """`mien.crop_camera.to_crop_camera` of codes with focal length 1 and principal point 0."""
    length = torch.linalg.norm(centre, dim=-1)
    axis = torch.stack([centre[:, 1], -centre[:, 0], torch.zeros_like(length)], -1)
    tilt = rotation_matrix(axis * (torch.atan(length) / length.clamp_min(1e-12))[:, None])
    upright = rotation_matrix(roll[:, None] * roll.new_tensor([0.0, 0.0, -1.0]))
    turn, flip = upright @ tilt, roll.new_tensor(_FLIP)
    in_model_axes = flip[:, None] * turn * flip
    return codes.with_(
        rotation=_rotation_vector(in_model_axes @ rotation_matrix(codes.rotation)),
        translation=(turn @ codes.translation[..., None])[..., 0],
        illumination=rotate_light(codes.illumination, in_model_axes),
        focal_px=torch.hypot(torch.ones_like(length), length) * size / side,
    )


def _rotation_vector(matrix: Tensor) -> Tensor:
    """(N, 3, 3) rotations by less than about 3 radians to (N, 3) axis times angle."""
    skew = matrix - matrix.mT
    sine_axis = 0.5 * torch.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], -1)
    sine = torch.linalg.norm(sine_axis, dim=-1)
    angle = torch.atan2(sine, 0.5 * (torch.einsum("nii->n", matrix) - 1))
    return sine_axis * torch.where(sine > 1e-6, angle / sine.clamp_min(1e-6), 1.0)[:, None]
