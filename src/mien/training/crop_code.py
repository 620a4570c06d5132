"""A face code as the network says it: every part in the crop's own units, the pose as a matrix."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from array_api_compat import array_namespace
from torch import Tensor

from mien.camera import rotation_matrix, rotation_vector
from mien.facecode import FaceCode

_FLIP = (1.0, -1.0, -1.0)
SPAN_MM = 100.0
MEAN_SCALE = 0.5
"""Size of `SPAN_MM` at the face in an ordinary crop, in sides of the crop."""
MEAN_DISTANCE_MM = 900.0


class CropCode(NamedTuple):
    """Codes of a batch in the camera of their crops, whose principal point is the crop's centre.

    Where a face stands is said by what a picture shows of it: the place and the size of the face in the crop,
    and the distance, which the picture shows only by its perspective.

    Attributes:
        identity: (N, K). expression: (N, E). albedo: (N, A). As in `FaceCode`.
        rotation: (N, 3, 3) matrix R of the pose.
        position: (N, 2) model's origin in the crop, x and y from its centre, in half sides.
        log_scale: (N,) logarithm of the size of 100 mm at the model's origin, in sides of the crop, over
            `MEAN_SCALE`.
        log_distance: (N,) logarithm of the origin's depth over `MEAN_DISTANCE_MM`.
        illumination: (N, 9, 3) as in `FaceCode`.
    """

    identity: Tensor
    expression: Tensor
    albedo: Tensor
    rotation: Tensor
    position: Tensor
    log_scale: Tensor
    log_distance: Tensor
    illumination: Tensor

    @property
    def focal(self) -> Tensor:
        """(N,) focal length in sides of the crop."""
        return MEAN_SCALE * MEAN_DISTANCE_MM / SPAN_MM * torch.exp(self.log_scale + self.log_distance)

    @property
    def translation(self) -> Tensor:
        """(N, 3) mm, camera frame: the position of the model's origin."""
        across = self.position * (0.5 * SPAN_MM / MEAN_SCALE * torch.exp(-self.log_scale))[:, None]
        return torch.cat([across, MEAN_DISTANCE_MM * torch.exp(self.log_distance)[:, None]], dim=1)

    @classmethod
    def from_code(cls, code: FaceCode, size: int) -> CropCode:
        """Inverse of `to_code`.

        Args:
            code: batch (N,), in the crop's camera; NumPy, or torch, whose device is kept.
            size: side of the crop in pixels.
        """
        xp = array_namespace(code.identity)
        depth = code.translation[:, 2]
        focal = code.focal_px / size
        parts = (
            code.identity,
            code.expression,
            code.albedo,
            rotation_matrix(xp.asarray(code.rotation, dtype=xp.float64)),
            2 * (focal / depth)[:, None] * code.translation[:, :2],
            xp.log(focal / depth * (SPAN_MM / MEAN_SCALE)),
            xp.log(depth / MEAN_DISTANCE_MM),
            code.illumination,
        )
        return cls(*(torch.as_tensor(xp.asarray(part, dtype=xp.float32, copy=True)) for part in parts))

    def to_code(self, size: int, model: str) -> FaceCode:
        """The same as a `FaceCode`, NumPy float32.

        Args:
            size: side of the crop in pixels.
            model: name and version of the morphable model.
        """

        def numpy(tensor: Tensor) -> np.ndarray:
            return tensor.detach().cpu().float().numpy()

        return FaceCode(
            identity=numpy(self.identity),
            expression=numpy(self.expression),
            albedo=numpy(self.albedo),
            rotation=rotation_vector(numpy(self.rotation)),
            translation=numpy(self.translation),
            illumination=numpy(self.illumination),
            focal_px=numpy(self.focal) * size,
            model=model,
        )

    def to(self, *args: Any, **kwargs: Any) -> CropCode:
        """Every part moved as by `torch.Tensor.to`."""
        return CropCode(*(part.to(*args, **kwargs) for part in self))

    def in_camera(self, points: Tensor) -> Tensor:
        """(N, V, 3) mm in the model frame to (N, V, 3) mm in the camera frame."""
        turned = points @ self.rotation.transpose(1, 2)
        return turned * turned.new_tensor(_FLIP) + self.translation[:, None]

    def in_crop(self, points: Tensor) -> Tensor:
        """(N, V, 3) mm in the model frame to (N, V, 2) in the crop, from its centre, in half sides."""
        camera = self.in_camera(points)
        # a network that knows nothing yet may put points behind the camera
        depth = camera[..., 2].clamp_min(0.1 * MEAN_DISTANCE_MM)
        return 2 * self.focal[:, None, None] * camera[..., :2] / depth[..., None]


def landmarks_in_crop(landmarks_px: Any, size: int) -> Any:
    """(..., 2) pixels of a crop of side `size` to half sides from its centre, as the network reads them."""
    return landmarks_px / size * 2 - 1


def rotation_from_6d(numbers: Tensor) -> Tensor:
    """Six numbers to a rotation, continuous and onto: the first two columns by Gram-Schmidt.

    Source: Zhou et al., "On the continuity of rotation representations in neural networks",
    CVPR 2019, equation 15.

    Args:
        numbers: (N, 6), the first column and the second.

    Returns:
        (N, 3, 3).
    """
    first = torch.nn.functional.normalize(numbers[:, :3], dim=1)
    second = numbers[:, 3:] - (first * numbers[:, 3:]).sum(1, keepdim=True) * first
    second = torch.nn.functional.normalize(second, dim=1)
    x, y = first.unbind(1), second.unbind(1)
    third = torch.stack([x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]], 1)
    return torch.stack([first, second, third], dim=2)
