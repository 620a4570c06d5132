"""A training run's averaged weights as one ONNX file, checked against torch before it is kept."""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mien.errors import BadTraining
from mien.files import write_whole
from mien.morphable import MorphableModel, load_model
from mien.training.checkpoint import HALF, WEIGHTS, load_weights
from mien.training.config import PRESETS, preset_of, read_config
from mien.training.crop_code import landmarks_in_crop
from mien.training.network import EncoderNetwork, create_network

OUTPUTS = ("identity", "expression", "albedo", "rotation", "translation", "illumination", "focal")
"""The outputs: (N, K), (N, E), (N, A), (N, 3, 3), (N, 3) mm, (N, 9, 3), (N,) in sides of the crop."""

_OPSET = 17
_LARGE = 4096  # numbers of an initialiser from which on it is stored in 16 bits


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how near it is to the network.

    Attributes:
        size_bytes: of the file.
        worst: for each output the largest difference from torch over the output's root mean square (or 0.1).
    """

    size_bytes: int
    worst: dict[str, float]


def load_trained(
    source: Path, load: Callable[[], MorphableModel] | None = None
) -> tuple[EncoderNetwork, dict[str, Any]]:
    """The averaged network of a run, in evaluation mode on the CPU, and the run's settings.

    Args:
        source: folder of the run, of which the last checkpoint counts, finished or not; or the file that
            `export_encoder` made of it.
        load: makes the morphable model; that of the settings if not given.

    Raises:
        BadTraining: there is no run, or no weights yet.
    """
    config = read_config(source)
    model = (load or partial(load_model, config["model"]))()
    backbone = PRESETS.get(config["backbone"], config["backbone"])
    network = create_network(model, preset_of(config), backbone, config["landmarks"])
    load_weights(network, Path(source))
    return network.eval(), config


def export_encoder(
    folder: Path,
    path: Path,
    crops: np.ndarray,
    landmarks_px: np.ndarray,
    *,
    load: Callable[[], MorphableModel] | None = None,
    half: bool = True,
    tolerance: float = 0.02,
) -> ExportReport:
    """Writes the encoder of a run as ONNX: `image` (N, S, S, 3) uint8 sRGB and, if the network reads them,
    `landmarks` (N, 478, 2) float32 in half sides from the crop's centre, to `OUTPUTS`, all float32.

    Args:
        folder: of the run.
        path: of the file.
        crops: (N, S, S, 3) uint8, on which ONNX Runtime must agree with torch.
        landmarks_px: (N, 478, 2) of the crops, pixels.
        load: makes the morphable model; that of the run's settings if not given.
        half: store large weights in 16 bits, to be widened when the file is loaded.
        tolerance: largest difference allowed, measured as `ExportReport.worst` is.

    Raises:
        BadTraining: no run there, crops of another size, or ONNX Runtime disagrees; then nothing is written.
        CannotWrite: `path` cannot be written.
    """
    model = (load or partial(load_model, read_config(folder)["model"]))()
    network, config = load_trained(folder, lambda: model)
    size = config["recipe"]["size"]
    if crops.shape[1:] != (size, size, 3) or crops.dtype != np.uint8 or not len(crops):
        raise BadTraining(
            f"crops to check with are {crops.dtype} {crops.shape}, must be uint8 (N, {size}, {size}, 3)"
        )
    given = {
        "image": crops,
        "landmarks": landmarks_in_crop(np.asarray(landmarks_px), size).astype(np.float32),
    }
    if network.landmarks is None:
        del given["landmarks"]
    layout = model.layout
    facts = {
        "schema": "mien.encoder/1",
        "model": model.id,
        "size": size,
        "identity": layout.identity,
        "expression": layout.expression,
        "albedo": layout.albedo,
        "config": json.dumps(_without_places(config)),
        "weights_sha256": hashlib.sha256((Path(folder) / WEIGHTS).read_bytes()).hexdigest(),
    }
    data = _to_onnx(_AsArrays(network).eval(), given, facts, half)
    worst = _compare(data, _AsArrays(network).eval(), given)
    off = {name: value for name, value in worst.items() if not value <= tolerance}
    if off:
        listing = ", ".join(f"{name} by {value:.2g}" for name, value in off.items())
        raise BadTraining(f"{path}: not written, ONNX Runtime differs from torch ({listing}); try half=False")
    write_whole(path, data)
    return ExportReport(len(data), worst)


def _without_places(config: dict[str, Any]) -> dict[str, Any]:
    """The settings without the machine's folders: of what a run started from and learned from, the names."""
    names = {name: Path(config[name]).name for name in ("initial", "corpus", "edited") if config.get(name)}
    return {name: value for name, value in (config | names).items() if name != "folder"}


class _AsArrays(nn.Module):
    """The network as the file has it: bytes in, `OUTPUTS` out."""

    def __init__(self, network: EncoderNetwork):
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, landmarks: Tensor | None = None) -> tuple[Tensor, ...]:
        code = self.network(image.permute(0, 3, 1, 2).float() / 255, landmarks)
        return tuple(getattr(code, name) for name in OUTPUTS)


def _to_onnx(module: nn.Module, given: dict[str, np.ndarray], facts: dict[str, Any], half: bool) -> bytes:
    import onnx

    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # the tracing exporter needs nothing besides torch, and says it is old
        torch.onnx.export(
            module,
            tuple(torch.from_numpy(value[:2]) for value in given.values()),
            stream,
            input_names=list(given),
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "N"} for name in (*given, *OUTPUTS)},
            opset_version=_OPSET,
            # weights keep their names and norms stay apart, so that training can go on from the file;
            # ONNX Runtime folds them when it loads
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            dynamo=False,
        )
    file = onnx.load_from_string(stream.getvalue())
    if half:
        halve(file.graph)
    onnx.helper.set_model_props(file, {name: str(value) for name, value in facts.items()})
    onnx.checker.check_model(file)
    return file.SerializeToString()


def halve(graph: Any) -> None:
    """Stores large weights in 16 bits, each followed by a cast that ONNX Runtime folds when it loads."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for weight in graph.initializer:
        array = numpy_helper.to_array(weight)
        if array.dtype != np.float32 or array.size < _LARGE or np.abs(array).max() > 6e4:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(array.astype(np.float16), name + HALF))
        casts.append(helper.make_node("Cast", [name + HALF], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _compare(data: bytes, module: nn.Module, given: dict[str, np.ndarray]) -> dict[str, float]:
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    ours = session.run(list(OUTPUTS), given)
    with torch.no_grad():
        theirs = module(*(torch.from_numpy(value) for value in given.values()))
    return {
        name: float(np.abs(a - b.numpy()).max() / max(b.square().mean().sqrt().item(), 0.1))
        for name, a, b in zip(OUTPUTS, ours, theirs, strict=True)
    }
