"""What the network alone reads of expressions: correlation of its coefficients with those of the fit.

OMP_NUM_THREADS=1 python benchmarks/accuracy_agreement.py --limit 400 --out accuracy_agreement

Pearson's correlation over the photographs of each folder, sides averaged, with the fit from the mean face,
which never sees what the network says. "detector": the same for MediaPipe's own scores.
"""

from __future__ import annotations

import numpy as np

from accuracy_common import SHARED, add_limit, fitter, parser, photos_and_detections, progress, show, threads
from mien.encoder import Encoder
from mien.evaluation.photos import measure_photos
from mien.evaluation.report import Report
from mien.evaluation.ways import estimate_by
from mien.facecode import ARKIT_NAMES

FOLDERS = ("photos_open/cc0", "photos_open/us_official", "photos_lfw")
ACTIONS = (
    "browDown", "browInnerUp", "browOuterUp", "eyeBlink", "eyeSquint", "eyeWide", "cheekSquint", "noseSneer",
    "mouthUpperUp", "mouthSmile", "mouthFrown", "mouthPucker", "mouthStretch", "mouthPress", "jawOpen",
)  # fmt: skip


def main() -> None:
    options = parser(__doc__)
    add_limit(options)
    options = options.parse_args()
    fit, encoder = fitter(options), Encoder(options.encoder_file)
    table: dict[str, dict[str, list[float]]] = {}
    for folder in FOLDERS:
        _, load, detections = photos_and_detections(SHARED / folder, options)
        read = {
            way: measure_photos(
                fit.model, estimate_by(way, fit, encoder), detections, load, progress(f"{folder}: {way}")
            ).expression
            for way in ("encoder", "fit")
        }
        read["detector"] = detections.blendshapes[detections.found]
        table[folder] = {way: _correlations(read[way], read["fit"]) for way in ("encoder", "detector")}
    columns = ["coefficient"]
    columns += [f"{folder.split('/')[-1]}, {way}" for folder, ways in table.items() for way in ways]
    rows = [
        [action, *(f"{values[i]:.2f}" for ways in table.values() for values in ways.values())]
        for i, action in enumerate(ACTIONS)
    ]
    data = {"actions": ACTIONS, "correlations": table}
    show(Report(f"{fit.model.id}, {threads()}", columns, rows, data), options.out)


def _correlations(one: np.ndarray, other: np.ndarray) -> list[float]:
    """Pearson's correlation of each of `ACTIONS` in two sets (N, 52) of coefficients."""
    result = []
    for action in ACTIONS:
        places = [
            i for i, name in enumerate(ARKIT_NAMES) if name in (action, f"{action}Left", f"{action}Right")
        ]
        sides = np.stack([one[:, places].mean(1), other[:, places].mean(1)])
        result.append(float(np.corrcoef(sides)[0, 1]) if sides.std(1).min() > 1e-9 else float("nan"))
    return result


if __name__ == "__main__":
    main()
