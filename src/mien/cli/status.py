"""Exit statuses, the same for every command."""

from enum import IntEnum


class Status(IntEnum):
    """What the exit status says."""

    DONE = 0
    """All inputs are done."""
    USAGE = 2
    """The command line is wrong; nothing was done."""
    NO_FACE = 3
    """In some input there is no face; all others are done."""
    UNREADABLE = 4
    """Some input could not be read, or its results not be written; all others are done."""
    INTERRUPTED = 130
    """Ctrl-C; what was finished before is there, whole."""
