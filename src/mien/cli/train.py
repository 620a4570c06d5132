"""`mien train`, `mien bootstrap`, `mien export-encoder`: from random weights to the file that runs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from mien.cli.photographs import crops_of, portraits_of
from mien.cli.status import Status
from mien.cli.terminal import show
from mien.errors import BadTraining, MissingLibrary

if TYPE_CHECKING:
    from mien.training.config import TrainingConfig

_MOST_ROUNDS = 20


@dataclass(frozen=True)
class Train:
    """Train an encoder on random pictures, made on the fly.

    Examples:
      mien train run                                       the preset `small`, a million pictures
      mien train run --photos portraits/                   also says how it does on photographs, as it goes
      mien train big --backbone resnet50 --precision bf16  any timm backbone
      mien train more --start encoder.onnx                 from the weights of an earlier run
      mien train more --start run --detected 0.6           the detector looks at most of the pictures
      mien train more --start encoder.onnx --edited portraits/
                                                           also on photographs whose faces do something else
      mien train run --corpus faces/                       on the pictures that `mien synthesize` made
      mien train thesis --preset thesis --backbone xception  as the thesis did, see docs/thesis.md
      accelerate launch -m mien train run                  on many GPUs or machines
      tensorboard --logdir run                             curves

    Where there is a GPU, the pictures are made on it too. The folder holds config.json, checkpoint.pt,
    weights.safetensors and TensorBoard's events. After an interruption the same command goes on, and ends
    with the weights it would have had without. Then `mien bootstrap` fits it to photographs and
    `mien export-encoder` makes the file that mien runs.

    A run whose loss is no number any more, or has climbed to three times its lowest and stays there, ends,
    and its last checkpoint from before is kept: begin from it in another folder (--start) with a lower
    --learning-rate.

    Needs the extra: pip install 'mien[train]'. Exit status: 0 done; 2 wrong usage; 4 settings or folder
    cannot be used, the loss went astray, or memory or disk is full.
    """

    folder: Positional[Annotated[Path, arg(metavar="FOLDER")]]
    """Of the run: new, or of the same settings."""
    preset: Literal["mien", "thesis"] = "mien"
    """Whose pictures, network, loss and optimiser."""
    model: Annotated[str | None, arg(metavar="NAME")] = None
    """Face model; anny if not given, the thesis's bfm2017."""
    backbone: Annotated[str | None, arg(metavar="NAME")] = None
    """small, resnet50, xception, inception_v3, or any timm name; small if not given, the thesis's
    resnet50."""
    size: Annotated[int | None, arg(metavar="PX")] = None
    """Side of the crops in pixels; 112 if not given, the thesis's 224; of a corpus its own."""
    pictures: Annotated[int, arg(metavar="N")] = 1_000_000
    """Pictures seen in all."""
    corpus: Annotated[Path | None, arg(metavar="DIR")] = None
    """Read the pictures from a folder of `mien synthesize`, round and round; its last ones are held out."""
    detected: Annotated[float, arg(metavar="SHARE")] = 0.0
    """Share of the pictures, 0 to 1, whose landmarks the detector itself finds in them; those of the others
    are simulated, which is quicker. Pictures are then made by processors."""
    edited: Annotated[Path | None, arg(metavar="DIR")] = None
    """Photographs, of which half of the pictures are made: random expressions are put into them, and of
    these alone is learned. A fifth of them, chosen by name, is left for measuring. For a face model with
    ARKit's expressions."""
    start: Annotated[Path | None, arg(metavar="RUN")] = None
    """Run or exported encoder with whose weights to begin; random weights if not given."""
    batch_size: Annotated[int, arg(metavar="N")] = 64
    """Pictures of a step, in each process; a multiple of 64."""
    learning_rate: Annotated[float | None, arg(metavar="RATE")] = None
    """The highest, 0.002 if not given; it rises over the first fiftieth, then falls as a cosine. The thesis's
    Adadelta has a constant factor, 1."""
    learn_features: bool = False
    """Let MediaPipe's features, by which the network reads the expression besides, learn too, at a tenth of
    the learning rate; for GPUs."""
    landmarks: bool = True
    """Read the picture only, not the detector's landmarks too."""
    seed: int = 0
    """Of weights and pictures."""
    precision: Literal["no", "bf16"] = "no"
    """bf16 for mixed precision."""
    workers: Annotated[int, arg(metavar="N")] = 1
    """Processes that make pictures, for each that trains."""
    threads: Annotated[int, arg(metavar="N")] = 1
    """Of torch, in each process that trains."""
    photos: Annotated[Path | None, arg(metavar="DIR")] = None
    """Photographs to judge the network on, at each validation; nothing is learned from them."""

    def run(self) -> int:
        """Trains, or goes on."""
        need_training()
        from mien.training.train import train

        config = self._config()
        on_photos = None
        if self.photos is not None:
            from mien.morphable import load_model
            from mien.training.bootstrap import judge

            crops = crops_of([str(self.photos)], config.size, config.recipe.preset)
            model = load_model(config.model)
            on_photos = lambda network: judge(network, model, crops)  # noqa: E731
        portraits = self.edited and partial(portraits_of, self.edited, config.model, config.size)
        result = train(config, on_photos=on_photos, portraits=portraits)
        if not result.finished:
            return _interrupted(f"{result.pictures:,} of {self.pictures:,} pictures are done")
        if result.validation:  # of several processes one judges
            figures = ", ".join(f"{name} {value:.4g}" for name, value in result.validation.items())
            show(f"{result.pictures:,} pictures, {self.folder}/weights.safetensors; validation: {figures}")
        return Status.DONE

    def _config(self) -> TrainingConfig:
        import torch

        from mien.synthesis import Recipe
        from mien.synthesis.corpus import open_corpus
        from mien.thesis.preset import training_config
        from mien.training.config import TrainingConfig

        if self.detected and (self.corpus or self.preset == "thesis"):
            raise BadTraining("--detected is for pictures of mien's own, made on the fly; leave it out")
        if self.edited and (self.corpus or self.preset == "thesis"):
            raise BadTraining("--edited joins pictures of mien's own, made on the fly; leave it out")
        recipe = open_corpus(self.corpus).settings.recipe if self.corpus else None
        chosen = {
            "size": recipe.size if recipe else self.size,
            "model": self.model,
            "backbone": self.backbone,
            "learning_rate": self.learning_rate,
        }
        settings = {name: value for name, value in chosen.items() if value is not None} | {
            "corpus": self.corpus,
            "edited": self.edited,
            "initial": self.start,
            "learn_features": self.learn_features,
            "pictures": self.pictures,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "precision": self.precision,
            "workers": self.workers,
            "threads": self.threads,
        }
        if self.preset == "thesis":
            return training_config(self.folder, **settings)
        size = settings.pop("size", Recipe.size)
        return TrainingConfig(
            folder=self.folder,
            recipe=recipe or Recipe(size=size, detected=self.detected),
            landmarks=self.landmarks,
            on_device=torch.cuda.is_available() and not (self.corpus or self.detected or self.edited),
            **settings,
        )


