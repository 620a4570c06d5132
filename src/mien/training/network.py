"""The encoder: a crop, and if wanted its landmarks, to the face code in the crop's camera."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from mien.camera import rotation_matrix
from mien.lighting import directional_light, uniform_light
from mien.morphable import MorphableModel
from mien.training.backbone import NORM_EPSILON, create_backbone
from mien.training.crop_code import CropCode, rotation_from_6d
from mien.training.face_features import FEATURES, FaceFeatures
from mien.training.placement import Placement

PIXEL_MEAN, PIXEL_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_HIDDEN = 512
_REST = 0.05  # coefficient of an expression that the network starts from
_DIRECTIONS = 128  # of landmarks that are looked at
_SOFT_PX = 2  # over which colours are averaged
_FILTERS = 8  # looked up at each landmark
_BY_FEATURES = 0.4  # how much the expression branch says of the expression; the heads say the rest
_DETECTOR_ERROR = 6e-4  # of each coordinate, on a mean face of unit size: 1 % of the distance of the eyes


class EncoderNetwork(nn.Module):
    """Backbone, optional branches for landmarks, and one head for every part of the code.

    The expression has a branch of its own besides. Where landmarks are read, they also say where the face
    stands.

    Buffers hold what comes from the morphable model, so that `.to(device)` moves all.
    """

    def __init__(self, model: MorphableModel, backbone: str, landmarks: bool = True):
        """A network with random weights that says the mean face, looking ahead, in an ordinary light.

        Args:
            model: NumPy; its counts and bounds are those of the code.
            backbone: any timm name.
            landmarks: whether MediaPipe's points are a second input.

        Raises:
            BadTraining: timm has no such backbone.
        """
        super().__init__()
        layout = model.layout
        self.backbone = create_backbone(backbone)
        # timm says the width of the pooled features by either name
        features = getattr(self.backbone, "head_hidden_size", None) or self.backbone.num_features
        self.landmarks = LandmarkBranch(model) if landmarks else None
        self.colours = ColourBranch() if landmarks else None
        self.details = DetailBranch() if landmarks else None
        self.placement = Placement(model) if landmarks else None
        self.sizes = [
            layout.identity,
            layout.expression,
            layout.albedo,
            6,
            1,
            27,
            *([] if landmarks else [2, 1]),
        ]
        self.expression = ExpressionBranch(layout.expression)
        self.hidden = nn.Sequential(nn.Linear(features + (512 if landmarks else 0), _HIDDEN), nn.SiLU())
        self.heads = nn.Linear(_HIDDEN, sum(self.sizes))
        low, high = model.expression_bounds
        self.bounded = math.isfinite(low) and math.isfinite(high)
        self.register_buffer("expression_low", torch.tensor(low if self.bounded else 0.0))
        self.register_buffer("expression_range", torch.tensor(high - low if self.bounded else 1.0))
        light = uniform_light(0.55) + directional_light((0.0, 0.4, 1.0), 0.35)
        self.register_buffer("mean_light", torch.from_numpy(light))
        self.register_buffer("pixel_mean", torch.tensor(PIXEL_MEAN)[:, None, None])
        self.register_buffer("pixel_std", torch.tensor(PIXEL_STD)[:, None, None])
        self._start_at_rest()

    def _start_at_rest(self) -> None:
        nn.init.normal_(self.heads.weight, std=0.01)
        start = [torch.zeros(size) for size in self.sizes]
        if self.bounded:
            start[1] += math.log(_REST / (1 - _REST))
        self.expression.layers[-1].bias.data = start[1].clone()
        start[3] += torch.tensor([1.0, 0, 0, 0, 1, 0])
        self.heads.bias.data = torch.cat(start)

    def forward(self, image: Tensor, landmarks: Tensor | None = None) -> CropCode:
        """The codes of a batch.

        Args:
            image: (N, 3, S, S) float32 sRGB in [0, 1].
            landmarks: (N, 478, 2) in half sides of the crop from its centre; not read by a network without
                the branch.
        """
        known = self.expression(image)
        image = (image - self.pixel_mean) / self.pixel_std
        features = self.backbone(image)
        if self.landmarks is not None:
            features = torch.cat([features, self.landmarks(landmarks), self.colours(image, landmarks)], dim=1)
        hidden = self.hidden(features)
        if self.details is not None:
            hidden = hidden + self.details(image, landmarks)
        numbers = self.heads(hidden).float()
        identity, expression, albedo, turn, distance, light, *place = numbers.split(self.sizes, 1)
        # each of the two learns to do without the other
        share = torch.rand_like(known[:, :1]).round() if self.training else _BY_FEATURES
        expression = expression + share * (known - expression)
        if self.bounded:
            expression = torch.sigmoid(expression)
        position, scale = place or (torch.zeros_like(turn[:, :2]), torch.zeros_like(distance))
        code = CropCode(
            identity=identity,
            expression=self.expression_low + self.expression_range * expression,
            albedo=albedo,
            rotation=rotation_from_6d(turn),
            position=0.2 * position,
            log_scale=0.2 * scale[:, 0],
            log_distance=0.3 * distance[:, 0],
            illumination=self.mean_light + 0.2 * light.reshape(-1, 9, 3),
        )
        return code if self.placement is None else self.placement(code, landmarks)


def create_network(model: MorphableModel, preset: str, backbone: str, landmarks: bool) -> nn.Module:
    """The network of a run: `EncoderNetwork`, or that of the recipe's preset.

    Args:
        model: NumPy.
        preset: as in `mien.synthesis.Recipe`.
        backbone: any timm name.
        landmarks: as in `EncoderNetwork`.

    Raises:
        BadTraining: timm has no such backbone, or the model is not one for the preset.
    """
    if preset == "thesis":
        from mien.thesis.network import ThesisNetwork

        return ThesisNetwork(model, backbone)
    return EncoderNetwork(model, backbone, landmarks)


class LandmarkBranch(nn.Module):
    """Landmarks to features: laid over the mean face, whitened, then two layers.

    In pixels, where a face is and how it is turned drown what it does. So the points are first moved, turned
    and scaled onto the mean face (in closed form, as complex numbers), and what is left is divided, direction
    by direction, by its size in random faces of the model plus the detector's error.
    """

    def __init__(self, model: MorphableModel):
        super().__init__()
        mean, directions = _landmark_statistics(model)
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("directions", torch.from_numpy(directions))
        self.layers = nn.Sequential(
            nn.Linear(directions.shape[1] + 5, 512), nn.SiLU(), nn.Linear(512, 256), nn.SiLU()
        )

    def forward(self, landmarks: Tensor) -> Tensor:
        """(N, 478, 2) in half sides to (N, 256) features."""
        centre = landmarks.mean(1)
        x, y = (landmarks - centre[:, None]).unbind(2)
        u, v = self.mean.unbind(1)
        # the complex number that takes the mean face nearest to these points: its size and its turn
        cosine, sine = (x * u + y * v).sum(1, keepdim=True), (y * u - x * v).sum(1, keepdim=True)
        squared = (cosine * cosine + sine * sine).clamp_min(1e-8)
        upright = torch.stack([x * cosine + y * sine, y * cosine - x * sine], 2) / squared[..., None]
        numbers = torch.matmul((upright - self.mean).flatten(1), self.directions)
        place = [centre, 0.5 * torch.log(squared), torch.cat([cosine, sine], 1) / torch.sqrt(squared)]
        return self.layers(torch.cat([numbers, *place], 1))


class ColourBranch(nn.Module):
    """Colours of the skin at the landmarks to features: skin and light, read where they are seen.

    A backbone's pooled features hardly tell which colour was where. Here each place of the face has its own
    input: the face's mean colour, and what each place differs from it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(478 * 3 + 3, 256), nn.SiLU(), nn.Linear(256, 256), nn.SiLU())

    def forward(self, image: Tensor, landmarks: Tensor) -> Tensor:
        """(N, 3, S, S) normalised pictures and (N, 478, 2) landmarks in half sides to (N, 256) features."""
        soft = nn.functional.avg_pool2d(image, _SOFT_PX)
        places = landmarks[:, None]
        seen = nn.functional.grid_sample(soft, places, padding_mode="border", align_corners=False)[:, :, 0]
        mean = seen.mean(2)
        return self.layers(torch.cat([mean, (seen - mean[..., None]).flatten(1)], dim=1))


