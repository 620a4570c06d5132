"""`mien evaluate expression` and `rest`: how often expressions are recognised in labelled photographs."""

from __future__ import annotations

import difflib
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from mien.cli.evaluate.measured import pictures_in, prepare, read_each, show_report
from mien.cli.reading import ReaderOptions, codes_in
from mien.cli.status import Status
from mien.errors import UnreadableInput

if TYPE_CHECKING:
    from mien.cli.reading import Reader
    from mien.facecode import FaceCode


@dataclass(frozen=True)
class EvaluateExpression:
    """Count how often expressions are recognised in labelled photographs.

    Examples:
      mien evaluate expression faces/                   a table
      mien evaluate expression faces/ -o figures        also expression.png, .md and .json
      mien evaluate expression faces/ --own-neutral     each face read against the same person's neutral one
      mien evaluate expression faces/ --preset thesis --encoder thesis.onnx
                                                        as the thesis reads them, see docs/thesis.md

    The folder has a sub-folder for each class: anger, disgust, fear, happiness, neutral, sadness, surprise,
    or some of these. A photograph in which no face is found counts as not recognised. For --own-neutral names
    begin with the person, up to the first dot, dash or underscore: 07_happy.png with neutral/07_normal.png.
    Neutral photographs are then not counted, nor who has none.

    Exit status: 0 done; 2 wrong usage; 3 some photograph has no face; 4 some folder or photograph cannot be
    read.
    """

    folder: Positional[Annotated[Path, arg(metavar="FOLDER")]]
    """Of the labelled photographs."""
    out: Annotated[Path | None, arg(aliases=("-o",), metavar="DIR")] = None
    """Folder for the figure, the table and the numbers; made if it is not there."""
    own_neutral: bool = False
    """Read each face against the same person's neutral one."""
    reader: ReaderOptions = field(default_factory=ReaderOptions)
    """How faces are read."""
    limit: Annotated[int | None, arg(metavar="N")] = None
    """At most so many photographs of each class, evenly chosen."""

    def run(self) -> int:
        """Reads all photographs and counts."""
        from mien.evaluation.expressions import Confusion
        from mien.expressions.recognition import expression

        if wrong := self._wrong_usage():
            print(f"mien evaluate expression: {wrong}", file=sys.stderr)
            return Status.USAGE
        prepare(self.out, figures=False)
        read, recogniser = self.reader.open()
        photos, worst = _labelled(self.folder, self.limit)
        codes, status = _codes([path for _, path in photos], read)
        worst = max(worst, status)
        neutral = {_person(path): codes.get(path) for label, path in photos if label == "neutral"}
        if self.own_neutral:
            photos = [
                (label, path) for label, path in photos if label != "neutral" and neutral.get(_person(path))
            ]
            if not photos:
                raise UnreadableInput(
                    f"{self.folder}: nobody has a neutral photograph; put them into its folder neutral, "
                    "with names that begin as the others of the same person"
                )

        def label_of(path: Path) -> str | None:
            if path not in codes:
                return None
            against = neutral[_person(path)] if self.own_neutral else None
            return expression(codes[path], against, recogniser).label

        confusion = Confusion.of([label for label, _ in photos], [label_of(path) for _, path in photos])
        about = f"{len(photos)} photographs of {self.folder.name}"
        about += ", against own neutral faces" if self.own_neutral else ""
        about += ", as the thesis reads them" if self.reader.is_thesis else ""
        report = confusion.report(about)
        show_report(report, self.out, "expression")
        return worst

    def _wrong_usage(self) -> str | None:
        if self.reader.is_thesis and not self.reader.encoder:
            return "photographs need an encoder of the preset; name one (--encoder)"
        return self.reader.wrong_usage()


@dataclass(frozen=True)
class EvaluateRest:
    """Measure how far from zero the 52 coefficients of neutral faces are.

    Examples:
      mien evaluate rest faces/neutral
      mien evaluate rest faces/neutral -o figures       also rest.md and rest.json

    Exit status: 0 done; 3 some photograph has no face; 4 some photograph cannot be read.
    """

    folder: Positional[Annotated[Path, arg(metavar="FOLDER")]]
    """Of photographs of people at rest."""
    out: Annotated[Path | None, arg(aliases=("-o",), metavar="DIR")] = None
    """Folder for the table and the numbers; made if it is not there."""
    limit: Annotated[int | None, arg(metavar="N")] = None
    """At most so many photographs, evenly chosen."""

    def run(self) -> int:
        """Reads all photographs and averages."""
        import numpy as np

        from mien.evaluation.expressions import rest_report
        from mien.facecode import ARKIT_NAMES

        prepare(self.out, figures=False)
        codes, worst = _codes(pictures_in(self.folder, self.limit), codes_in)
        if codes:
            coefficients = np.array([code.expression for code in codes.values()])
            about = f"{len(codes)} photographs of {self.folder.name}"
            show_report(rest_report(about, ARKIT_NAMES, coefficients), self.out, "rest")
        return worst


def _labelled(folder: Path, limit: int | None) -> tuple[list[tuple[str, Path]], Status]:
    """Class and file of each photograph; a line on standard error for each sub-folder of no class.

    Raises:
        UnreadableInput: no such folder, or none in it that is named as a class.
    """
    from mien.expressions.prototypes import EXPRESSIONS

    if not folder.is_dir():
        raise UnreadableInput(f"{folder}: is no folder; name one with a sub-folder for each class")
    photos, status = [], Status.DONE
    for place in sorted(path for path in folder.iterdir() if path.is_dir() and path.name[:1] != "."):
        label = place.name.lower()
        if label in EXPRESSIONS:
            try:
                photos += [(label, path) for path in pictures_in(place, limit)]
            except UnreadableInput as error:
                print(error, file=sys.stderr)
                status = Status.UNREADABLE
            continue
        near = difflib.get_close_matches(label, EXPRESSIONS, n=1, cutoff=0.0)[0]
        print(f"{place}: is no class; rename it, perhaps to {near}, or take it away", file=sys.stderr)
        status = Status.UNREADABLE
    if not photos:
        raise UnreadableInput(
            f"{folder}: no photographs in sub-folders named {', '.join(EXPRESSIONS)}; sort them into these"
        )
    return photos, status


def _codes(photos: list[Path], read: Reader) -> tuple[dict[Path, FaceCode], Status]:
    """The code of the largest face of each photograph that has one."""
    done, status = read_each(photos, lambda photo: photo, lambda photo: read(photo, 1)[0])
    return dict(done), status


def _person(path: Path) -> str:
    return re.split(r"[._-]", path.name)[0]