@dataclass(frozen=True)
class Bootstrap:
    """Fit a trained encoder to photographs, without labels.

    Examples:
      mien bootstrap portraits/ -o run-real                     three rounds, from the encoder that mien runs
      mien bootstrap 'portraits/**/*.jpg' --start run -o run-real --rounds 1

    In each round the network reads the photographs, random codes are drawn around what it read, and it trains
    on pictures of these; a run of the preset thesis goes on as the thesis did (docs/thesis.md). A fifth of
    the photographs, chosen by name, is only measured on: the table of what each round gains there is printed
    and written to bootstrap.json. The same command goes on after an interruption.

    Needs the extra: pip install 'mien[train]'. Exit status: 0 done; 2 wrong usage; 4 too few photographs have
    a face, or settings or folder cannot be used.
    """

    inputs: Positional[
        Annotated[tuple[str, ...], arg(metavar="PHOTOS...", help_behavior_hint="(at least one)")]
    ]
    """Photographs, folders or globs."""
    out: Annotated[Path, arg(aliases=("-o",), metavar="FOLDER")]
    """For the rounds: round1, round2, ... and the table."""
    start: Annotated[Path | None, arg(metavar="RUN")] = None
    """Run or exported encoder to begin with; the packaged encoder if not given."""
    rounds: Annotated[int, arg(metavar="N")] = 3
    """How many."""
    pictures: Annotated[int, arg(metavar="N")] = 200_000
    """Pictures of each round."""
    learning_rate: Annotated[float | None, arg(metavar="RATE")] = None
    """The highest of each round; 0.0005 if not given, the thesis's 1."""
    deviation: Annotated[float | None, arg(metavar="D")] = None
    """How far from what was read codes are drawn at least, in deviations of the model; 0.4 if not given, the
    thesis's 0.2."""

    def run(self) -> int:
        """Runs the rounds that are not done."""
        if not self.inputs:
            print("mien bootstrap: give photographs (mien bootstrap --help)", file=sys.stderr)
            return Status.USAGE
        if not 1 <= self.rounds <= _MOST_ROUNDS:
            print(f"mien bootstrap: --rounds is {self.rounds}, must be 1 to {_MOST_ROUNDS}", file=sys.stderr)
            return Status.USAGE
        need_training()
        from mien import assets
        from mien.encoder import PACKAGED
        from mien.evaluation.report import Report
        from mien.synthesis import Recipe
        from mien.thesis.preset import LEARNING_RATE
        from mien.training.bootstrap import bootstrap
        from mien.training.config import TrainingConfig, preset_of, read_config
        from mien.training.losses import LossWeights

        start = self.start or assets.path(PACKAGED)
        before = read_config(start)
        preset = preset_of(before)
        learning_rate = LEARNING_RATE if preset == "thesis" else 5e-4
        config = TrainingConfig(
            folder=self.out,
            recipe=Recipe(**before["recipe"]),
            backbone=before["backbone"],
            landmarks=before["landmarks"],
            model=before["model"],
            pictures=self.pictures,
            batch_size=before["batch_size"],
            optimiser=before.get("optimiser", "adamw"),
            learning_rate=learning_rate if self.learning_rate is None else self.learning_rate,
            weight_decay=before["weight_decay"],
            precision=before["precision"],
            loss=LossWeights(**before["loss"]),
        )
        crops = crops_of(self.inputs, config.size, preset)
        stages = bootstrap(config, start, crops, rounds=self.rounds, deviation=self.deviation)
        held = int(crops.held_out.sum())
        report = Report(
            f"the network alone on {held} photographs held out of {len(crops.names)}",
            ["", "NME 478", "RMSE"],
            [
                [f"after round {n}" if n else "before", f"{s['nme478']:.2%}", f"{s['rmse']:.4f}"]
                for n, s in enumerate(stages)
            ],
            {"stages": stages, "held_out": held, "photographs": len(crops.names)},
        )
        from rich.console import Console

        report.show(Console(), self.out / "bootstrap")
        return Status.DONE


