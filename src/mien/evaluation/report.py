"""Tables of results: on the screen, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Report:
    """A table and the numbers behind it.

    Attributes:
        about: what was measured on what, in a line.
        columns, rows: of the table, as text; the first column names the row.
        data: everything, unrounded, for JSON.
    """

    about: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    data: dict[str, Any]

    def show(self, console: Console, out: Path | None = None) -> None:
        """Prints the table; with `out` also writes `out`.md and `out`.json."""
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
        """Writes `out`.md and `out`.json, making their folder."""
        out.parent.mkdir(parents=True, exist_ok=True)
        out.with_suffix(".md").write_text(self.markdown())
        out.with_suffix(".json").write_text(json.dumps({"about": self.about, **self.data}, indent=1) + "\n")

    def markdown(self) -> str:
        """The table in GitHub's Markdown under its line."""
        lines = [self.columns, ["---"] + ["---:"] * (len(self.columns) - 1), *self.rows]
        return f"{self.about}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)
