"""What is shown on standard output."""

from __future__ import annotations


def show(*things: object) -> None:
    """Prints rich's tables and plain strings; a string is taken as it is, whatever brackets it has.

    Goes through `print`, so that a reader who has gone (`| head`) raises `BrokenPipeError` as elsewhere.
    """
    from rich.console import Console

    console = Console(highlight=False)
    with console.capture() as captured:
        for thing in things:
            console.print(thing, markup=False, soft_wrap=isinstance(thing, str))
    print(captured.get(), end="")
