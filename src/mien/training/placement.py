"""Where a face stands in its crop, its size and its roll: from the landmarks, in closed form."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from mien.morphable import MorphableModel
from mien.training.crop_code import CropCode

_EVERY = 3  # third landmark counts
_STEPS = 2  # perspective changes a little where a face is shifted


class Placement(nn.Module):
    """Lays a code's landmarks over those that were detected.

    Hundreds of points say to a fraction of a pixel where a face stands; a network that had to say it as well
    would be off by more. What is found is the similarity of the plane that takes the one points to the others
    with the least squares (as complex numbers), and it is put into the pose: a turn about the optical axis, a
    longer focal length, a shift.
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
            centre = target.mean(1)
            u, v = (target - centre[:, None]).unbind(2)
            moved = code.identity @ self.identity + code.expression @ self.expression
            points = self.mean + moved.reshape(-1, *self.mean.shape)
            for _ in range(_STEPS):
                shown = code.in_crop(points)
                about = shown.mean(1)
                x, y = (shown - about[:, None]).unbind(2)
                squared = (x * x + y * y).sum(1).clamp_min(1e-8)
                real = (x * u + y * v).sum(1) / squared
                imaginary = (x * v - y * u).sum(1) / squared
                size = torch.sqrt(real * real + imaginary * imaginary).clamp_min(1e-3)
                cosine, sine, zero = real / size, imaginary / size, torch.zeros_like(size)
                # y goes down in the crop and up in the model
                roll = torch.stack([cosine, sine, zero, -sine, cosine, zero, zero, zero, zero + 1], 1)
                from_centre = code.position - about
                turned = torch.stack(
                    [
                        cosine * from_centre[:, 0] - sine * from_centre[:, 1],
                        sine * from_centre[:, 0] + cosine * from_centre[:, 1],
                    ],
                    1,
                )
                code = code._replace(
                    rotation=roll.reshape(-1, 3, 3) @ code.rotation,
                    position=centre + size[:, None] * turned,
                    log_scale=code.log_scale + torch.log(size),
                )
        return code
