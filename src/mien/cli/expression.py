"""`mien expression`: which expression faces show, how strongly, and their 52 coefficients."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from mien.cli.each import attempt, progress
from mien.cli.inputs import expand
from mien.cli.reading import ReaderOptions
from mien.cli.results import check_place
from mien.cli.status import Status
from mien.errors import NoFace

if TYPE_CHECKING:
    from mien.cli.reading import Reader
    from mien.expressions.recognition import Reading, Recogniser
    from mien.facecode import FaceCode
    from mien.thesis.expressions import BaseExpressions


@dataclass(frozen=True)
class Expression:
    """Read expressions: anger, disgust, fear, happiness, neutral, sadness, surprise; each with its strength.

    Examples:
      mien expression photo.jpg                              a table, one row a face
      mien expression photos/ -o faces.csv                   all pictures of a folder, for a spreadsheet
      mien expression 'takes/**/*.png' --neutral rest.jpg    one person, read against their own neutral face
      mien expression faces/*.face.json --format json        codes that `mien reconstruct` made
      mien expression photo.jpg --blendshapes                also ARKit's 52 coefficients
      mien expression photos/ --arkit frames.csv             these as Live Link Face records them
      mien expression photo.jpg --preset thesis --encoder thesis.onnx
                                                             as the thesis reads them, see docs/thesis.md

    The intensity goes from 0, neutral, to 5, the expression at its fullest. Without --neutral people count as
    neutral whose features lie like most people's at rest; with it the estimate is better.

    Exit status: 0 all done; 2 wrong usage; 3 some input has no face; 4 some input cannot be read or written.
    """

    inputs: Positional[
        Annotated[tuple[str, ...], arg(metavar="INPUT...", help_behavior_hint="(at least one)")]
    ]
    """Photo, folder of photos, glob, or .face.json; with the thesis's preset also a vector's .txt."""
    format: Literal["table", "csv", "json"] | None = None
    """What is written; if not given, what --out ends with, or else a table."""
    out: Annotated[Path | None, arg(aliases=("-o",), metavar="FILE")] = None
    """Where to; standard output if not given."""
    neutral: Annotated[Path | None, arg(metavar="PHOTO")] = None
    """The same person at rest: a photo, or its .face.json."""
    blendshapes: bool = False
    """Add the 52 coefficients, or the thesis's 64."""
    arkit: Annotated[Path | None, arg(metavar="FILE.csv")] = None
    """Also write the 52 coefficients and the rotations of head and eyes, a row a face."""
    reader: ReaderOptions = field(default_factory=ReaderOptions)
    """How faces are read."""
    vectors: Annotated[Path | None, arg(metavar="DIR")] = None
    """Also write the thesis's 231 numbers of each face, x_000001.txt and so on in the order of the rows."""
    max_faces: Annotated[int, arg(metavar="N")] = 8
    """Faces per photo at most, largest first."""

    def run(self) -> int:
        """Reads every input, one line on standard error for each that fails."""
        if wrong := self._wrong_usage():
            print(f"mien expression: {wrong}", file=sys.stderr)
            return Status.USAGE
        for path in (self.out, self.arkit):
            if path is not None:
                check_place(path)
        read, recogniser = self.reader.open()
        neutral = None
        if self.neutral is not None:
            try:
                neutral = read(self.neutral, 1)[0]
            except NoFace as error:
                print(f"--neutral {error}", file=sys.stderr)
                return Status.NO_FACE
        rows, worst = self._rows(read, recogniser, neutral)
        self._write(rows)
        return worst

    def _wrong_usage(self) -> str | None:
        if not self.inputs:
            return "give at least one photo, folder, glob or .face.json (mien expression --help)"
        if self.max_faces < 1:
            return f"--max-faces is {self.max_faces}, must be 1 or more"
        if self.reader.is_thesis and self.arkit:
            return "--arkit is not for --preset thesis; leave it out"
        if not self.reader.is_thesis and self.vectors:
            return "--vectors is the thesis's; add --preset thesis"
        return self.reader.wrong_usage()

    def _rows(
        self, codes_of: Reader, recogniser: Recogniser | BaseExpressions, neutral: FaceCode | None
    ) -> tuple[list[_Row], Status]:
        from mien.expressions.recognition import expression

        rows, worst, inputs = [], Status.DONE, list(expand(self.inputs))

        def read(path: Path) -> list[_Row]:
            codes = codes_of(path, self.max_faces)
            return [
                _Row(path, face, code, expression(code, neutral, recogniser))
                for face, code in enumerate(codes)
            ]

        with progress(len(inputs)) as (advance, say):
            for item in inputs:
                advance(str(item) if isinstance(item, Path) else "")
                found, message, status = attempt(item, read)
                rows += found or []
                worst = max(worst, status)
                if message:
                    say(message)
        return rows, worst

    def _write(self, rows: list[_Row]) -> None:
        from mien.export.arkit import arkit_csv
        from mien.files import write_together, write_whole

        ending = self.out.suffix.lower().removeprefix(".") if self.out else ""
        form = {"csv": _csv, "json": _json}.get(self.format or ending, _table)
        text = form([row.fields(self.blendshapes) for row in rows])
        if self.out is None:
            print(text, end="")
        else:
            write_whole(self.out, text.encode())
        if self.arkit is not None and rows:
            write_whole(self.arkit, arkit_csv([row.code for row in rows]))
        if self.vectors is not None:
            from mien.thesis.vectors import to_vector, vector_bytes

            named = {f"x_{n:06d}.txt": vector_bytes(to_vector(row.code)) for n, row in enumerate(rows, 1)}
            write_together(self.vectors, named)


@dataclass(frozen=True)
class _Row:
    """One face."""

    path: Path
    face: int
    code: FaceCode
    reading: Reading

    def fields(self, blendshapes: bool) -> dict[str, Any]:
        """By name, in the order of the columns."""
        from mien.morphable import load_model

        reading = self.reading
        fields = {
            "file": str(self.path),
            "face": self.face,
            "label": reading.label,
            "confidence": round(reading.confidence, 4),
            "intensity": round(reading.intensity, 3),
            **{name: round(value, 4) for name, value in reading.probabilities.items()},
        }
        if blendshapes:
            names = load_model(self.code.model.split("/")[0]).expression_names
            values = (round(float(value), 4) for value in self.code.expression)
            fields |= dict(zip(names, values, strict=True))
        return fields


def _table(rows: Sequence[dict[str, Any]]) -> str:
    """Columns in line, numbers to the right."""
    if not rows:
        return ""
    lines = [list(rows[0]), *([_shown(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left = [isinstance(value, str) for value in rows[0].values()]
    return "".join(
        "  ".join(
            cell.ljust(width) if to_left else cell.rjust(width)
            for cell, width, to_left in zip(line, widths, left, strict=True)
        ).rstrip()
        + "\n"
        for line in lines
    )


def _shown(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _json(rows: Sequence[dict[str, Any]]) -> str:
    return json.dumps(rows, indent=1) + "\n"
