"""Encoders side by side: what each reads of drawn pictures whose codes are known, and of photographs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from mien.encoder import Encoder
from mien.evaluation.report import Report
from mien.facecode import FaceCode
from mien.morphable import MorphableModel, load_model
from mien.synthesis import BLOCK, Pictures, Recipe, generate
from mien.training.bootstrap import PhotoCrops, judge, read_crops
from mien.training.checkpoint import EXPORTED
from mien.training.crop_code import CropCode
from mien.training.export import export_encoder, load_trained
from mien.training.losses import Losses, LossWeights, region_weights
from mien.training.network import EncoderNetwork

HELD_OUT_SEED = 0x7E57_FACE
"""Seed of the pictures that encoders are judged on; trainings are given small ones."""

_TIMED = 60

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class EncoderScore:
    """What one encoder does.

    Attributes:
        parameters: numbers that were learned.
        size: side of its crops in pixels.
        parameter_loss: `mien.training.losses` "parameters" on the drawn pictures.
        vertex_mm: mean distance of vertices in the head's frame there, identity and expression together, each
            region of the face counting alike (`region_weights`).
        identity_mm, expression_mm: the same with one of both alone.
        ms: median milliseconds of processor time for one crop, ONNX Runtime on one core.
        nme478, rmse: on photographs, as `mien.training.bootstrap.judge`; NaN without. The thesis's crops are
            black where its model has a forehead, so its networks' rmse is NaN too.
    """

    parameters: int
    size: int
    parameter_loss: float
    vertex_mm: float
    identity_mm: float
    expression_mm: float
    ms: float
    nme478: float
    rmse: float


@dataclass(frozen=True, eq=False)
class LoadedEncoder:
    """An encoder to be judged.

    Attributes:
        source: folder of a run of `mien train`, or a file of `mien export-encoder`.
        network: its averaged weights.
        model: of its codes.
        recipe: of the pictures that it learned from.
    """

    source: Path
    network: EncoderNetwork
    model: MorphableModel
    recipe: Recipe

    @property
    def crop_kind(self) -> tuple[int, str]:
        """Of photographs' crops that it reads: side in pixels, and preset as in `mien.synthesis.Recipe`."""
        return self.recipe.size, self.recipe.preset

    @classmethod
    def of(cls, source: Path) -> LoadedEncoder:
        """Loads it.

        Raises:
            BadTraining: there is no run, no weights, or no encoder of mien's.
        """
        network, config = load_trained(source)
        return cls(source, network, load_model(config["model"]), Recipe(**config["recipe"]))

    def judge(self, pictures: int, photos: PhotoCrops | None) -> EncoderScore:
        """All figures.

        Args:
            pictures: how many are drawn, in blocks of `BLOCK`.
            photos: crops of this encoder's `crop_kind`; without them its figures on photographs are NaN.

        Raises:
            BadTraining: a run that cannot be exported, for the time.
        """
        drawn = draw(self.model, self.recipe, pictures)
        given = PhotoCrops(("",) * len(drawn.images), drawn.images, drawn.landmarks_px)
        read = read_crops(self.network, given, self.model.id)
        on_photos = {"nme478": np.nan, "rmse": np.nan}
        if photos:
            on_photos = judge(self.network, self.model, photos)
        if self.recipe.preset == "thesis":
            on_photos["rmse"] = np.nan
        return EncoderScore(
            parameters=sum(p.numel() for p in self.network.parameters()),
            size=self.recipe.size,
            parameter_loss=_parameter_loss(self.model, read, drawn.codes, self.recipe.size),
            **vertex_distances(self.model, read, drawn.codes),
            ms=self._milliseconds(given),
            **on_photos,
        )

    def _milliseconds(self, crops: PhotoCrops) -> float:
        with tempfile.TemporaryDirectory() as folder:
            file = self.source
            if file.suffix != EXPORTED:
                file = Path(folder) / "encoder.onnx"
                export_encoder(self.source, file, crops.images[:8], crops.landmarks_px[:8])
            encoder = Encoder(file)
        spent = []
        for i in np.arange(_TIMED) % len(crops.images):
            start = time.process_time()
            encoder(crops.images[i : i + 1], crops.landmarks_px[i : i + 1])
            spent.append(1e3 * (time.process_time() - start))
        return float(np.median(spent))


def of_common_photos(crops: Mapping[Kind, PhotoCrops]) -> dict[Kind, PhotoCrops]:
    """Those crops of each kind whose photographs have one of every kind, so that figures can be compared."""
    names = [set(some.names) for some in crops.values()]
    return {
        kind: some[np.array([all(name in others for others in names) for name in some.names])]
        for kind, some in crops.items()
    }


def vertex_distances(model: MorphableModel, read: FaceCode, true: FaceCode) -> dict[str, float]:
    """Mean millimetres between the heads of two batches of codes, as `EncoderScore` has them."""
    weights = region_weights(model)
    identity, expression = read.identity - true.identity, read.expression - true.expression
    sums = dict.fromkeys(("vertex_mm", "identity_mm", "expression_mm"), 0.0)
    for i in range(len(identity)):
        by_identity = np.tensordot(identity[i], model.identity_components, 1)
        by_expression = np.tensordot(expression[i], model.expression_components, 1)
        moved = by_identity + by_expression, by_identity, by_expression
        for name, offsets in zip(sums, moved, strict=True):
            sums[name] += float(np.linalg.norm(offsets, axis=1) @ weights) / len(identity)
    return sums


def encoder_report(about: str, scores: Mapping[str, EncoderScore]) -> Report:
    """Table and numbers, a row for each encoder by its name."""
    columns = [
        "encoder", "parameters", "crop px", "parameter loss", "vertices mm", "identity mm", "expression mm",
        "NME 478", "RMSE", "ms, one core",
    ]  # fmt: skip
    rows = []
    for name, s in scores.items():
        rows.append([name, f"{s.parameters / 1e6:.2f} M", str(s.size), f"{s.parameter_loss:.3f}"])
        rows[-1] += [f"{mm:.3f}" for mm in (s.vertex_mm, s.identity_mm, s.expression_mm)]
        rows[-1] += ["" if np.isnan(s.nme478) else f"{s.nme478:.2%}"]
        rows[-1] += ["" if np.isnan(s.rmse) else f"{s.rmse:.4f}", f"{s.ms:.2f}"]
    return Report(about, columns, rows, {"encoders": {name: asdict(s) for name, s in scores.items()}})


def draw(model: MorphableModel, recipe: Recipe, count: int, seed: int = HELD_OUT_SEED) -> Pictures:
    """The first `count` pictures of a seed, as in training."""
    blocks = [generate(model, recipe, seed, block) for block in range(-(-count // BLOCK))]
    vectors = np.concatenate([block.codes.to_vector() for block in blocks])
    return Pictures(
        np.concatenate([block.images for block in blocks])[:count],
        np.concatenate([block.landmarks_px for block in blocks])[:count],
        FaceCode.from_vector(vectors[:count], model.layout, model.id),
    )


def _parameter_loss(model: MorphableModel, read: FaceCode, true: FaceCode, size: int) -> float:
    import torch

    with torch.no_grad():
        _, terms = Losses(model, LossWeights())(
            CropCode.from_code(read, size), CropCode.from_code(true, size)
        )
    return terms["parameters"].item()
