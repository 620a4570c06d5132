"""`mien evaluate report`: all results of a folder on one page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from mien.cli.status import Status
from mien.cli.terminal import show


@dataclass(frozen=True)
class EvaluateReport:
    """Write a page of Markdown with all results in a folder.

    Examples:
      mien evaluate report results                     results/report.md
      mien evaluate report results -o evaluation.md

    Takes what the other measurements wrote with -o, in the folder and below it: the table of each .json, and
    the figures beside it, which the page links to.

    Exit status: 0 done; 4 the folder holds no results, or the page cannot be written.
    """

    folder: Positional[Annotated[Path, arg(metavar="DIR")]]
    """Of results."""
    out: Annotated[Path | None, arg(aliases=("-o",), metavar="FILE")] = None
    """The page; report.md in the folder if not given."""

    def run(self) -> int:
        """Collects and writes."""
        from mien.evaluation.report import page_of
        from mien.files import write_whole

        page = self.out or self.folder / "report.md"
        write_whole(page, page_of(self.folder, page).encode())
        show(str(page))
        return Status.DONE
