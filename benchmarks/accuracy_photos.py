"""Real photographs: landmark error, photometric error, share with a face, time by stage.

OMP_NUM_THREADS=1 python benchmarks/accuracy_photos.py --out accuracy_photos
OMP_NUM_THREADS=1 python benchmarks/accuracy_photos.py FOLDER --limit 100

Without folders: photos_open/cc0, photos_open/us_official and photos_lfw of the shared data.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from accuracy_common import (
    SHARED,
    add_limit,
    encoder,
    estimate,
    fitter,
    parser,
    photos_and_detections,
    progress,
    show,
    threads,
)
from mien.evaluation.photos import STAGES, measure_photos, stage_times
from mien.evaluation.report import Report
from mien.fit import Fitter

TIMED = 41
"""Photographs of each folder on which the stages are timed; the first warms up and is not counted."""
FOLDERS = ("photos_open/cc0", "photos_open/us_official", "photos_lfw")
COLUMNS = (
    "folder", "photos", "face found", "NME 478 mean", "median", "NME 68 mean", "median", "RMSE mean",
    "median", "detect ms", "encode", "landmarks", "pixels", "polish", "total",
)  # fmt: skip


def main() -> None:
    options = _options()
    fit = fitter(options)
    folders = options.folders or [SHARED / folder for folder in FOLDERS]
    results = {"/".join(folder.parts[-2:]): _measure(fit, folder, options) for folder in folders}
    rows = []
    for name, r in results.items():
        percent = [f"{r[key]:.2%}" for key in ("nme478_mean", "nme478_median", "nme68_mean", "nme68_median")]
        rmse = [f"{r[key]:.4f}" for key in ("rmse_mean", "rmse_median")]
        ms = [f"{r['ms'][key]:.1f}" for key in (*STAGES, "total")]
        rows.append([name, str(r["photos"]), f"{r['found']:.2%}", *percent, *rmse, *ms])
    about = f"{fit.model.id}, {options.way}; median ms of processor time over {TIMED - 1} faces, {threads()}"
    show(
        Report(about, COLUMNS, rows, {"folders": results, "model": fit.model.id, "way": options.way}),
        options.out,
    )


def _measure(fit: Fitter, folder: Path, options: argparse.Namespace) -> dict:
    name = folder.name
    files, load, detections = photos_and_detections(folder, options)
    found = np.flatnonzero(detections.found)
    timed = found[np.unique(np.linspace(0, len(found) - 1, TIMED).astype(int))]
    accuracy = measure_photos(
        fit.model, estimate(options, fit), detections, load, progress(f"{name}: reading")
    )
    measures = {name: getattr(accuracy, name) for name in ("nme478", "nme68", "rmse")}
    worst = found[np.argsort(accuracy.nme478)[::-1][:8]]
    return {
        "photos": len(files),
        "found": float(detections.found.mean()),
        "grey": float(accuracy.grey.mean()),
        **{f"{name}_mean": float(np.nanmean(values)) for name, values in measures.items()},
        **{f"{name}_median": float(np.nanmedian(values)) for name, values in measures.items()},
        "ms": stage_times(
            None if options.way == "encoder" else fit, encoder(options), detections, load, timed
        ),
        "worst": [files[i].name for i in worst],
        "missed": [file.name for file, seen in zip(files, detections.found, strict=True) if not seen],
    }


def _options() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("folders", nargs="*", type=Path)
    add_limit(options)
    return options.parse_args()


if __name__ == "__main__":
    main()