@dataclass(frozen=True)
class ExportEncoder:
    """Write a trained encoder as the ONNX file that mien runs without torch.

    Examples:
      mien export-encoder run -o encoder.onnx
      mien export-encoder run-real/round3 -o encoder.onnx --photos portraits/

    ONNX Runtime must agree with torch on real crops (--photos) or on random pictures, or nothing is written.
    It runs by `mien reconstruct --encoder encoder.onnx`; in Python by
    mien.reconstruct(photo, encoder=mien.encoder.Encoder(Path("encoder.onnx"))).

    Needs the extra: pip install 'mien[train]'. Exit status: 0 done; 4 no run there, or the two disagree.
    """

    run_folder: Positional[Annotated[Path, arg(metavar="RUN")]]
    """Folder of the training run."""
    out: Annotated[Path, arg(aliases=("-o",), metavar="FILE")] = Path("encoder.onnx")
    """The file."""
    photos: Annotated[Path | None, arg(metavar="DIR")] = None
    """Photographs on whose crops it is checked; random pictures if not given."""

    def run(self) -> int:
        """Exports and checks."""
        need_training()
        from mien.training.config import preset_of, read_config
        from mien.training.export import export_encoder

        config = read_config(self.run_folder)
        if self.photos is not None:
            crops = crops_of([str(self.photos)], config["recipe"]["size"], preset_of(config))
            images, landmarks_px = crops.images, crops.landmarks_px
        else:
            from mien.morphable import load_model
            from mien.synthesis import Recipe, generate

            pictures = generate(load_model(config["model"]), Recipe(**config["recipe"]), 1, 0)
            images, landmarks_px = pictures.images, pictures.landmarks_px
        report = export_encoder(self.run_folder, self.out, images, landmarks_px)
        worst = max(report.worst.values())
        show(
            f"{self.out}: {report.size_bytes / 1e6:.1f} MB; "
            f"on {len(images)} crops at most {worst:.2%} from torch, of the output's root mean square"
        )
        return Status.DONE


def need_training() -> None:
    missing = [
        name
        for name in ("torch", "timm", "accelerate", "tensorboard", "onnx", "tflite")
        if not find_spec(name)
    ]
    if missing:
        raise MissingLibrary(f"{', '.join(missing)}: needed for training; pip install 'mien[train]'")


def _interrupted(what: str) -> int:
    print(f"mien: interrupted, {what}; the same command goes on from there", file=sys.stderr)
    return Status.INTERRUPTED
