"""`mien train-expression`: the recogniser of expressions, from emotions that are made."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from mien.cli.results import check_place
from mien.cli.status import Status
from mien.cli.terminal import show


@dataclass(frozen=True)
class TrainExpression:
    """Train the recogniser of expressions, on emotions that are made: no label of a photograph is used.

    Examples:
      mien train-expression -o expression.safetensors        the packaged one again, in seconds
      mien expression photo.jpg --recogniser expression.safetensors
      mien train-expression --prototypes bfm.csv --model bfm/2017 -o bfm-expression.safetensors

    A table of prototypes is comma-separated, with a column for each of anger, disgust, fear, happiness,
    neutral, sadness, surprise and a row for each expression coefficient of the model.

    Exit status: 0 done; 2 wrong usage; 4 the table cannot be read or the file not be written.
    """

    out: Annotated[Path, arg(aliases=("-o",), metavar="FILE")] = Path("expression.safetensors")
    """The file."""
    prototypes: Annotated[Path | None, arg(metavar="TABLE")] = None
    """Prototypes of another model, in place of the packaged ARKit ones."""
    model: Annotated[str | None, arg(metavar="NAME/VERSION")] = None
    """The model that the table's coefficients belong to."""
    seed: int = 0
    """Of weights and codes."""

    def run(self) -> int:
        """Trains and writes."""
        if (self.prototypes is None) != (self.model is None):
            print("mien train-expression: --prototypes and --model need each other", file=sys.stderr)
            return Status.USAGE
        check_place(self.out)
        from mien.expressions.prototypes import read_prototypes
        from mien.training.recogniser import train

        options = {}
        if self.prototypes is not None:
            options = {"model": self.model, "table": read_prototypes(self.prototypes)}
        share = train(self.out, self.seed, progress=_track, **options)
        show(f"{self.out}: recognises {share:.1%} of codes like those it has learned from")
        return Status.DONE


def _track(steps: Iterable[int]) -> Iterable[int]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(steps, "training", console=console, disable=not console.is_terminal, transient=True)
