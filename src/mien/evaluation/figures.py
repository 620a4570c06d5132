"""What the figures of evaluation share: colours that the colour-blind tell apart, curves, pictures in a grid.

The colours: M. Okabe, K. Ito, "Color Universal Design", 2002. Lines differ in their dashes too.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from mien.errors import MissingLibrary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
"""Okabe and Ito's, the ones with most contrast on white first."""
DASHES = ("-", "--", "-.", ":")

_DPI = 140


def need_figures() -> None:
    """Says before the work what drawing would say after it.

    Raises:
        MissingLibrary: matplotlib is not installed.
    """
    if not find_spec("matplotlib"):
        raise MissingLibrary("matplotlib: needed for the figures; pip install 'mien[figures]'")


def panels(
    count: int, rows: int = 1, width: float = 4.6, height: float = 3.8
) -> tuple[Figure, Sequence[Sequence[Axes]]]:
    """A figure and its rows of `count` panels, each `width` by `height` inches.

    Raises:
        MissingLibrary: matplotlib is not installed.
    """
    need_figures()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * count, height * rows), dpi=_DPI, layout="constrained")
    return figure, figure.subplots(rows, count, squeeze=False)


def draw_curves(
    axes: Axes, x: np.ndarray, curves: Mapping[str, np.ndarray], names: Sequence[str], unit: str, what: str
) -> None:
    """Cumulative curves: by name the share (N,) of `what` that has an error of at most x (N,).

    The place in `names`, which are those of all panels, decides a curve's look.
    """
    for name, share in curves.items():
        number = names.index(name)
        look = {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)]}
        axes.plot(x, 100 * np.asarray(share), label=name, linewidth=1.6, **look)
    axes.set(xlim=(x[0], x[-1]), ylim=(0, 100), xlabel=f"error, {unit}", ylabel=f"{what}, %")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")


def faces_figure(columns: Sequence[str], rows: Sequence[Sequence[np.ndarray]], side: float = 1.6) -> bytes:
    """PNG of (H, W, 3) pictures in a grid, a title over each column; `side` inches each."""
    need_figures()
    from matplotlib.figure import Figure

    size = side * len(columns), side * len(rows) + 0.4
    figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    for line, row in zip(grid, rows, strict=True):
        for axes, picture in zip(line, row, strict=True):
            axes.imshow(np.clip(picture, 0, 1))
            axes.set_axis_off()
    for axes, title in zip(grid[0], columns, strict=True):
        axes.set_title(title, fontsize=8)
    return png_of(figure)


def png_of(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()
