"""Contact sheets of reconstructed faces: photograph | geometry | reconstruction | neutral portrait | smile.

python tools/make_gallery.py                                       all pictures of docs/gallery
python tools/make_gallery.py --with-photos --out DIR PHOTO...      any photographs, for one's own eyes

Only what is rendered is shown, before a plain backdrop, except of the example photograph and `--with-photos`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import mien
from mien.files import write_whole
from mien.image import jpeg_bytes, to_uint8
from mien.overlay import BACKDROP, beside, photo_panels

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("MIEN_SHARED", ROOT.parent / "shared")) / "data" / "photos_open"
EXAMPLE = ROOT / "examples" / "astronaut.jpg"

SMILE = {"mouthSmile": 0.9, "mouthUpperUp": 0.3, "cheekSquint": 0.5, "eyeSquint": 0.3, "mouthDimple": 0.3}
"""Coefficients of both sides."""

CHOICE = "1 2 4 5 6 7 8 9 10 11 13 14 15 16 18 19 20 22 23 25 28 30 31 33 34 37".split()
"""Numbers of CC0 portraits, as varied as possible."""


def row(face: mien.Reconstruction, label: str, height: int, with_photo: bool) -> np.ndarray:
    """One face's panels side by side, (height, W, 3)."""
    width = round(0.8 * height)
    panels = photo_panels(face.model, face.face, face.image if with_photo else None, height)
    neutral = face.neutral()
    smile = {name + side: value for name, value in SMILE.items() for side in ("Left", "Right")}
    panels += [neutral.portrait(height), neutral.with_blendshapes(**smile).portrait(height, yaw_degrees=-25)]
    picture = Image.fromarray(to_uint8(beside([of_width(panel, width) for panel in panels])))
    ImageDraw.Draw(picture).text((6, height - 16), label, fill="black", stroke_width=1, stroke_fill="white")
    return np.asarray(picture, np.float32) / 255


def of_width(panel: np.ndarray, width: int) -> np.ndarray:
    """The panel's middle, or the panel between backdrops."""
    surplus = panel.shape[1] - width
    if surplus >= 0:
        return panel[:, surplus // 2 : surplus // 2 + width]
    framed = np.broadcast_to(BACKDROP, (len(panel), width, 3)).copy()
    left = -surplus // 2
    framed[:, left : left + panel.shape[1]] = panel
    return framed


def sheets(photos: Iterable[Path], height: int, rows: int, with_photos: bool) -> Iterable[np.ndarray]:
    """Pictures of up to `rows` rows."""
    done = []
    for photo in photos:
        faces = mien.reconstruct(photo, max_faces=1)
        if not faces:
            print(f"{photo}: no face")
            continue
        label = f"{photo.parent.name} {photo.stem}"
        done.append(row(faces[0], label, height, with_photos))
        if len(done) == rows:
            yield np.concatenate(done)
            done = []
    if done:
        yield np.concatenate(done)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "photos", nargs="*", type=Path, help="default: the example and a choice of CC0 portraits"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "gallery")
    parser.add_argument("--height", type=int, default=256, help="of a row, pixels")
    parser.add_argument("--rows", type=int, default=9, help="a sheet")
    parser.add_argument("--with-photos", action="store_true", help="show the photographs")
    options = parser.parse_args()

    def write(name: str, picture: np.ndarray) -> None:
        options.out.mkdir(parents=True, exist_ok=True)
        write_whole(options.out / name, jpeg_bytes(picture, quality=88))
        print(options.out / name, flush=True)

    photos = options.photos
    if not photos:
        (face,) = mien.reconstruct(EXAMPLE)
        write("overlay.jpg", face.overlay(400))
        write("example.jpg", row(face, "example", options.height, with_photo=True))
        photos = [SHARED / "cc0" / f"{number:0>3}.jpg" for number in CHOICE]
    for number, sheet in enumerate(sheets(photos, options.height, options.rows, options.with_photos), 1):
        write(f"sheet{number}.jpg", sheet)


if __name__ == "__main__":
    main()
