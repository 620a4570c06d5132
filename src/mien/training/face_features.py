"""What MediaPipe's landmark network knows of a face before it says where the landmarks are."""

from __future__ import annotations

import zipfile

import numpy as np
import torch
from torch import Tensor, nn

from mien import align, assets

INPUT = 256
"""Side of the pictures that the network sees, pixels."""

SIDE = 1.5
"""Side of its square in units of the landmarks' longer extent (MediaPipe's `face_landmarker` graph)."""

FEATURES = 512
"""Last features: 128 channels at 2 × 2 places; the 478 landmarks are linear in them."""

_AT_ONCE = 16  # pictures whose values a processor keeps near
_WIDTHS = (16, 32, 64, 128, 128, 128, 128)
_MODEL = "face_landmarks_detector.tflite"


class FaceFeatures(nn.Module):
    """The body of MediaPipe's landmark network, from the packaged `face_landmarker.task`; kept as it is
    unless its `requires_grad_` is called.

    It has seen real faces in great number, as a network for random pictures has not. Source of the
    architecture: the file itself; the network is that of Kartynnik et al., "Real-time facial surface geometry
    from monocular video on mobile GPUs", 2019, as MediaPipe went on with it.
    """

    def __init__(self) -> None:
        """Raises: mien.errors.BadAsset, if the packaged file is missing or altered."""
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, _WIDTHS[0], 3, stride=2), _PReLU(_WIDTHS[0])]
        before = _WIDTHS[0]
        for level, width in enumerate(_WIDTHS):
            if level:
                layers.append(_Bottleneck(before, width, stride=2))
            layers += [_Bottleneck(width, width) for _ in range(4)]
            before = width
        self.layers = nn.Sequential(*layers)
        steps = [part for part in self.modules() if isinstance(part, (nn.Conv2d, _PReLU))]
        # the weights that are left over are those of landmarks and presence
        for part, arrays in zip(steps, _packaged_weights(), strict=False):
            for parameter, array in zip(part.parameters(), arrays, strict=True):
                parameter.data = torch.from_numpy(array).reshape(parameter.shape)
        self.requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, S, S) float32 sRGB in [0, 1], crops of `mien.align`, to (N, `FEATURES`)."""
        face = round(INPUT * align.SIDE / SIDE)
        before = (INPUT - face) // 2
        after = INPUT - face - before
        seen = nn.functional.interpolate(image, (face, face), mode="bilinear", align_corners=False)
        seen = nn.functional.pad(seen, (before, after, before, after), mode="replicate")
        # TensorFlow's "same" fills an even side up at its end
        seen = nn.functional.pad(seen, (0, 1, 0, 1))
        if seen.device.type != "cpu" or torch.onnx.is_in_onnx_export():
            return self.layers(seen).flatten(1)
        return torch.cat([self.layers(some) for some in seen.split(_AT_ONCE)]).flatten(1)


class _PReLU(nn.PReLU):
    """As torch's, but exported as what ONNX Runtime does several times as fast."""

    def forward(self, values: Tensor) -> Tensor:
        if not torch.onnx.is_in_onnx_export():
            return super().forward(values)
        slope = self.weight[:, None, None]
        return slope * values + (1 - slope) * torch.relu(values)


class _Bottleneck(nn.Module):
    """Fewer channels, a filter for each, more channels again; added to what came in."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        inner = outputs // 2
        self.inner = nn.Sequential(
            nn.Conv2d(inputs, inner, stride, stride),
            _PReLU(inner),
            nn.Conv2d(inner, inner, 3, padding=1, groups=inner),
            nn.Conv2d(inner, outputs, 1),
        )
        self.stride, self.more = stride, outputs - inputs
        self.active = _PReLU(outputs)

    def forward(self, values: Tensor) -> Tensor:
        passed = nn.functional.max_pool2d(values, 2) if self.stride == 2 else values
        return self.active(nn.functional.pad(passed, (0, 0, 0, 0, 0, self.more)) + self.inner(values))


def _packaged_weights() -> list[list[np.ndarray]]:
    """Of each convolution its weights (out, in, h, w) and biases, of each PReLU its slopes, in order."""
    import tflite

    with zipfile.ZipFile(assets.path("face_landmarker.task")) as archive:
        model = tflite.Model.GetRootAs(archive.read(_MODEL), 0)
    graph = model.Subgraphs(0)
    operators = [graph.Operators(i) for i in range(graph.OperatorsLength())]
    kinds = [model.OperatorCodes(one.OpcodeIndex()).DeprecatedBuiltinCode() for one in operators]
    kind = tflite.BuiltinOperator
    stored = {
        one.Outputs(0): one.Inputs(0)
        for one, what in zip(operators, kinds, strict=True)
        if what == kind.DEQUANTIZE
    }

    def array(number: int) -> np.ndarray:
        tensor = graph.Tensors(stored[number])
        values = model.Buffers(tensor.Buffer()).DataAsNumpy().view(np.float16).astype(np.float32)
        return values.reshape(tensor.ShapeAsNumpy())

    weights = []
    for one, what in zip(operators, kinds, strict=True):
        if what == kind.CONV_2D:
            weights.append([array(one.Inputs(1)).transpose(0, 3, 1, 2).copy(), array(one.Inputs(2))])
        elif what == kind.DEPTHWISE_CONV_2D:
            weights.append([array(one.Inputs(1)).transpose(3, 0, 1, 2).copy(), array(one.Inputs(2))])
        elif what == kind.PRELU:
            weights.append([array(one.Inputs(1)).ravel()])
    return weights
