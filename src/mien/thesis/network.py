"""The thesis's network: a backbone whose features become the 231 numbers by one linear layer."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from mien.camera import rotation_matrix
from mien.errors import BadTraining
from mien.lighting import uniform_light
from mien.morphable import MorphableModel
from mien.thesis.crop import DISTANCE_MM, frame
from mien.thesis.vectors import LAYOUT, SIZE, UNIT_RADIANS
from mien.training.backbone import create_backbone
from mien.training.crop_code import MEAN_DISTANCE_MM, MEAN_SCALE, SPAN_MM, CropCode
from mien.training.network import PIXEL_MEAN, PIXEL_STD


class ThesisNetwork(nn.Module):
    """Reads a hull crop. Where the face stands follows from what is read, as in `mien.thesis.vectors.placed`.

    Attributes:
        landmarks: None, as of every network that reads no landmarks.
    """

    landmarks = None

    def __init__(self, model: MorphableModel, backbone: str):
        """A network with random weights that says the mean face, looking ahead.

        Args:
            model: of the thesis's layout, NumPy.
            backbone: any timm name.

        Raises:
            BadTraining: timm has no such backbone, or the model has other counts or other colours.
        """
        super().__init__()
        layout = model.layout
        if layout != LAYOUT or not model.albedo_is_srgb:
            raise BadTraining(
                f"model {model.id} has not the thesis's components; add a Basel Face Model 2017 or 2019 and "
                "name it as in bfm2017:64,64,100"
            )
        self.sizes = [layout.identity, layout.expression, layout.albedo, 3]
        self.backbone = create_backbone(backbone)
        # timm says the width of the pooled features by either name
        features = getattr(self.backbone, "head_hidden_size", None) or self.backbone.num_features
        self.numbers = nn.Linear(features, SIZE)
        nn.init.normal_(self.numbers.weight, std=0.01)
        nn.init.zeros_(self.numbers.bias)
        mark = model.landmarks68
        buffers = {
            "landmark_mean": mark(model.identity_mean),
            "landmark_identity": mark(model.identity_components).reshape(layout.identity, -1),
            "landmark_expression": mark(model.expression_components).reshape(layout.expression, -1),
            "light": uniform_light(),
        }
        for name, value in buffers.items():
            self.register_buffer(name, torch.from_numpy(np.array(value, np.float32)))
        self.register_buffer("pixel_mean", torch.tensor(PIXEL_MEAN)[:, None, None])
        self.register_buffer("pixel_std", torch.tensor(PIXEL_STD)[:, None, None])

    def forward(self, image: Tensor, landmarks: Tensor | None = None) -> CropCode:
        """The codes of a batch.

        Args:
            image: (N, 3, S, S) float32 sRGB in [0, 1].
            landmarks: not read.
        """
        numbers = self.numbers(self.backbone((image - self.pixel_mean) / self.pixel_std)).float()
        identity, expression, albedo, turn = numbers.split(self.sizes, 1)
        rotation = rotation_matrix(UNIT_RADIANS * turn)
        moved = identity @ self.landmark_identity + expression @ self.landmark_expression
        points = self.landmark_mean + moved.reshape(-1, *self.landmark_mean.shape)
        translation, focal = frame(points, rotation)
        scale = SPAN_MM / MEAN_SCALE / DISTANCE_MM * focal
        return CropCode(
            identity=identity,
            expression=expression,
            albedo=albedo,
            rotation=rotation,
            position=2 / DISTANCE_MM * focal[:, None] * translation[:, :2],
            log_scale=torch.log(scale),
            log_distance=torch.log(translation[:, 2] / MEAN_DISTANCE_MM),
            illumination=self.light.expand(numbers.shape[0], 9, 3),
        )
