"""Identity: are pictures of one person nearer in identity than pictures of two, and do expressions leak in?

OMP_NUM_THREADS=1 python benchmarks/accuracy_identity.py --out accuracy_identity

LFW: all people with two or more photographs. ICT: every person once neutral and once with an expression, in
another pose, light and camera.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from functools import partial

import numpy as np

from accuracy_common import SHARED, estimate, fitter, parser, progress, shared_heads, show, threads
from mien.evaluation.detections import Detections, detect_all
from mien.evaluation.ict import load_ict
from mien.evaluation.ict_heads import PAIR_SEED
from mien.evaluation.identity import METRICS, leak, pair_distances, same_person, separation
from mien.evaluation.report import Report
from mien.evaluation.ways import Estimate
from mien.image import load_image
from mien.morphable import MorphableModel

Load = Callable[[int], np.ndarray]


def main() -> None:
    options = _options()
    fit = fitter(options)
    read = estimate(options, fit)
    sets = {"LFW": _lfw(read, options), "ICT": _ict(read, fit.model, options)}
    rows, data = [], {"model": fit.model.id, "way": options.way}
    for name, (codes, person, expression, yaw) in sets.items():
        same = same_person(person)
        for metric in METRICS:
            distances = pair_distances(codes, metric)
            result = asdict(separation(distances, same))
            result["leak_expression"] = leak(distances[same], pair_distances(expression, "euclidean")[same])
            result["leak_yaw"] = leak(distances[same], pair_distances(yaw[:, None], "euclidean")[same])
            data[f"{name} {metric}"] = result
            rows.append([f"{name}, {metric}", str(len(codes)), str(len(np.unique(person)))])
            rows[-1] += [str(result["same"]), str(result["different"])]
            rows[-1] += [f"{result[k]:.3f}" for k in ("auc", "d_prime", "leak_expression", "leak_yaw")]
    columns = [
        "pictures, distance", "pictures", "people", "same pairs", "different pairs", "AUC", "d′",
        "leak of expression", "leak of yaw",
    ]  # fmt: skip
    show(Report(f"{fit.model.id}, {options.way}, {threads()}", columns, rows, data), options.out)


def _lfw(read: Estimate, options: argparse.Namespace) -> tuple[np.ndarray, ...]:
    """Codes, persons, the detector's expression scores and fitted yaws of the people with two photographs."""
    files = sorted((SHARED / "photos_lfw").glob("*.jpg"))
    names = np.array([file.stem.rsplit("_", 1)[0] for file in files])
    people, first, count = np.unique(names, return_inverse=True, return_counts=True)
    files = [file for file, n in zip(files, count[first], strict=True) if n > 1]
    key = repr([(p.name, p.stat().st_size) for p in files])
    load = partial(_load, files)
    detections = detect_all([p.name for p in files], load, key, options.cache, progress("LFW: detecting"))
    codes, yaw = _read_all(read, detections, load, "LFW: reading")
    person = np.unique(names, return_inverse=True)[1][np.isin(names, people[count > 1])]
    return codes, person[detections.found], detections.blendshapes[detections.found], yaw


def _ict(read: Estimate, model: MorphableModel, options: argparse.Namespace) -> tuple[np.ndarray, ...]:
    """Codes, persons, true expressions and fitted yaws of ICT's heads, two pictures each."""
    ict = load_ict(SHARED / "ict-facekit.tar.xz", options.cache)
    seeds = range(PAIR_SEED, PAIR_SEED + 2 * options.people)
    people = [PAIR_SEED + 2 * (i // 2) for i in range(2 * options.people)]
    heads, detections = shared_heads(ict, model, seeds, people, options.cache)
    codes, yaw = _read_all(
        read, detections, lambda i: heads.images[i].astype(np.float32) / 255, "ICT: reading"
    )
    return codes, heads.person[detections.found], heads.expression[detections.found], yaw


def _read_all(
    read: Estimate, detections: Detections, load: Load, description: str
) -> tuple[np.ndarray, np.ndarray]:
    """(N, K) identity codes and (N,) yaws in radians of the pictures with a face."""
    codes, yaws = [], []
    for i in progress(description)(np.flatnonzero(detections.found)):
        code = read(load(i), detections.landmarks_px[i])
        codes.append(code.identity)
        yaws.append(code.rotation[1])
    return np.array(codes), np.array(yaws)


def _load(files: list, i: int) -> np.ndarray:
    return load_image(files[i])


def _options() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--people", type=int, default=60, help="ICT heads, each in two pictures")
    return options.parse_args()


if __name__ == "__main__":
    main()