class DetailBranch(nn.Module):
    """What the picture shows right around each landmark: edges and folds, and where they truly are.

    Detected landmarks follow an expression only in part, and a backbone's pooled features do not know the
    millimetre. A few filters, looked up at the landmarks, show how far brow, lid or lip lies from its point.
    """

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Sequential(
            _convolution(3, 16, stride=2), _convolution(16, 16), _convolution(16, 16),
            nn.Conv2d(16, _FILTERS, 1),
        )  # fmt: skip
        self.layers = nn.Sequential(nn.Linear(478 * _FILTERS, 256), nn.SiLU(), nn.Linear(256, _HIDDEN))
        nn.init.zeros_(self.layers[-1].weight)
        nn.init.zeros_(self.layers[-1].bias)

    def forward(self, image: Tensor, landmarks: Tensor) -> Tensor:
        """(N, 3, S, S) normalised pictures and (N, 478, 2) landmarks in half sides to (N, H), 0 at first."""
        seen = nn.functional.grid_sample(
            self.filters(image), landmarks[:, None], padding_mode="border", align_corners=False
        )
        return self.layers(seen.flatten(1))


class ExpressionBranch(nn.Module):
    """The expression by features that real faces have taught, apart from what random pictures teach.

    On random pictures it reads less than the heads do; on photographs more of what is faint.
    """

    def __init__(self, expression: int):
        """Args: expression: how many coefficients the model has."""
        super().__init__()
        self.features = FaceFeatures()
        self.norm = nn.BatchNorm1d(FEATURES, eps=NORM_EPSILON)
        self.layers = nn.Sequential(nn.Linear(FEATURES, 256), nn.SiLU(), nn.Linear(256, expression))
        nn.init.normal_(self.layers[-1].weight, std=0.01)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, S, S) float32 sRGB in [0, 1] to (N, E), before the bounds are put on."""
        return self.layers(self.norm(self.features(image))).float()


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs, eps=NORM_EPSILON),
        nn.SiLU(),
    )


def _landmark_statistics(model: MorphableModel) -> tuple[np.ndarray, np.ndarray]:
    """Mean (478, 2) of unit size of the model's random faces, and whitening directions (956, D), float32."""
    rng = np.random.default_rng(0)
    count, layout = 2000, model.layout
    fields = (model.identity_mean, model.identity_components, model.expression_components)
    mean, identity, expression = (model.landmarks478(field).reshape(-1, 478 * 3) for field in fields)
    strength = rng.random((count, layout.expression)) * (rng.random((count, layout.expression)) < 0.15)
    heads = mean + rng.normal(size=(count, layout.identity)) @ identity + strength @ expression
    turn = rotation_matrix(rng.normal(size=(count, 3)) * np.radians([15, 25, 0]))
    turned = np.einsum("nij,nlj->nli", turn, heads.reshape(count, 478, 3)) * [1, -1, -1]
    flat = turned[..., :2] / (turned[..., 2:] + 900.0)
    z = flat[..., 0] + 1j * flat[..., 1]
    z -= z.mean(1, keepdims=True)
    centre = mean.reshape(478, 3)[:, 0] - 1j * mean.reshape(478, 3)[:, 1]
    centre -= centre.mean()
    centre /= np.linalg.norm(centre)
    z /= (z * centre.conj()).sum(1, keepdims=True)
    residual = np.stack([z.real - centre.real, z.imag - centre.imag], 2).reshape(count, -1)
    variance, directions = np.linalg.eigh(residual.T @ residual / count)
    variance, directions = variance[: -_DIRECTIONS - 1 : -1], directions[:, : -_DIRECTIONS - 1 : -1]
    directions = directions / np.sqrt(np.maximum(variance, 0) + _DETECTOR_ERROR**2)
    return np.stack([centre.real, centre.imag], 1).astype(np.float32), directions.astype(np.float32)
