"""Tables of results: on the screen, as Markdown and as JSON, and one page of all that a folder holds."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mien.errors import UnreadableInput
from mien.files import write_whole


@dataclass(frozen=True)
class Report:
    """A table and the numbers behind it.

    Attributes:
        about: what was measured on what, in a line.
        columns, rows: of the table, as text; the first column names the row.
        data: everything, unrounded, for JSON.
        figures: what draws each PNG file, by what its name ends in: "" for the main one, ".faces", say, for
            another.
    """

    about: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    data: dict[str, Any]
    figures: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)

    def show(self, console: Console, out: Path | None = None) -> None:
        """Prints the table; with `out` also writes the files of `write`."""
        console.print(self.table())
        if out is not None:
            self.write(out)

    def table(self) -> Table:
        """The table for the screen."""
        table = Table(title=self.about)
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="left" if number == 0 else "right")
        for row in self.rows:
            table.add_row(*row)
        return table

    def write(self, out: Path) -> None:
        """Writes `out`.md, `out`.json with data and table, and `out`.png and others, making their folder.

        Raises:
            CannotWrite: as `mien.files.write_whole`.
            MissingLibrary: matplotlib, which draws most figures, is not installed.
        """
        out.parent.mkdir(parents=True, exist_ok=True)
        table = {"columns": list(self.columns), "rows": [list(row) for row in self.rows]}
        contents = {"about": self.about, **_without_nan(self.data), "table": table}
        for ending, draw in self.figures.items():
            write_whole(out.with_name(f"{out.name}{ending}.png"), draw())
        write_whole(out.with_name(f"{out.name}.md"), self.markdown().encode())
        text = json.dumps(contents, indent=1, allow_nan=False) + "\n"
        write_whole(out.with_name(f"{out.name}.json"), text.encode())

    def markdown(self) -> str:
        """The table in GitHub's Markdown under its line."""
        lines = [self.columns, ["---"] + ["---:"] * (len(self.columns) - 1), *self.rows]
        return f"{self.about}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def page_of(folder: Path, page: Path) -> str:
    """All results of `Report.write` in a folder and below it as one page of Markdown.

    Args:
        folder: of the results.
        page: where the page will be; figures are linked from there.

    Raises:
        UnreadableInput: there is no such folder, or no result in it.
    """
    if not folder.is_dir():
        raise UnreadableInput(f"{folder}: is no folder; name the one that `mien evaluate ... -o` wrote to")
    sections = []
    for file, report in _results(folder):
        name = file.relative_to(folder).with_suffix("").as_posix()
        links = "".join(
            f"\n![{name}]({Path(os.path.relpath(figure, page.parent)).as_posix()})\n"
            for figure in sorted(
                [*file.parent.glob(f"{file.stem}.png"), *file.parent.glob(f"{file.stem}.*.png")]
            )
        )
        sections.append(f"## {name}\n\n{report.markdown()}{links}")
    if not sections:
        raise UnreadableInput(
            f"{folder}: holds no results; give the folder that `mien evaluate ... -o` wrote to"
        )
    return "# Evaluation\n\n" + "\n".join(sections)


def _results(folder: Path) -> Iterator[tuple[Path, Report]]:
    """The results in a folder and below it; JSON files of other kinds are passed over."""
    for file in sorted(folder.rglob("*.json")):
        try:
            contents = json.loads(file.read_bytes())
            table = contents["table"]
            yield file, Report(str(contents["about"]), table["columns"], table["rows"], contents)
        except (OSError, ValueError, KeyError, TypeError):
            continue


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: null in its place."""
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
