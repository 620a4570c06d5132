"""What the accuracy benchmarks share: their common options, and the model, fit and pictures these mean."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from mien.encoder import Encoder
from mien.evaluation.detections import Detections, detect_all
from mien.evaluation.head_accuracy import heads_and_detections
from mien.evaluation.ict import IctModel, cache_folder
from mien.evaluation.ict_heads import Heads
from mien.evaluation.report import Report
from mien.evaluation.ways import WAYS, Estimate, estimate_by
from mien.fit import Fitter
from mien.fit.priors import measured_priors
from mien.image import load_image
from mien.model_files.packaged import read_model_file
from mien.morphable import MorphableModel, load_model

SHARED = Path(os.environ.get("MIEN_SHARED", Path(__file__).parents[2] / "shared")) / "data"


def parser(description: str) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    keep_lines = argparse.RawDescriptionHelpFormatter
    result = argparse.ArgumentParser(description=description, formatter_class=keep_lines)
    for stage in ("landmark", "pixel"):
        result.add_argument(
            f"--{stage}-priors", nargs="*", type=_assignment, default=[], metavar="NAME=VALUE",
            help=f"fields of mien.fit.{stage.title()}Priors",
        )  # fmt: skip
    result.add_argument("--model-file", type=Path, help="a model to measure in place of the packaged one")
    result.add_argument("--way", choices=WAYS, default=WAYS[0], help="how faces are read")
    result.add_argument("--encoder-file", type=Path, help="an encoder in place of the packaged one")
    result.add_argument("--cache", type=Path, default=cache_folder(), help="keeps pictures and detections")
    result.add_argument("--out", type=Path, help="writes OUT.md and OUT.json")
    return result


def fitter(options: argparse.Namespace) -> Fitter:
    """The fit that the options mean."""
    model = read_model_file(options.model_file) if options.model_file else load_model("anny")
    landmarks, pixels = measured_priors(model.name)
    return Fitter.of(
        model,
        replace(landmarks, **dict(options.landmark_priors)),
        replace(pixels, **dict(options.pixel_priors)),
    )


def encoder(options: argparse.Namespace) -> Encoder | None:
    """The encoder that the options mean, where it takes part."""
    return Encoder(options.encoder_file) if options.way.startswith("encoder") else None


def estimate(options: argparse.Namespace, fitter: Fitter) -> Estimate:
    """The way to read a face that the options mean."""
    return estimate_by(options.way, fitter, encoder(options))


def add_limit(parser: argparse.ArgumentParser) -> None:
    """The option to measure fewer photographs."""
    parser.add_argument("--limit", type=int, help="at most so many photographs of a folder, evenly chosen")


def photos_and_detections(
    folder: Path, options: argparse.Namespace
) -> tuple[list[Path], Callable[[int], np.ndarray], Detections]:
    """The photographs of a folder, how to load one by its number, and what the detector says of them."""
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if options.limit:
        files = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, options.limit).astype(int))]
    key = repr([(p.name, p.stat().st_size) for p in files])

    def load(i: int) -> np.ndarray:
        return load_image(files[i])

    names = [p.name for p in files]
    detections = detect_all(names, load, key, options.cache, progress(f"{folder.name}: detecting"))
    return files, load, detections


def shared_heads(
    ict: IctModel, model: MorphableModel, seeds: range, people: list[int] | None, cache: Path
) -> tuple[Heads, Detections]:
    """Pictures of random ICT heads, some before a blurred portrait, and what the detector says of them."""
    backgrounds = sorted((SHARED / "photos_open" / "us_official").glob("*.jpg"))
    return heads_and_detections(ict, model, seeds, backgrounds, cache, people, progress)


def progress(description: str) -> Callable:
    """A progress bar around a sequence."""
    return partial(track, description=description)


def show(report: Report, out: Path | None) -> None:
    """Prints a report, wide enough for its columns, and writes it where asked."""
    console = Console()
    report.show(console if console.width >= 150 else Console(width=150), out)


def threads() -> str:
    """How many threads NumPy and numba were told to take."""
    return os.environ.get("OMP_NUM_THREADS", "all") + " thread(s)"


def _assignment(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    return name, float(value)
