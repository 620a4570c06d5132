"""What TensorBoard's events of training runs say: losses and errors over the pictures seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien.errors import UnreadableInput
from mien.evaluation.figures import COLOURS, DASHES, panels, png_of
from mien.evaluation.report import Report

ROWS = 10
"""Rows of the table for each run, at equal shares of its pictures."""

_TAGS = {
    "training": "train/total",
    "validation": "validation/total",
    "nme478": "validation/nme478",
    "rmse": "validation/rmse",
}
_PANELS = {
    "nme478": "landmarks (478) on photographs, % of the eye distance",
    "rmse": "photometric RMSE on photographs",
}


@dataclass(frozen=True, eq=False)
class Curve:
    """One figure over a run.

    Attributes:
        pictures: (N,) int64, seen when it was noted; rising.
        values: (N,) float64.
    """

    pictures: np.ndarray
    values: np.ndarray

    def between(self, after: float, last: float) -> np.ndarray:
        """The values noted after more than `after` and at most `last` pictures."""
        return self.values[(self.pictures > after) & (self.pictures <= last)]


@dataclass(frozen=True, eq=False)
class TrainingLog:
    """What a run of `mien train` noted.

    Attributes:
        training, validation: total loss, of single batches and of held-out pictures.
        nme478, rmse: on photographs, as `mien.training.bootstrap.judge`; empty without `--photos`.
    """

    training: Curve
    validation: Curve
    nme478: Curve
    rmse: Curve

    @classmethod
    def read(cls, folder: Path) -> TrainingLog:
        """From the folder of a run, finished or not; what a resumed run did twice counts the second time.

        Raises:
            UnreadableInput: there are no events, or no loss in them.
        """
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        if not any(folder.glob("*tfevents*")):
            raise UnreadableInput(f"{folder}: holds no TensorBoard events; name the folder of a `mien train`")
        try:
            events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
        except Exception as error:  # the readers of events have no common class of errors
            raise UnreadableInput(
                f"{folder}: its TensorBoard events are damaged ({error}); name the folder of a `mien train`"
            ) from error
        present = events.Tags()["scalars"]
        if not {_TAGS["training"], _TAGS["validation"]} & set(present):
            raise UnreadableInput(
                f"{folder}: its TensorBoard events have no losses; name the folder of a `mien train` "
                "of at least 20 steps"
            )
        curves = {}
        for name, tag in _TAGS.items():
            last = {event.step: event.value for event in events.Scalars(tag)} if tag in present else {}
            pictures = sorted(last)
            curves[name] = Curve(np.array(pictures, np.int64), np.array([last[at] for at in pictures], float))
        return cls(**curves)

    @property
    def pictures(self) -> int:
        """Seen when the last figure was noted."""
        return max(int(curve.pictures[-1]) for curve in self.curves.values() if len(curve.pictures))

    @property
    def curves(self) -> dict[str, Curve]:
        """All, by name."""
        return {name: getattr(self, name) for name in _TAGS}

    def rows(self) -> list[tuple[int, dict[str, float]]]:
        """Pictures seen and figures at up to `ROWS` equal shares of the pictures.

        The training loss is the mean since the row before, the others are the last since then; NaN where
        none was noted.
        """
        noted = np.unique(np.concatenate([curve.pictures for curve in self.curves.values()]))
        rows, before = [], 0
        for mark in self.pictures * np.arange(1, ROWS + 1) / ROWS:
            since = noted[(noted > before) & (noted <= mark)]
            if not len(since):
                continue
            at = int(since[-1])
            found = {name: curve.between(before, at) for name, curve in self.curves.items()}
            figures = {name: float(values[-1]) if len(values) else np.nan for name, values in found.items()}
            if len(found["training"]):
                figures["training"] = float(found["training"].mean())
            rows.append((at, figures))
            before = at
        return rows


def training_report(logs: Mapping[str, TrainingLog]) -> Report:
    """Table, numbers and figure of some runs by their names; of several the first column is the name."""
    several = len(logs) > 1
    shown = {"training": ("training loss", ".3f"), "validation": ("validation loss", ".3f")}
    for name, title, form in (("nme478", "NME 478", ".2%"), ("rmse", "RMSE", ".4f")):
        if any(len(log.curves[name].pictures) for log in logs.values()):
            shown[name] = title, form
    rows = [
        [run] * several
        + [f"{pictures:,}"]
        + [
            "" if np.isnan(figures[name]) else format(figures[name], form)
            for name, (_, form) in shown.items()
        ]
        for run, log in logs.items()
        for pictures, figures in log.rows()
    ]
    data = {
        run: {
            name: {"pictures": curve.pictures.tolist(), "values": curve.values.tolist()}
            for name, curve in log.curves.items()
        }
        for run, log in logs.items()
    }
    return Report(
        f"training of {', '.join(logs)}; the training loss is the mean since the row before",
        ["run"] * several + ["pictures"] + [title for title, _ in shown.values()],
        rows,
        {"runs": data},
        {"": lambda: training_figure(logs)},
    )


def training_figure(logs: Mapping[str, TrainingLog]) -> bytes:
    """PNG: the losses, and on photographs the errors, over the pictures seen.

    Raises:
        MissingLibrary: matplotlib is not installed.
    """
    from matplotlib.ticker import EngFormatter, ScalarFormatter

    judged = [name for name in _PANELS if any(len(log.curves[name].pictures) for log in logs.values())]
    figure, (axes,) = panels(1 + len(judged))
    for number, (run, log) in enumerate(logs.items()):
        look = {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)]}
        loss = axes[0]
        loss.plot(log.training.pictures, log.training.values, linewidth=0.6, alpha=0.7, **look)
        # a single point makes no line
        thick = {"linewidth": 2.0, "marker": "o", "markersize": 3.5, **look}
        loss.plot(log.validation.pictures, log.validation.values, label=run, **thick)
        for panel, name in zip(axes[1:], judged, strict=True):
            curve = log.curves[name]
            panel.plot(curve.pictures, curve.values * (100 if name == "nme478" else 1), label=run, **thick)
    axes[0].set_yscale("log")
    for which in (axes[0].yaxis.set_major_formatter, axes[0].yaxis.set_minor_formatter):
        which(ScalarFormatter())
    for panel, title in zip(
        axes, ["loss: training thin, validation thick", *map(_PANELS.get, judged)], strict=True
    ):
        panel.set_title(title, fontsize=9)
        panel.set_xlabel("pictures")
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
        panel.tick_params(labelsize=8, which="both")
        panel.grid(alpha=0.3, which="both")
        panel.legend(fontsize=8)
    return png_of(figure)
