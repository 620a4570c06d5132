"""3D truth: pictures of random ICT heads, reconstructed from the picture alone, by NoW's protocol.

OMP_NUM_THREADS=1 python benchmarks/accuracy_geometry.py --set test --heads 100 --out accuracy_geometry
OMP_NUM_THREADS=1 python benchmarks/accuracy_geometry.py --landmark-priors identity=0.5 expression=0.2

Heads of even seeds are neutral, those of odd seeds have an expression; all are turned. "posed, at rest"
compares the fitted identity alone with the neutral head of the same person, as NoW itself does. Pictures and
detections are kept in the cache folder, so that a second run only fits and compares.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict

from accuracy_common import SHARED, estimate, fitter, parser, progress, shared_heads, show, threads
from mien.evaluation.head_accuracy import Guesser, HeadAccuracy, Scanner, evaluate_heads, score_means
from mien.evaluation.ict import load_ict
from mien.evaluation.ict_heads import TEST_SEED, VALIDATION_SEED
from mien.evaluation.report import Report
from mien.evaluation.scans import Score, contender, score_table

TARGET_MM = {"ours, neutral": 1.05, "ours, posed": 1.10}


def main() -> None:
    options = _options()
    fit = fitter(options)
    ict = load_ict(SHARED / "ict-facekit.tar.xz", options.cache)
    first = TEST_SEED if options.set == "test" else VALIDATION_SEED
    seeds = range(first, first + options.heads)
    heads, detections = shared_heads(ict, fit.model, seeds, None, options.cache)
    scanner = Scanner.of(ict, by_area=options.by_area)
    guesser = Guesser.of(fit.model, ict, scanner)
    read = contender(estimate(options, fit), guesser)
    accuracy = evaluate_heads(read, scanner, ict, heads, detections, progress("reading"))
    means = {} if options.no_means else score_means(guesser, scanner, ict, heads)
    show(_report(accuracy, means, options, fit.model.id), options.out)


def _report(
    accuracy: HeadAccuracy, means: dict[str, Score], options: argparse.Namespace, model: str
) -> Report:
    scores = {**means, **accuracy.scores("ours")}
    about = (
        f"{model}, {options.way}, {options.set} set, {options.heads} heads, {accuracy.found:.0%} found; "
        f"{accuracy.ms:.0f} ms of processor time a face after detection, {threads()}"
    )
    data = {name: asdict(score) for name, score in scores.items()}
    data |= {
        "found": accuracy.found,
        "ms": accuracy.ms,
        "way": options.way,
        "set": options.set,
        "model": model,
    }
    return Report(about, *score_table(scores, TARGET_MM), data)


def _options() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--heads", type=int, default=60, help="how many, half of them expressive")
    options.add_argument("--set", choices=("test", "validation"), default="validation")
    options.add_argument("--no-means", action="store_true", help="leave out the mean faces")
    options.add_argument("--by-area", action="store_true", help="scan points evenly by area, not vertices")
    return options.parse_args()


if __name__ == "__main__":
    main()
