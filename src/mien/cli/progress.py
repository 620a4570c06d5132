"""A progress bar over inputs, and lines said while it is drawn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def progress(total: int) -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    """Two functions: one to call before each input, one that says a line on standard error.

    A bar is drawn for several inputs in a terminal.
    """

    def one_line(text: str) -> str:
        return " ".join(text.split())

    if total < 2 or not sys.stderr.isatty():
        yield lambda name: None, lambda line: print(one_line(line), file=sys.stderr, flush=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        started = iter(range(total))

        def advance(name: str) -> None:
            from rich.markup import escape

            bar.update(task, completed=next(started), description=escape(Path(name).name))

        yield (
            advance,
            lambda line: bar.console.print(one_line(line), markup=False, highlight=False, soft_wrap=True),
        )
