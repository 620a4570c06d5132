"""The search for a recipe: short runs that differ in one thing each, judged alone on photographs.

OMP_NUM_THREADS=1 python benchmarks/recipe.py FOLDER --start RUN --pictures 40960 --seeds 0 1 --out recipe

Without `--start` each run begins with random weights. Runs of one seed see the same pictures. Judged are the
landmarks and colours of photographs, how well one person's LFW photographs agree in identity, and the
expressions of random heads found by the detector, region by region: Pearson's correlation of what is read
with what is shown. FOLDER keeps the runs: interrupted, it goes on, and several can be at work on different
`--variants` at once.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from accuracy_common import SHARED, progress, show
from mien.align import align
from mien.detect import detect_faces
from mien.evaluation.identity import pair_distances, people_in, same_person, separation
from mien.evaluation.report import Report
from mien.facecode import ARKIT_NAMES
from mien.image import to_uint8
from mien.morphable import MorphableModel, load_model
from mien.synthesis import Recipe
from mien.training.bootstrap import PhotoCrops, crop_faces, judge, read_crops
from mien.training.config import TrainingConfig
from mien.training.export import load_trained
from mien.training.losses import LossWeights
from mien.training.network import EncoderNetwork
from mien.training.train import train

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "128 px": {"recipe": {"size": 128}},
    "detector's own landmarks": {"recipe": {"detected": 0.6}},
    "blendshapes twice": {"loss": {"blendshapes": 8.0}},
    "projected landmarks twice": {"loss": {"landmarks": 30.0}},
    "higher learning rate": {"learning_rate": 2e-3},
    "no landmarks as input": {"landmarks": False},
    "no parameters": {"loss": {"parameters": 0}},
    "no blendshapes": {"loss": {"blendshapes": 0}},
    "no vertices": {"loss": {"identity": 0, "expression": 0, "geometry": 0}},
    "no projected landmarks": {"loss": {"landmarks": 0}},
    "no radiance": {"loss": {"radiance": 0}},
    "no albedo": {"loss": {"albedo": 0}},
    "photometric": {"loss": {"photometric": 3.0}},
}
"""What each run changes of the defaults."""

FOLDERS = {"photos_open/cc0": 1, "photos_open/us_official": 6, "photos_lfw": 15}
"""Folders, and every how manieth of their photographs counts."""

REGIONS = {
    "brows": ("browDown", "browInnerUp", "browOuterUp"),
    "lids": ("eyeBlink", "eyeSquint", "eyeWide"),
    "nose, cheeks": ("noseSneer", "cheekSquint"),
    "mouth corners": ("mouthSmile", "mouthFrown", "mouthStretch"),
    "lips, chin": ("mouthUpperUp", "mouthPress", "mouthShrugLower"),
    "jaw": ("jawOpen",),
}
"""Coefficients by region, of which sides are averaged."""

_HEAD_BATCHES = 32


@dataclass(frozen=True, eq=False)
class Judges:
    """What networks of one crop size are judged on.

    Attributes:
        folders: crops of photographs by folder.
        pairs: crops of the people of LFW with two photographs or more; person: (N,) which they are.
        heads: crops of random heads; shown: (M, 52) their expressions.
    """

    folders: dict[str, PhotoCrops]
    pairs: PhotoCrops
    person: np.ndarray
    heads: PhotoCrops
    shown: np.ndarray

    def figures(self, network: EncoderNetwork, model: MorphableModel) -> dict[str, float]:
        """By their titles."""
        short = {name.split("/")[-1]: crops for name, crops in self.folders.items()}
        judged = {name: judge(network, model, crops) for name, crops in short.items()}
        figures = {f"NME 478 {name}, %": 100 * one["nme478"] for name, one in judged.items()}
        figures |= {f"RMSE {name}": one["rmse"] for name, one in judged.items()}
        distances = pair_distances(read_crops(network, self.pairs, model.id).identity, "cosine")
        figures["AUC LFW"] = separation(distances, same_person(self.person)).auc
        read = read_crops(network, self.heads, model.id).expression
        return figures | {
            f"r {region}": float(np.mean([_correlation(self.shown, read, stem) for stem in stems]))
            for region, stems in REGIONS.items()
        }


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    model, judges, runs = load_model(), {}, {}
    if options.start is not None:
        network, settings = load_trained(options.start)
        size = settings["recipe"]["size"]
        judges[size] = kept_judges(options.folder, size)
        runs["what all begin with"] = judges[size].figures(network, model)
    for name in options.variants:
        for seed in options.seeds:
            changes = {"learning_rate": options.learning_rate, **VARIANTS[name]}
            recipe = Recipe(**changes.pop("recipe", {}))
            loss = replace(LossWeights(), **changes.pop("loss", {}))
            folder = options.folder / f"{name.replace(' ', '-')}-{seed}"
            config = TrainingConfig(
                folder, recipe, initial=options.start, pictures=options.pictures, loss=loss,
                seed=seed, workers=0, validation_minutes=1e9, **changes,
            )  # fmt: skip
            train(config)
            network, _ = load_trained(folder)
            if recipe.size not in judges:
                judges[recipe.size] = kept_judges(options.folder, recipe.size)
            runs[f"{name}, seed {seed}"] = judges[recipe.size].figures(network, model)
    columns = list(next(iter(runs.values())))
    digits = [3 if column.startswith(("RMSE", "AUC")) else 2 for column in columns]
    rows = [
        [name, *(f"{one[column]:.{n}f}" for column, n in zip(columns, digits, strict=True))]
        for name, one in runs.items()
    ]
    start = "random weights" if options.start is None else "trained weights"
    about = f"{options.pictures:,} pictures a run, from {start}"
    show(Report(about, ["", *columns], rows, {"pictures": options.pictures, "runs": runs}), options.out)


def kept_judges(folder: Path, size: int) -> Judges:
    """What networks of a crop size are judged on, kept in a folder."""
    kept = folder / f"judges{size}.npz"
    if not kept.exists():
        sets = {}
        for name, step in FOLDERS.items():
            files = sorted((SHARED / name).glob("*.jpg"))[::step]
            sets[name] = crop_faces(files, size, progress(name), say=lambda line: None)
        people = people_in(SHARED / "photos_lfw", sorted((SHARED / "photos_lfw").glob("*.jpg")))
        files = [file for photos in people.values() for file in photos]
        sets["pairs"] = crop_faces(files, size, progress("LFW, pairs"), say=lambda line: None)
        sets["heads"], shown = _heads(size)
        arrays = {"shown": shown}
        for name, crops in sets.items():
            arrays |= {f"{name}:names": np.array(crops.names), f"{name}:images": crops.images}
            arrays[f"{name}:landmarks"] = crops.landmarks_px
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, **arrays)
    with np.load(kept) as arrays:
        sets = {
            name: PhotoCrops(*(arrays[f"{name}:{part}"] for part in ("names", "images", "landmarks")))
            for name in (*FOLDERS, "pairs", "heads")
        }
        person = np.array([Path(str(name)).stem.rsplit("_", 1)[0] for name in sets["pairs"].names])
        folders = {name: sets[name] for name in FOLDERS}
        return Judges(folders, sets["pairs"], person, sets["heads"], arrays["shown"])


def _heads(size: int) -> tuple[PhotoCrops, np.ndarray]:
    """Random heads with an emotion as the detector finds them, and (M, 52) their expressions."""
    from measure_readings import random_heads

    images, landmarks, expressions = [], [], []
    for batch in progress("heads")(range(_HEAD_BATCHES)):
        for _, ((shown, picture), _) in random_heads(batch):
            if faces := detect_faces(picture, max_faces=1):
                points = faces[0].landmarks_px[:, :2]
                alignment = align(points, size)
                images.append(alignment.warp(to_uint8(picture)))
                landmarks.append(alignment.to_crop(points).astype(np.float32))
                expressions.append(shown)
    return PhotoCrops(("",) * len(images), np.stack(images), np.stack(landmarks)), np.stack(expressions)


def _correlation(shown: np.ndarray, read: np.ndarray, stem: str) -> float:
    sides = [number for number, name in enumerate(ARKIT_NAMES) if name.startswith(stem)]
    return float(np.corrcoef(shown[:, sides].mean(1), read[:, sides].mean(1))[0, 1])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--start", type=Path, help="run or exported encoder whose weights all begin with")
    parser.add_argument("--pictures", type=int, default=15_360, help="of each run")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="the highest")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--out", type=Path, help="writes OUT.md and OUT.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
