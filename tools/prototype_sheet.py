"""Draws the seven expressions at full strength on several people, to be checked by eye.

python tools/prototype_sheet.py --out docs/prototypes.png
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from PIL import Image, ImageDraw, ImageFont

from mien.expressions.prototypes import EXPRESSIONS, prototypes
from mien.facecode import FaceCode
from mien.image import to_uint8
from mien.morphable import load_model
from mien.overlay import portrait

HEIGHT_PX, LABEL_PX = 230, 22


@dataclass(frozen=True)
class Options:
    """What to draw.

    Attributes:
        out: picture to write.
        people: how many, each a random identity.
        seed: of the people.
    """

    out: Path = Path("docs/prototypes.png")
    people: int = 4
    seed: int = 3


def main(options: Options) -> None:
    """Draws a row a person."""
    model, rng = load_model(), np.random.default_rng(options.seed)
    nobody = FaceCode.from_vector(np.zeros(model.layout.size), model.layout, model.id)
    rows = []
    for _ in range(options.people):
        person = nobody.with_(
            identity=rng.normal(size=model.layout.identity), albedo=0.8 * rng.normal(size=model.layout.albedo)
        )
        shown = [person.with_(expression=expression.astype(float)) for expression in prototypes()]
        rows.append(np.hstack([portrait(model, code, HEIGHT_PX) for code in shown]))
    faces = to_uint8(np.vstack(rows))
    sheet = Image.new("RGB", (faces.shape[1], faces.shape[0] + LABEL_PX), "white")
    sheet.paste(Image.fromarray(faces), (0, LABEL_PX))
    draw, font, width = ImageDraw.Draw(sheet), ImageFont.load_default(14), faces.shape[1] / len(EXPRESSIONS)
    for column, name in enumerate(EXPRESSIONS):
        draw.text(((column + 0.5) * width, 3), name, "black", font, anchor="ma")
    sheet.quantize(256, dither=Image.Dither.NONE).save(options.out, optimize=True)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
