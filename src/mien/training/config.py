"""What a training run is: one typed object, saved beside the weights it makes."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from mien.errors import BadTraining, CannotWrite
from mien.files import write_whole
from mien.training.checkpoint import EXPORTED
from mien.training.losses import LossWeights

PRESETS: dict[str, str] = {
    "small": "mobilenetv4_conv_small_050",
    "resnet50": "resnet50",
    "xception": "legacy_xception",
    "inception_v3": "inception_v3",
}
"""Backbone of each preset, timm's names. `legacy_xception` is Chollet's of 2017, ported from Keras."""

_BEFORE = {"optimiser": "adamw", "edited": None, "learn_features": False}
"""What runs had before they could choose: left out where runs are compared, so that they can go on."""

_PLAIN = {"preset": "mien", "detected": 0.0}
"""The same of their recipes."""

_HOW_ONLY = {"folder", "workers", "threads", "checkpoint_minutes", "validation_minutes"}


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides the weights, and how they are made.

    Attributes:
        folder: where checkpoint, weights, config and TensorBoard's events are kept.
        recipe: of the pictures, `mien.synthesis.Recipe`; its `size` is the side of the crops in pixels.
        corpus: folder of the pictures on disk, one of `mien synthesize`; they are made on the fly if None.
        edited: folder of photographs, some of whose faces, made to do something else, are among the pictures
            (`mien.synthesis.edited`); random pictures alone if None.
        backbone: a preset's name, or any of timm's.
        landmarks: whether the network reads landmarks besides the picture.
        learn_features: whether the expression branch's features, MediaPipe's, learn with it, at a tenth of
            the learning rate: for GPUs, as it takes several times the arithmetic.
        model: name of the packaged morphable model.
        initial: folder of the run, or exported encoder, whose averaged weights this one starts from; random
            weights if None.
        pictures: how many are seen in all, over all processes.
        batch_size: pictures of one step of one process; a multiple of the generator's block.
        optimiser: "adamw", or "adadelta" (Zeiler, "ADADELTA: an adaptive learning rate method", 2012; with a
            decay of 0.95, as Keras has it).
        learning_rate: highest one of AdamW; Adadelta's constant factor, 1 in its paper.
        warmup: share of the pictures over which AdamW's learning rate rises; then it falls as a cosine.
        weight_decay: of weights, not of biases and norms.
        average: decay of the running average of the weights, which is what is exported.
        clip: largest norm of the gradient.
        loss: weights of the loss's terms.
        seed: of weights and pictures.
        precision: "bf16" for mixed precision.
        on_device: whether the pictures are made on the training device, a batch at a time, by
            `mien.synthesis.on_device`: for GPUs. Its pictures are others than the processor's.
        validation_blocks: how many held-out blocks of pictures are judged.
        workers: processes that make pictures, for each training process; 0 makes them in the process itself.
        threads: of torch, for each process.
        checkpoint_minutes, validation_minutes: time between two of them.
    """

    folder: Path
    recipe: Any
    corpus: Path | None = None
    edited: Path | None = None
    backbone: str = "small"
    landmarks: bool = True
    learn_features: bool = False
    model: str = "anny"
    initial: Path | None = None
    pictures: int = 1_000_000
    batch_size: int = 64
    optimiser: Literal["adamw", "adadelta"] = "adamw"
    learning_rate: float = 2e-3
    warmup: float = 0.02
    weight_decay: float = 0.02
    average: float = 0.999
    clip: float = 10.0
    loss: LossWeights = field(default_factory=LossWeights)
    seed: int = 0
    precision: Literal["no", "bf16"] = "no"
    on_device: bool = False
    validation_blocks: int = 8
    workers: int = 1
    threads: int = 1
    checkpoint_minutes: float = 5.0
    validation_minutes: float = 15.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))
        for name in ("pictures", "batch_size", "validation_blocks", "threads"):
            if getattr(self, name) < 1:
                raise BadTraining(f"{name} is {getattr(self, name)}; give at least 1")
        if not 32 <= self.size <= 1024:
            raise BadTraining(f"the recipe's size is {self.size} px; give 32 to 1024")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise BadTraining(f"learning_rate is {self.learning_rate}; give a positive number")
        if self.optimiser not in ("adamw", "adadelta"):
            raise BadTraining(f"optimiser is {self.optimiser!r}; give 'adamw' or 'adadelta'")
        if self.recipe.preset != "mien" and self.on_device:
            raise BadTraining(f"pictures of the preset {self.recipe.preset} are made by processors only")
        if not 0 <= self.recipe.detected <= 1:
            raise BadTraining(f"the recipe's share detected is {self.recipe.detected}; give 0 to 1")
        if self.recipe.detected and (self.recipe.preset != "mien" or self.on_device):
            raise BadTraining("the detector looks at pictures of the preset mien, made by processors, only")
        if self.precision not in ("no", "bf16"):
            raise BadTraining(f"precision is {self.precision!r}; give 'no' or 'bf16'")
        if self.edited is not None and (self.recipe.preset != "mien" or self.on_device or self.corpus):
            raise BadTraining("edited portraits join pictures of the preset mien, made by processors, only")
        if self.learn_features and self.recipe.preset != "mien":
            raise BadTraining(f"the network of the preset {self.recipe.preset} lacks MediaPipe's features")
        if self.on_device and self.corpus is not None:
            raise BadTraining(f"pictures are made on the device or read from {self.corpus}, not both")

    @property
    def size(self) -> int:
        """Side of the crops in pixels."""
        return self.recipe.size

    @property
    def timm_name(self) -> str:
        """The backbone as timm calls it."""
        return PRESETS.get(self.backbone, self.backbone)

    @property
    def what(self) -> dict[str, Any]:
        """The part that decides the weights, as JSON has it: two runs of the same `what` are the same run."""
        return _what(self.as_json())

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values.update(folder=str(self.folder), recipe=asdict(self.recipe), loss=asdict(self.loss))
        for name in ("corpus", "edited", "initial"):
            values[name] = None if values[name] is None else str(values[name])
        return json.loads(json.dumps(values))

    def claim_folder(self) -> None:
        """Writes `config.json` to the folder, or makes sure that the one there is of the same run.

        Raises:
            BadTraining: the folder holds another run.
            CannotWrite: it cannot be made or written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotWrite(
                f"{self.folder}: cannot be made ({error.strerror}); choose another folder"
            ) from error
        path = self.folder / "config.json"
        if path.exists():
            other, ours = _what(read_config(self.folder)), self.what
            differing = [name for name in {**ours, **other} if other.get(name) != ours.get(name)]
            if differing:
                listing = ", ".join(
                    f"{name} {other.get(name)!r}, not {ours.get(name)!r}" for name in differing
                )
                raise BadTraining(f"{path}: another run ({listing}); choose another folder, or its settings")
        write_whole(path, json.dumps(self.as_json(), indent=2).encode())


def preset_of(settings: dict[str, Any]) -> str:
    """Preset of the recipe of a run, from its settings as `read_config` gives them."""
    return settings["recipe"].get("preset", "mien")


def _what(settings: dict[str, Any]) -> dict[str, Any]:
    kept = {
        name: value
        for name, value in settings.items()
        if name not in _HOW_ONLY and (name, value) not in _BEFORE.items()
    }
    recipe = settings.get("recipe", {}).items()
    return kept | {"recipe": {name: value for name, value in recipe if (name, value) not in _PLAIN.items()}}


def read_config(source: Path) -> dict[str, Any]:
    """The settings of the run in a folder or of an exported encoder, as `TrainingConfig.as_json` gives them.

    Raises:
        BadTraining: there is no run, or the file is damaged.
    """
    path = Path(source)
    try:
        if path.suffix == EXPORTED:
            return _settings_in(path)
        path = path / "config.json"
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadTraining(
            f"{path}: no training run's settings ({error}); name the folder of a run, or an exported encoder"
        ) from error


def _settings_in(path: Path) -> dict[str, Any]:
    """The settings that an exported encoder carries."""
    import onnx

    try:
        facts = {fact.key: fact.value for fact in onnx.load(path).metadata_props}
        return json.loads(facts["config"])
    except OSError:
        raise
    except Exception as error:  # protobuf's and ONNX's own have no common class
        raise ValueError(f"no encoder of mien's: {error}") from error
