"""What is shown on standard output."""

from __future__ import annotations

import sys

_WIDE = 200


def show(*things: object) -> None:
    """Prints rich's tables and plain strings; a string is taken as it is, whatever brackets it has.

    Goes through `print`, so that a reader who has gone (`| head`) raises `BrokenPipeError` as elsewhere.
    """
    from rich.console import Console

    # in a pipe nothing is squeezed to a width that nobody sees
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
    with console.capture() as captured:
        for thing in things:
            console.print(thing, markup=False, soft_wrap=isinstance(thing, str))
    print(captured.get(), end="")
