"""Where a face stands in its crop, its size, roll, and part of its turn: from landmarks, in closed form."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from mien.morphable import MorphableModel
from mien.training.crop_code import MEAN_SCALE, SPAN_MM, CropCode

_EVERY = 3  # third landmark counts
_DAMPING_MM = 5.0
"""Landmarks whose depths spread by as much, beyond what a similarity explains, are followed half of a turn.
The less, the closer heads sit on photographs, and the farther they follow the errors that landmarks share."""


class Placement(nn.Module):
    """Lays a code's landmarks over those that were detected.

    Hundreds of points say to a fraction of a pixel where a face stands; a network that had to say it as well
    would be off by more. What is found is the similarity of the plane that takes the one points to the others
    with the least squares (as complex numbers), and it is put into the pose: a turn about the optical axis, a
    longer focal length, a shift. Between two of these the head is turned about the other axes, by damped
    least squares: landmarks say something of that, but err together.
    """

    def __init__(self, model: MorphableModel):
        """Args: model: NumPy; the landmarks are its 478."""
        super().__init__()
        for name in ("mean", "identity", "expression"):
            field = model.identity_mean if name == "mean" else getattr(model, f"{name}_components")
            points = model.landmarks478(field)[..., ::_EVERY, :]
            rows = points if name == "mean" else points.reshape(len(points), -1)
            self.register_buffer(name, torch.from_numpy(np.array(rows, np.float32)))

    def forward(self, code: CropCode, landmarks: Tensor) -> CropCode:
        """The code where the landmarks are.

        Args:
            code: (N), whose position, scale and roll are a first guess.
            landmarks: (N, 478, 2) in half sides of the crop from its centre.
        """
        with torch.autocast(landmarks.device.type, enabled=False):
            target = landmarks.float()[:, ::_EVERY]
            moved = code.identity @ self.identity + code.expression @ self.expression
            points = self.mean + moved.reshape(-1, *self.mean.shape)
            code = _turned(_laid_over(code, points, target), points, target)
            return _laid_over(code, points, target)


def _laid_over(code: CropCode, points: Tensor, target: Tensor) -> CropCode:
    """The code whose points (N, P, 3) are a similarity of the plane nearer to the target (N, P, 2)."""
    (x, y), about = _centred(code.in_crop(points))
    (u, v), centre = _centred(target)
    squared = (x * x + y * y).sum(1).clamp_min(1e-8)
    real = (x * u + y * v).sum(1) / squared
    imaginary = (x * v - y * u).sum(1) / squared
    size = torch.sqrt(real * real + imaginary * imaginary).clamp_min(1e-3)
    cosine, sine, zero = real / size, imaginary / size, torch.zeros_like(size)
    # y goes down in the crop and up in the model
    roll = torch.stack([cosine, sine, zero, -sine, cosine, zero, zero, zero, zero + 1], 1)
    across, down = (code.position - about).unbind(1)
    turned = torch.stack([cosine * across - sine * down, sine * across + cosine * down], 1)
    return code._replace(
        rotation=roll.reshape(-1, 3, 3) @ code.rotation,
        position=centre + size[:, None] * turned,
        log_scale=code.log_scale + torch.log(size),
    )


def _turned(code: CropCode, points: Tensor, target: Tensor) -> CropCode:
    """The code whose head, laid over the target, is turned up or down and aside as that says.

    By small angles a up about x and b about y, a point of depth z moves by z (b + i a): one complex unknown.
    What a similarity would do as well is taken from the depths first.
    """
    scale = 2 * MEAN_SCALE / SPAN_MM * torch.exp(code.log_scale)
    depth = (points @ code.rotation.transpose(1, 2))[..., 2] * scale[:, None]
    depth = depth - depth.mean(1, keepdim=True)
    (x, y), _ = _centred(code.in_crop(points))
    (u, v), _ = _centred(target)
    squared = (x * x + y * y).sum(1).clamp_min(1e-8)
    along, across = ((depth * part).sum(1, keepdim=True) / squared[:, None] for part in (x, y))
    real, imaginary = depth - along * x - across * y, across * x - along * y
    weight = (real * real + imaginary * imaginary).mean(1) + (_DAMPING_MM * scale) ** 2
    right, down = u - x, v - y
    b = (real * right + imaginary * down).mean(1) / weight
    a = (real * down - imaginary * right).mean(1) / weight
    zero, one = torch.zeros_like(a), torch.ones_like(a)
    about_x = torch.stack([one, zero, zero, zero, a.cos(), -a.sin(), zero, a.sin(), a.cos()], 1)
    about_y = torch.stack([b.cos(), zero, b.sin(), zero, one, zero, -b.sin(), zero, b.cos()], 1)
    turn = about_y.reshape(-1, 3, 3) @ about_x.reshape(-1, 3, 3)
    return code._replace(rotation=turn @ code.rotation)


def _centred(points: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """x and y (N, P) of points (N, P, 2) from their mean, and that (N, 2)."""
    mean = points.mean(1)
    return (points - mean[:, None]).unbind(2), mean
