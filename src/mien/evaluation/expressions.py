"""How often expressions are recognised: the confusion matrix, its table and its figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mien.evaluation.report import Report
from mien.expressions.prototypes import EXPRESSIONS
from mien.image import png_bytes

NO_FACE = "no face"

_CELL_PX, _LABEL_PX = 84, 150
_PAPER, _INK = np.array([240, 244, 250]), np.array([20, 70, 140])


@dataclass(frozen=True, eq=False)
class Confusion:
    """What was shown against what was read.

    Attributes:
        counts: (7, 8) int64 photographs, a row for each of `EXPRESSIONS` shown, a column for each read; last
            those in which no face was found, which count as not recognised.
    """

    counts: np.ndarray

    @classmethod
    def of(cls, shown: Sequence[str], read: Sequence[str | None]) -> Confusion:
        """Counts names of `EXPRESSIONS`; None where no face was found."""
        counts = np.zeros((len(EXPRESSIONS), len(EXPRESSIONS) + 1), np.int64)
        for truth, found in zip(shown, read, strict=True):
            column = len(EXPRESSIONS) if found is None else EXPRESSIONS.index(found)
            counts[EXPRESSIONS.index(truth), column] += 1
        return cls(counts)

    @property
    def present(self) -> np.ndarray:
        """(7,) bool, which expressions were shown at all."""
        return self.counts.sum(1) > 0

    @property
    def accuracy(self) -> np.ndarray:
        """(7,) share of each expression that was recognised; NaN where it was not shown."""
        totals = self.counts.sum(1)
        right = np.diagonal(self.counts)
        return np.where(totals > 0, right / np.maximum(totals, 1), np.nan)

    @property
    def mean_class_accuracy(self) -> float:
        """Mean of `accuracy` over the expressions that were shown."""
        return float(np.nanmean(self.accuracy))

    def report(self, about: str) -> Report:
        """Shares of each row in percent, and the numbers behind them."""
        total = self.counts.sum(1, keepdims=True)
        names = [name for name, there in zip(EXPRESSIONS, self.present, strict=True) if there]
        shares = (100 * self.counts / np.maximum(total, 1))[self.present]
        return Report(
            f"{about}: mean class accuracy {self.mean_class_accuracy:.1%} over {len(names)} classes",
            ["shown", "photos", *(f"{name} %" for name in (*EXPRESSIONS, NO_FACE))],
            [
                [name, str(count), *(f"{share:.0f}" if share else "" for share in row)]
                for name, count, row in zip(names, total[self.present, 0], shares, strict=True)
            ],
            {
                "mean_class_accuracy": self.mean_class_accuracy,
                "accuracy": {name: float(self.accuracy[EXPRESSIONS.index(name)]) for name in names},
                "read": [*EXPRESSIONS, NO_FACE],
                "counts": {name: self.counts[EXPRESSIONS.index(name)].tolist() for name in names},
            },
            {"": lambda: png_bytes(self.figure())},
        )

    def figure(self) -> np.ndarray:
        """(H, W, 3) uint8 the confusion matrix: rows shown, columns read, shares of each row in percent."""
        rows = np.flatnonzero(self.present)
        columns = np.arange(len(EXPRESSIONS) + bool(self.counts[:, -1].any()))
        names = [(*EXPRESSIONS, NO_FACE)[column] for column in columns]
        corner = np.array([_LABEL_PX, 2 * _CELL_PX // 3])
        size = corner + _CELL_PX * np.array([len(columns), len(rows)]) + 8
        picture = Image.new("RGB", tuple(map(int, size)), "white")
        draw, font = ImageDraw.Draw(picture), ImageFont.load_default(15)
        draw.text((8, 8), f"mean class accuracy\n{self.mean_class_accuracy:.1%}", "black", font)
        for place, name in enumerate(names):
            draw.text((corner[0] + (place + 0.5) * _CELL_PX, corner[1] - 8), name, "black", font, anchor="ms")
        for line, row in enumerate(rows):
            total, top = self.counts[row].sum(), corner[1] + line * _CELL_PX
            label = f"{EXPRESSIONS[row]} ({total})"
            draw.text((corner[0] - 8, top + _CELL_PX / 2), label, "black", font, anchor="rm")
            for place, column in enumerate(columns):
                share, left = self.counts[row, column] / total, corner[0] + place * _CELL_PX
                ink = tuple(np.rint(_PAPER + share * (_INK - _PAPER)).astype(int))
                draw.rectangle([left, top, left + _CELL_PX - 2, top + _CELL_PX - 2], ink)
                if share:
                    middle, colour = (
                        (left + _CELL_PX / 2, top + _CELL_PX / 2),
                        "white" if share > 0.5 else "black",
                    )
                    draw.text(middle, f"{100 * share:.0f}", colour, font, anchor="mm")
        return np.asarray(picture)


def rest_report(about: str, names: Sequence[str], coefficients: np.ndarray) -> Report:
    """How far from zero coefficients (N, E) of faces at rest are."""
    mean, deviation = coefficients.mean(0), coefficients.std(0)
    return Report(
        f"{about}: {mean.mean():.3f} in the mean of all coefficients, {mean.max():.2f} in the highest",
        ["coefficient", "mean", "deviation"],
        [[name, f"{m:.2f}", f"{d:.2f}"] for name, m, d in zip(names, mean, deviation, strict=True)],
        {
            "mean": dict(zip(names, map(float, mean), strict=True)),
            "deviation": dict(zip(names, map(float, deviation), strict=True)),
            "photographs": len(coefficients),
        },
    )
