"""The gallery's figures of editing and transfer.

python tools/make_transfer_figure.py                          docs/gallery/transfer.jpg and edit.jpg
python tools/make_transfer_figure.py --out DIR --sources 004 --targets 001 025

Sources across, targets down, both drawn from their codes: each cell is the target's photograph with the
source's expression. All portraits are CC0, their credits beside them.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

import mien
from mien.files import write_whole
from mien.image import jpeg_bytes
from mien.overlay import BACKDROP
from mien.sheet import edit_sheet, framed

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("MIEN_SHARED", ROOT.parent / "shared")) / "data" / "photos_open" / "cc0"


def transfer_figure(
    sources: list[mien.Reconstruction], targets: list[mien.Reconstruction], height: int
) -> np.ndarray:
    """(H, W, 3): the sources above, the targets at the left, and what becomes of them."""
    corner = np.ones((height, height, 3), np.float32)
    rows = [[corner, *(drawn(face, height) for face in sources)]]
    for target in targets:
        results = [framed(target.with_expression_of(source), "", height) for source in sources]
        rows.append([drawn(target, height), *results])
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def drawn(face: mien.Reconstruction, height: int) -> np.ndarray:
    """(height, height, 3) a face from its code alone, before a plain backdrop."""
    portrait = face.portrait(height)
    square = np.empty((height, height, 3), np.float32)
    square[:] = BACKDROP
    left = (height - portrait.shape[1]) // 2
    square[:, left : left + portrait.shape[1]] = portrait
    return square


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "gallery")
    parser.add_argument("--sources", nargs="+", default=["004", "006", "030", "028"])
    parser.add_argument("--targets", nargs="+", default=["001", "033", "025", "047"])
    parser.add_argument("--sheet", default="033", help="portrait of the editing sheet")
    parser.add_argument("--height", type=int, default=230, help="of a cell, pixels")
    options = parser.parse_args()

    def faces(numbers: list[str]) -> list[mien.Reconstruction]:
        return [mien.reconstruct(SHARED / f"{number}.jpg", max_faces=1)[0] for number in numbers]

    def write(name: str, picture: np.ndarray) -> None:
        write_whole(options.out / name, jpeg_bytes(picture, quality=88))
        print(options.out / name, flush=True)

    options.out.mkdir(parents=True, exist_ok=True)
    figure = transfer_figure(faces(options.sources), faces(options.targets), options.height)
    write("transfer.jpg", figure)
    write("edit.jpg", edit_sheet(*faces([options.sheet]), height=170))


if __name__ == "__main__":
    main()
