"""3D truth: pictures of random ICT heads, reconstructed from the picture alone, by NoW's protocol.

python benchmarks/accuracy_geometry.py --heads 100 --set test --out accuracy_geometry
python benchmarks/accuracy_geometry.py --heads 60 --landmark-priors identity=0.5 expression=0.2

Prints a table and, with --out, writes it as OUT.md and OUT.json. Pictures and detections are kept in the
cache folder, so that a second run only fits and compares.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from mien.evaluation.detections import detect_all
from mien.evaluation.head_accuracy import Guesser, HeadAccuracy, Scanner, Score, evaluate_heads, score_means
from mien.evaluation.ict import cache_folder, load_ict
from mien.evaluation.ict_heads import TEST_SEED, VALIDATION_SEED, random_heads
from mien.evaluation.report import Report
from mien.fit import Fitter, LandmarkPriors, PixelPriors
from mien.model_files.packaged import read_model_file
from mien.morphable import load_model

SHARED = Path(os.environ.get("MIEN_SHARED", Path(__file__).parents[2] / "shared")) / "data"
TARGET_MM = {"neutral": 1.05, "posed": 1.10}


def main() -> None:
    options = _options()
    model = read_model_file(options.model_file) if options.model_file else load_model("anny")
    ict = load_ict(SHARED / "ict-facekit.tar.xz", options.cache)
    first = TEST_SEED if options.set == "test" else VALIDATION_SEED
    backgrounds = sorted((SHARED / "photos_open" / "us_official").glob("*.jpg"))
    seeds = range(first, first + options.heads)
    heads = random_heads(
        ict, model, seeds, backgrounds, options.cache, partial(track, description="rendering")
    )
    names = [str(seed) for seed in heads.seed]
    detections = detect_all(
        names,
        lambda i: heads.images[i].astype(np.float32) / 255,
        hashlib.sha256(heads.images[:, ::7, ::7].tobytes()).hexdigest(),
        options.cache,
        partial(track, description="detecting"),
    )
    fitter = Fitter.of(
        model,
        replace(LandmarkPriors(), **dict(options.landmark_priors)),
        replace(PixelPriors(), **dict(options.pixel_priors)),
    )
    scanner = Scanner.of(ict, by_area=options.by_area)
    guesser = Guesser.of(model, ict, scanner)
    accuracy = evaluate_heads(
        fitter, guesser, scanner, ict, heads, detections,
        pixels=not options.landmarks_only, polish=not options.no_polish,
        progress=partial(track, description="fitting"),
    )  # fmt: skip
    means = {} if options.no_means else score_means(guesser, scanner, ict, heads)
    _report(accuracy, means, options, model.id).show(Console(), options.out)


def _report(
    accuracy: HeadAccuracy, means: dict[str, Score], options: argparse.Namespace, model: str
) -> Report:
    fit = {
        "our fit, neutral": accuracy.neutral,
        "our fit, posed": accuracy.posed,
        "our fit, posed, at rest": accuracy.posed_neutral,
    }
    columns = [
        "", "heads", "median", "mean", "std", "unscaled median", "mean", "std",
        "rms across", "up", "depth", "target",
    ]  # fmt: skip
    rows = []
    for name, score in {**means, **fit}.items():
        kind = name.rsplit(", ", 1)[1]
        target = f"{TARGET_MM[kind]:.2f}" if name.startswith("our fit") and kind in TARGET_MM else ""
        values = [*asdict(score.scaled).values(), *asdict(score.unscaled).values()]
        values += [score.lateral, score.vertical, score.depth]
        rows.append([name, str(score.heads), *(f"{v:.3f}" for v in values), target])
    about = (
        f"{model}, {options.set} set of {options.heads} heads, mm; face found in {accuracy.found:.0%}; "
        f"{accuracy.fit_ms:.0f} ms a fit, {os.environ.get('OMP_NUM_THREADS', 'all')} threads"
    )
    data = {name: asdict(score) for name, score in {**means, **fit}.items()}
    data |= {"found": accuracy.found, "fit_ms": accuracy.fit_ms, "set": options.set, "model": model}
    return Report(about, columns, rows, data)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--heads", type=int, default=100, help="how many, half of them expressive")
    parser.add_argument("--set", choices=("test", "validation"), default="validation")
    parser.add_argument("--landmarks-only", action="store_true", help="fit landmarks, not pixels")
    parser.add_argument("--no-polish", action="store_true", help="leave out the joint step")
    parser.add_argument("--no-means", action="store_true", help="leave out the mean faces")
    parser.add_argument("--by-area", action="store_true", help="scan points evenly by area, not vertices")
    for stage in ("landmark", "pixel"):
        parser.add_argument(
            f"--{stage}-priors", nargs="*", type=_assignment, default=[], metavar="NAME=VALUE",
            help=f"fields of mien.fit.{stage.title()}Priors",
        )  # fmt: skip
    parser.add_argument("--model-file", type=Path, help="a model to measure in place of the packaged one")
    parser.add_argument("--cache", type=Path, default=cache_folder())
    parser.add_argument("--out", type=Path, help="writes OUT.md and OUT.json")
    return parser.parse_args()


def _assignment(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    return name, float(value)


if __name__ == "__main__":
    main()
