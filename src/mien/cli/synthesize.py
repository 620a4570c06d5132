"""`mien synthesize`: random labelled pictures to a folder."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from mien.cli.status import Status
from mien.cli.terminal import show

if TYPE_CHECKING:
    from mien.synthesis import Recipe

_SIZES = (32, 1024)
_MOST_JOBS = 1024


@dataclass(frozen=True)
class Synthesize:
    """Make random labelled pictures of faces, to train networks on.

    Examples:
      mien synthesize faces -n 1000                    a thousand pictures, to look at
      mien synthesize faces -n 1000000 --size 224      a million larger ones; again, after an interruption
      mien synthesize faces -n 2000000 --size 224      a million more
      mien synthesize held-out -n 10000 --seed 1       other people, for validation
      mien synthesize faces -n 1000 --format jpg       a quarter of the room
      mien synthesize faces -n 1000 --edited portraits/
                                                       half of them photographs whose faces do something else
      mien synthesize faces -n 1000 --preset thesis    hulls of Basel faces, as in docs/thesis.md

    The folder gets pictures, 000012/000012345.png, and one table, corpus.safetensors, of the face code behind
    each and of 478 landmarks. The same settings give the same bytes whatever the number of jobs, and make
    only what is missing. In Python: mien.synthesis.corpus.open_corpus("faces").

    Exit status: 0 all done; 2 wrong usage; 4 the folder cannot be used or written (what is done is kept).
    """

    folder: Positional[Annotated[Path, arg(metavar="DIR")]]
    """Folder of the corpus; new, empty, or with a corpus of the same settings, which goes on."""
    count: Annotated[int, arg(name="n", aliases=("-n",), metavar="N")]
    """Pictures that the corpus has in the end."""
    seed: Annotated[int, arg(metavar="S")] = 0
    """Chooses the pictures; any number from 0."""
    size: Annotated[int | None, arg(metavar="PX")] = None
    """Side of a picture in pixels; 112 if not given, the thesis's 224."""
    jobs: Annotated[int | None, arg(metavar="N")] = None
    """Processes, of one thread each; as many as the machine has processors if not given."""
    format: Literal["png", "jpg"] = "png"
    """Of the pictures: exact, or small (JPEG of quality 95)."""
    detected: Annotated[float, arg(metavar="SHARE")] = 0.0
    """Share of the random pictures, 0 to 1, whose landmarks the detector itself finds in them; those of the
    others are simulated, which is quicker."""
    edited: Annotated[Path | None, arg(metavar="DIR")] = None
    """Photographs, of which half of the pictures are made: random expressions are put into them, which alone
    are known (the rest of their codes is nan). A fifth of them, chosen by name, is left for measuring. For a
    face model with ARKit's expressions."""
    model: Annotated[str | None, arg(metavar="NAME")] = None
    """Face model, as `mien models list` names them; anny if not given, the thesis's bfm2017."""
    preset: Literal["mien", "thesis"] = "mien"
    """Whose codes and crops the pictures show."""

    def run(self) -> int:
        """Makes what is missing."""
        if wrong := self._wrong_usage():
            print(f"mien synthesize: {wrong}", file=sys.stderr)
            return Status.USAGE
        from mien.cli.photographs import portraits_of
        from mien.morphable import load_model
        from mien.synthesis.corpus_writer import synthesize

        recipe, model = self._recipe()
        portraits = self.edited and partial(portraits_of, self.edited, model, recipe.size)
        done: list[int] = []
        try:
            with _progress(self.count) as advance:

                def note(pictures: int) -> None:
                    done.append(pictures)
                    advance(pictures)

                synthesize(
                    self.folder,
                    self.count,
                    recipe,
                    self.seed,
                    format=self.format,
                    jobs=self.jobs or _processors(),
                    edited=self.edited,
                    load=partial(load_model, model),
                    portraits=portraits,
                    advance=note,
                )
        except KeyboardInterrupt:
            finished = done[-1] if done else 0
            print(
                f"mien: interrupted, {finished:,} of {self.count:,} pictures are done; "
                "the same command goes on from there",
                file=sys.stderr,
            )
            return Status.INTERRUPTED
        show(f"{self.count:,} pictures in {self.folder}, {self.count - done[0]:,} of them new")
        return Status.DONE

    def _recipe(self) -> tuple[Recipe, str]:
        """What the pictures are made of, and the model's name in full."""
        from mien.synthesis import Recipe
        from mien.thesis import preset

        if self.preset == "thesis":
            return preset.recipe(self.size or preset.SIDE), preset.model_name(self.model or preset.MODEL)
        return Recipe(size=self.size or Recipe.size, detected=self.detected), self.model or "anny"

    def _wrong_usage(self) -> str | None:
        from mien.cli.models import model_names
        from mien.model_files.store import unknown_model

        if self.count < 1:
            return f"-n is {self.count}, must be 1 or more"
        if self.seed < 0:
            return f"--seed is {self.seed}, must be 0 or more"
        if self.size is not None and not _SIZES[0] <= self.size <= _SIZES[1]:
            return f"--size is {self.size}, must be {_SIZES[0]} to {_SIZES[1]} pixels"
        if not 0 <= self.detected <= 1:
            return f"--detected is {self.detected}, must be 0 to 1"
        if self.preset == "thesis" and (self.detected or self.edited):
            return "--detected and --edited are for pictures of mien's own; leave them out"
        if self.jobs is not None and not 1 <= self.jobs <= _MOST_JOBS:
            return f"--jobs is {self.jobs}, must be 1 to {_MOST_JOBS}"
        model = self._recipe()[1].partition(":")[0]
        if model not in model_names():
            return unknown_model(model)
        return None


def _processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A function to tell how many pictures there are; it draws a bar, in a terminal only."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f} pictures/s, left"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True), transient=True, speed_estimate_period=300)
    task = bar.add_task("", total=total, rate=0.0)
    began: list[tuple[float, int]] = []

    def advance(done: int) -> None:
        bar.start()  # only now: the bar of photographs that are read has ended
        began.append((time.monotonic(), done))
        start, before = began[0]
        rate = (done - before) / max(time.monotonic() - start, 1e-3)
        bar.update(task, completed=done, rate=rate)

    try:
        yield advance
    finally:
        bar.stop()
