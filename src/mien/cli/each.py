"""One input after the other: a bar while it lasts, and of each that fails one line and the exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from mien.cli.status import Status
from mien.errors import MienError, MissingLibrary, NoFace, UnreadableInput

Result = TypeVar("Result")


def attempt(
    item: Path | UnreadableInput, action: Callable[[Path], Result]
) -> tuple[Result | None, str, Status]:
    """What an action makes of one input, or why it does not: result, message, status."""
    try:
        if isinstance(item, UnreadableInput):
            raise item
        return action(item), "", Status.DONE
    except NoFace as error:
        return None, str(error), Status.NO_FACE
    except MienError as error:
        return None, str(error), Status.UNREADABLE
    except MemoryError:
        message = f"{item}: too large for this machine's memory; scale it down"
    except ImportError as error:
        message = str(MissingLibrary(f"{item}: a library is missing on this machine ({error}); install it"))
    except Exception as error:  # one input's trouble must not cost the others their turn
        message = f"{item}: a bug in mien ({type(error).__name__}: {error}); please report it"
    return None, message, Status.UNREADABLE


def no_face(path: Path) -> NoFace:
    """The error of a photograph in which none was found."""
    return NoFace(f"{path}: no face found; try a picture where it is larger, sharper or less covered")


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
