"""Which losses and inputs of the encoder earn their place: short runs that differ in one thing each.

OMP_NUM_THREADS=1 python benchmarks/ablation.py FOLDER --pictures 15360 --out ablation

Each run starts from random weights with the same seed, sees the same pictures, and is judged alone, without
the fit, on photographs. FOLDER keeps the runs: interrupted, it goes on, and several can be at work on
different `--variants` at once.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from accuracy_common import SHARED, progress, show
from mien.evaluation.report import Report
from mien.morphable import load_model
from mien.synthesis import Recipe
from mien.training.bootstrap import PhotoCrops, crop_faces, judge
from mien.training.config import TrainingConfig
from mien.training.export import load_trained
from mien.training.losses import LossWeights
from mien.training.train import train

VARIANTS: dict[str, dict[str, Any]] = {
    "everything": {},
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


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    model, folders = load_model(), kept_crops(options.folder)
    rows, data = [], {}
    for name in options.variants:
        changes = dict(VARIANTS[name])
        loss = replace(LossWeights(), **changes.pop("loss", {}))
        folder = options.folder / name.replace(" ", "-")
        config = TrainingConfig(
            folder, Recipe(), pictures=options.pictures, loss=loss, validation_minutes=1e9, **changes
        )
        train(config)
        network, _ = load_trained(folder)
        judged = {key: judge(network, model, crops) for key, crops in folders.items()}
        data[name] = judged
        cells = [f"{figures['nme478']:.2%}" for figures in judged.values()]
        cells += [f"{figures['rmse']:.3f}" for figures in judged.values()]
        rows.append([name, *cells])
    short = [key.split("/")[-1] for key in folders]
    columns = ["", *(f"NME 478 {key}" for key in short), *(f"RMSE {key}" for key in short)]
    photos = ", ".join(f"{len(crops.names)} of {key}" for key, crops in folders.items())
    about = f"{options.pictures:,} pictures a run; photographs: {photos}"
    show(Report(about, columns, rows, {"pictures": options.pictures, "variants": data}), options.out)


def kept_crops(folder: Path) -> dict[str, PhotoCrops]:
    """The photographs' faces as the network sees them, kept beside the runs."""
    kept = folder / "photos.npz"
    if not kept.exists():
        arrays = {}
        for name, step in FOLDERS.items():
            files = sorted((SHARED / name).glob("*.jpg"))[::step]
            crops = crop_faces(files, Recipe().size, progress(name), say=lambda line: None)
            arrays |= {f"{name}:names": np.array(crops.names), f"{name}:images": crops.images}
            arrays[f"{name}:landmarks"] = crops.landmarks_px
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(kept, **arrays)
    with np.load(kept) as arrays:
        return {
            name: PhotoCrops(
                tuple(arrays[f"{name}:names"]), arrays[f"{name}:images"], arrays[f"{name}:landmarks"]
            )
            for name in FOLDERS
        }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=15_360, help="of each run")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--out", type=Path, help="writes OUT.md and OUT.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
