"""What the measurements share: which pictures are read, one after the other, and where results go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mien.cli.each import attempt, progress
from mien.cli.inputs import PICTURE_SUFFIXES, expand
from mien.cli.status import Status
from mien.errors import CannotWrite, UnreadableInput

if TYPE_CHECKING:
    from mien.evaluation.report import Report

Item = TypeVar("Item")
Result = TypeVar("Result")


def pictures_in(folder: Path, limit: int | None = None) -> list[Path]:
    """The pictures directly in a folder, or at most so many of them, evenly chosen.

    Raises:
        UnreadableInput: there are none.
    """
    items = list(expand([str(folder)]))
    for item in items:
        if isinstance(item, UnreadableInput):
            raise item
    return evenly(items, limit)


def pictures_by_person(folder: Path) -> list[Path]:
    """The pictures directly in a folder and those directly in its sub-folders.

    Raises:
        UnreadableInput: there is no such folder.
    """
    if not folder.is_dir():
        raise UnreadableInput(f"{folder}: is no folder; name one with photographs of people")
    places = [*folder.iterdir(), *folder.glob("*/*")]
    return sorted(
        p for p in places if p.suffix.lower() in PICTURE_SUFFIXES and p.name[:1] != "." and p.is_file()
    )


def evenly(items: Sequence[Item], limit: int | None) -> list[Item]:
    """At most so many of them, evenly chosen."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[i * len(items) // limit] for i in range(limit)]


def read_each(
    items: Sequence[Item], path_of: Callable[[Item], Path], action: Callable[[Item], Result]
) -> tuple[list[tuple[Item, Result]], Status]:
    """What an action makes of each item; those that fail are left out and cost a line on standard error."""
    done, worst = [], Status.DONE
    with progress(len(items)) as (advance, say):
        for item in items:
            path = path_of(item)
            advance(str(path))
            result, message, status = attempt(path, lambda _, item=item: action(item))
            worst = max(worst, status)
            if status is Status.DONE:
                done.append((item, result))
            else:
                say(message)
    return done, worst


def tracked(description: str) -> Callable[[Sequence[Item]], Iterable[Item]]:
    """Wraps a sequence in a bar on standard error, in a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)

    def wrap(items: Sequence[Item]) -> Iterable[Item]:
        return track(items, description, console=console, disable=not console.is_terminal, transient=True)

    return wrap


def short_names(sources: Sequence[Path]) -> list[str]:
    """The last part of each path; all of it where several end alike."""
    last = [source.resolve().name for source in sources]
    return [
        name if last.count(name) == 1 else str(source) for name, source in zip(last, sources, strict=True)
    ]


def prepare(out: Path | None, figures: bool = True) -> None:
    """Says before the work what would go wrong after it, and makes the folder.

    Raises:
        CannotWrite: the folder cannot be made.
        MissingLibrary: there will be figures, and matplotlib, which draws them, is not installed.
    """
    from mien.evaluation.figures import need_figures

    if out is None:
        return
    if figures:
        need_figures()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise CannotWrite(f"{out}: is a file, not a folder; choose another -o") from error
    except OSError as error:
        raise CannotWrite(f"{out}: cannot be made ({error.strerror}); choose another -o") from error


def show_report(report: Report, out: Path | None, name: str) -> None:
    """Prints the table; with a folder also writes table, numbers and figures there, by that name."""
    from mien.cli.terminal import show

    show(report.table())
    if out is not None:
        report.write(out / name)
