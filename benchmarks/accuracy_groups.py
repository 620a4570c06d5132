"""Accuracy by group: who is read worse than others.

OMP_NUM_THREADS=1 python benchmarks/accuracy_groups.py --out accuracy_groups

Skin tone, sex, age, glasses, beard and covered faces: photos_open/cc0, by docs/accuracy/groups_cc0.csv, which
was written by looking at each photograph. Yaw, as fitted: all folders. For the network alone and with fit.
Albedo is the luminance of the skin that was read, 0 to 1, and of dark and light skins the share of pairs in
which the dark one was read darker.
"""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path

import numpy as np

from accuracy_common import SHARED, add_limit, fitter, parser, photos_and_detections, progress, show, threads
from mien.encoder import Encoder
from mien.evaluation.photos import PhotoAccuracy, measure_photos
from mien.evaluation.report import Report
from mien.evaluation.ways import Way, estimate_by

TABLE = Path(__file__).parents[1] / "docs" / "accuracy" / "groups_cc0.csv"
FOLDERS = ("photos_open/cc0", "photos_open/us_official", "photos_lfw")
YAW_DEGREES = (0, 10, 20, 30, 45, 90)
READ_BY: tuple[Way, ...] = ("encoder", "encoder+fit")


def main() -> None:
    options = parser(__doc__)
    add_limit(options)
    options = options.parse_args()
    fit, encoder = fitter(options), Encoder(options.encoder_file)
    groups: dict[str, list[tuple[str, np.ndarray]]] = {}
    measured: dict[str, dict[Way, PhotoAccuracy]] = {}
    for folder in FOLDERS:
        files, load, detections = photos_and_detections(SHARED / folder, options)
        measured[folder] = {
            way: measure_photos(
                fit.model, estimate_by(way, fit, encoder), detections, load, progress(f"{folder}: {way}")
            )
            for way in READ_BY
        }
        names = [file.stem for file, found in zip(files, detections.found, strict=True) if found]
        if folder == FOLDERS[0]:
            groups[folder] = _labelled(names)
        yaw = measured[folder]["encoder+fit"].yaw_degrees
        groups.setdefault(folder, []).extend(
            (f"yaw {low} to {high}°", (yaw >= low) & (yaw < high)) for low, high in pairwise(YAW_DEGREES)
        )
    rows, data = [], []
    for folder, entries in groups.items():
        for name, chosen in entries:
            if not chosen.any():
                continue
            row = {"folder": folder, "group": name, "photos": int(chosen.sum())}
            for way, accuracy in measured[folder].items():
                row |= {f"{way} nme478": float(accuracy.nme478[chosen].mean())}
                row |= {f"{way} rmse": float(np.nanmean(accuracy.rmse[chosen]))}
                row |= {f"{way} albedo": float(np.median(accuracy.albedo[chosen]))}
            data.append(row)
            cells = [f"{row[f'{way} nme478']:.2%}" for way in READ_BY]
            cells += [f"{row[f'{way} {what}']:.3f}" for what in ("rmse", "albedo") for way in READ_BY]
            rows.append([f"{folder.split('/')[-1]}, {name}", str(row["photos"]), *cells])
    dark, light = (dict(groups[FOLDERS[0]])[f"skin: {tone}"] for tone in ("dark", "light"))
    told = {way: separated(a.albedo[dark], a.albedo[light]) for way, a in measured[FOLDERS[0]].items()}
    columns = ["group", "photos", "NME 478, network", "and fit", "RMSE, network", "and fit"]
    columns += ["median albedo, network", "and fit"]
    about = f"{fit.model.id}, {threads()}; of a dark and a light skin of cc0 the dark one is read darker in "
    about += f"{told['encoder']:.0%} of pairs by the network, in {told['encoder+fit']:.0%} with the fit"
    show(Report(about, columns, rows, {"groups": data, "dark read darker": told}), options.out)


def separated(low: np.ndarray, high: np.ndarray) -> float:
    """Share of pairs of (N,) and (M,) numbers in which the first is lower: the area under the ROC curve."""
    return float((low[:, None] < high).mean())


def _labelled(names: list[str]) -> list[tuple[str, np.ndarray]]:
    """The table's groups: "column: value", and which of the named photographs belong to it."""
    table = {row.pop("photo"): row for row in csv.DictReader(TABLE.open())}
    columns = next(iter(table.values()))
    values = {column: np.array([table[name][column] for name in names]) for column in columns}
    return [
        (f"{column}: {value}", row == value) for column, row in values.items() for value in np.unique(row)
    ]


if __name__ == "__main__":
    main()
