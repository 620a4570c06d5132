"""What can be done with a face, on one page: expressions × strengths, light, colours."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from mien.edit import LIGHTS
from mien.expressions.prototypes import EXPRESSIONS
from mien.image import to_uint8
from mien.reconstruction import Reconstruction
from mien.traits import TRAITS, has_traits

_STRENGTHS = (0.3, 0.6, 1.0)
_AMOUNTS = (-2, -1, 1, 2)


def edit_sheet(face: Reconstruction, height: int = 240) -> np.ndarray:
    """The seven expressions by strength, the lights, and the traits that the albedo has, on one face.

    Args:
        face: with its photograph.
        height: of each picture, pixels.

    Returns:
        (H, W, 3) float32, sRGB in [0, 1].
    """
    rows = [
        [(f"{name} {strength:g}", face.with_expression(name, strength)) for name in EXPRESSIONS]
        for strength in _STRENGTHS
    ]
    rows.append([("as it is", face), *((f"light {name}", face.lit(name)) for name in LIGHTS)])
    named = TRAITS if has_traits(face.model) else ()
    traits = [(f"{n} {a:+d}", face.with_traits(**{n: a})) for n in named for a in _AMOUNTS]
    rows += [traits[i : i + 2 * len(_AMOUNTS)] for i in range(0, len(traits), 2 * len(_AMOUNTS))]
    pictures = [
        np.concatenate([framed(other, label, height) for label, other in row], axis=1) for row in rows
    ]
    width = max(row.shape[1] for row in pictures)
    return np.concatenate(
        [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=1.0) for row in pictures]
    )


def framed(face: Reconstruction, label: str, height: int) -> np.ndarray:
    """(height, height, 3) the photograph around an edited face, with a label below."""
    left, top, right, bottom = face.face.box_px
    x, y, half = (left + right) / 2, (top + bottom) / 2, 0.8 * max(right - left, bottom - top)
    box = [round(n) for n in (x - half, y - 1.1 * half, x + half, y + 0.9 * half)]
    picture = Image.fromarray(to_uint8(face.picture())).crop(box)
    picture = picture.resize((height, height), Image.Resampling.LANCZOS)
    ImageDraw.Draw(picture).text((6, height - 16), label, fill="black", stroke_width=2, stroke_fill="white")
    return np.asarray(picture, np.float32) / 255
