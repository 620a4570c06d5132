"""The state of a training run on disk: whole or not at all, and never taken for another run's."""

from __future__ import annotations

import io
import pickle
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import nn

from mien.errors import BadTraining
from mien.files import write_whole

CHECKPOINT, WEIGHTS = "checkpoint.pt", "weights.safetensors"
EXPORTED = ".onnx"
"""How the file of an exported encoder ends, which holds its run's settings and weights too."""

HALF = ".half"
"""What the name of a weight kept in 16 bits ends in."""


def save_checkpoint(folder: Path, state: dict[str, Any], average: nn.Module) -> None:
    """Writes the run's state, and beside it the averaged weights alone.

    Raises:
        CannotWrite: no room, no permission.
    """
    stream = io.BytesIO()
    torch.save(state, stream)
    write_whole(folder / CHECKPOINT, stream.getvalue())
    tensors = {name: tensor.contiguous() for name, tensor in average.state_dict().items()}
    write_whole(folder / WEIGHTS, save(tensors))


def load_checkpoint(folder: Path, what: dict[str, Any]) -> dict[str, Any] | None:
    """The state that `save_checkpoint` wrote; None if there is none yet.

    Args:
        folder: of the run.
        what: `TrainingConfig.what` of this run, which must be the checkpoint's.

    Raises:
        BadTraining: the checkpoint is damaged or another run's.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        theirs = state["what"]
    except (OSError, RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise BadTraining(
            f"{path}: damaged checkpoint ({reason}); move it away to start anew, or restore it"
        ) from error
    if theirs != what:
        raise BadTraining(f"{path}: a checkpoint of another run; choose another folder, or its settings")
    return state


def load_weights(network: nn.Module, source: Path) -> None:
    """Puts averaged weights into a network.

    Args:
        network: of the weights' kind.
        source: folder of a run, or an exported encoder.

    Raises:
        BadTraining: there are none, they are damaged, or of another network.
    """
    path = source if source.suffix == EXPORTED else source / WEIGHTS
    try:
        weights = _weights_in(path) if path == source else load_file(path)
        # an exported encoder does not say how many batches its norms have seen, and nobody asks
        counters = {name: value for name, value in network.state_dict().items() if value.dtype == torch.long}
        network.load_state_dict(counters | weights)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise BadTraining(f"{path}: not the weights of this network ({reason}); train it first") from error


def _weights_in(path: Path) -> dict[str, torch.Tensor]:
    """The weights of an exported encoder by their names in the network, float32."""
    import onnx

    graph = onnx.load(path).graph
    arrays = {
        part.name.removesuffix(HALF): onnx.numpy_helper.to_array(part).astype(np.float32)
        for part in graph.initializer
    }
    # equal weights are stored once
    arrays |= {
        node.output[0]: arrays[node.input[0]]
        for node in graph.node
        if node.op_type == "Identity" and node.input[0] in arrays
    }
    prefix = "network."
    return {
        name.removeprefix(prefix): torch.from_numpy(array)
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


class RunningAverage:
    """Exponential average of a network's weights and buffers, quicker to move while it is young.

    Source: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992; the start as
    in TensorFlow's `ExponentialMovingAverage(num_updates)`.
    """

    def __init__(self, network: nn.Module, decay: float):
        self.network = deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Moves the average toward `network` after its step number `step`, from 0."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        theirs = network.state_dict()
        for name, mine in self.network.state_dict().items():
            if mine.is_floating_point():
                mine.lerp_(theirs[name], share)
            else:
                mine.copy_(theirs[name])
