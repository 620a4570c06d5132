"""The rounds of a bootstrapping: what each of them gained."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mien.errors import UnreadableInput
from mien.evaluation.figures import COLOURS, panels, png_of
from mien.evaluation.report import Report

RESULT = "bootstrap.json"


@dataclass(frozen=True)
class Stages:
    """What `mien bootstrap` measured, before its first round and after each.

    Attributes:
        stages: {"nme478": mean landmark error, "rmse": photometric} of each, on photographs held out.
        held_out, photographs: how many were measured on, of how many.
    """

    stages: list[dict[str, float]]
    held_out: int
    photographs: int

    @classmethod
    def read(cls, folder: Path) -> Stages:
        """From the folder of a finished `mien bootstrap`.

        Raises:
            UnreadableInput: there is none, or its table is damaged.
        """
        file = folder / RESULT
        try:
            contents: dict[str, Any] = json.loads(file.read_bytes())
            stages = [{key: float(stage[key]) for key in ("nme478", "rmse")} for stage in contents["stages"]]
            if len(stages) < 2:
                raise ValueError("it has no rounds")
            return cls(stages, int(contents["held_out"]), int(contents["photographs"]))
        except OSError as error:
            raise UnreadableInput(
                f"{file}: cannot be read ({error.strerror}); name the folder of a finished `mien bootstrap`"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadableInput(
                f"{file}: damaged ({error}); run `mien bootstrap` to its end again"
            ) from error

    @property
    def names(self) -> list[str]:
        """Of the stages."""
        return [f"after round {n}" if n else "before" for n in range(len(self.stages))]

    def report(self) -> Report:
        """Table, numbers and figure."""
        first = self.stages[0]
        rows = [
            [name, f"{s['nme478']:.2%}", f"{s['rmse']:.4f}"]
            + [f"{s[key] / first[key] - 1:+.1%}" for key in ("nme478", "rmse")]
            for name, s in zip(self.names, self.stages, strict=True)
        ]
        return Report(
            f"the network alone on {self.held_out} photographs held out of {self.photographs}",
            ["", "NME 478", "RMSE", "change of NME", "change of RMSE"],
            rows,
            {"stages": self.stages, "held_out": self.held_out, "photographs": self.photographs},
            {"": self.figure},
        )

    def figure(self) -> bytes:
        """PNG: a bar for each stage.

        Raises:
            MissingLibrary: matplotlib is not installed.
        """
        figure, (axes,) = panels(2, width=3.6, height=3.0)
        titles = {"nme478": "landmarks (478), % of the eye distance", "rmse": "photometric RMSE"}
        for panel, (key, title), colour in zip(axes, titles.items(), COLOURS, strict=False):
            values = np.array([stage[key] for stage in self.stages]) * (100 if key == "nme478" else 1)
            panel.bar(range(len(values)), values, color=colour, width=0.6)
            panel.set_xticks(
                range(len(values)), [name.replace(" round", "\nround") for name in self.names], fontsize=8
            )
            panel.set_title(title, fontsize=9)
        return png_of(figure)


def networks_of(folder: Path, rounds: int) -> list[Path]:
    """Where the networks of the stages are: what the first round started from, then each round's run.

    Raises:
        BadTraining: a round's settings are missing or damaged.
    """
    from mien.training.config import read_config

    runs = [folder / f"round{number}" for number in range(1, rounds + 1)]
    return [Path(read_config(runs[0])["initial"]), *runs]
