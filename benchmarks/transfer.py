"""Transfer, measured on its results: is it still the target, and does it do what the source does?

OMP_NUM_THREADS=1 python benchmarks/transfer.py --out transfer

CC0 portraits, sources times targets. Each result is a picture, which is reconstructed as any photograph. The
identity code is compared with those of all targets' own photographs; the detector's landmarks on the result
with those that the wanted code predicts, in % of the outer eye corners' distance. For comparison the same of
the untouched photographs, which have the error of the fit alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import mien
from accuracy_common import SHARED, progress, show, threads
from mien.camera import project, to_camera
from mien.detect import find_again
from mien.evaluation.report import Report
from mien.landmarks import OUTER_EYES
from mien.reconstruction import Reconstruction

SOURCES = "004 006 009 010 014 030 037 049"
TARGETS = "001 011 013 016 025 028 033 035 039 047 057 060"


def main() -> None:
    options = _options()
    sources, targets = (
        [_face(options.photos / f"{number}.jpg") for number in names.split()]
        for names in (options.sources, options.targets)
    )
    own = np.stack([target.code.identity for target in targets])
    kept, wanted_error, same = [], [], []
    still = [_landmark_error(target, target.image) for target in targets]
    pairs = [(i, source) for i in range(len(targets)) for source in sources]
    for i, source in progress("transferring")(pairs):
        edited = targets[i].with_expression_of(source)
        picture = edited.picture()
        again = mien.reconstruct(picture, max_faces=1)
        if not again:
            kept.append(False)
            continue
        kept.append(_nearest(again[0].code.identity, own) == i)
        wanted_error.append(_landmark_error(edited, picture))
        if options.recognise:
            same.append(mien.expression(again[0].code).label == mien.expression(source.code).label)
    data = {
        "pairs": len(pairs),
        "identity kept": float(np.mean(kept)),
        "landmark error": float(np.nanmedian(wanted_error)),
        "landmark error of the untouched": float(np.nanmedian(still)),
    }
    rows = [
        ["identity nearest to its own target's", f"{100 * data['identity kept']:.1f} %"],
        ["landmarks against the wanted code, median", f"{data['landmark error']:.2f} %"],
        ["... of the untouched photographs", f"{data['landmark error of the untouched']:.2f} %"],
    ]
    if options.recognise:
        data["same expression recognised"] = float(np.mean(same))
        rows.append(["same expression recognised as of the source", f"{100 * np.mean(same):.1f} %"])
    title = f"{len(sources)} sources × {len(targets)} targets, {threads()}"
    show(Report(title, ["measure", "result"], rows, data), options.out)


def _face(photo: Path) -> Reconstruction:
    (face,) = mien.reconstruct(photo, max_faces=1)
    return face


def _nearest(identity: np.ndarray, others: np.ndarray) -> int:
    """Which of (N, K) codes is nearest by the cosine."""
    return int(np.argmax(others @ identity / np.linalg.norm(others, axis=1)))


def _landmark_error(face: Reconstruction, picture: np.ndarray) -> float:
    """Mean distance between the landmarks detected in a picture and those of a face's code, in %."""
    points = face.model.landmarks478(
        face.model.vertices(np.asarray(face.code.identity), np.asarray(face.code.expression))
    )
    posed = to_camera(points, face.code.rotation, face.code.translation)
    predicted = project(posed, face.camera)[:, :2]
    box = np.concatenate([predicted.min(axis=0), predicted.max(axis=0)])
    detected = find_again(picture, box)
    if detected is None:
        return np.nan
    corners = detected[list(OUTER_EYES)]
    return 100 * np.linalg.norm(predicted - detected, axis=1).mean() / np.linalg.norm(corners[1] - corners[0])


def _options() -> argparse.Namespace:
    keep_lines = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=keep_lines)
    parser.add_argument("--photos", type=Path, default=SHARED / "photos_open" / "cc0", help="NUMBER.jpg")
    parser.add_argument("--sources", default=SOURCES, help="numbers of photographs")
    parser.add_argument("--targets", default=TARGETS, help="numbers of photographs")
    parser.add_argument("--recognise", action="store_true", help="also compare the recognised expressions")
    parser.add_argument("--out", type=Path, help="writes OUT.md and OUT.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
