"""Writes files whole or not at all, so that an interrupted run leaves nothing half-written behind."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from mien.errors import CannotWrite


def write_whole(path: str | os.PathLike, data: bytes) -> None:
    """Writes `data` to `path`: afterwards the file is the new one, or still the old one, or still missing.

    The bytes go to a temporary file in the same folder, reach the disk, and take the name in one step.

    Raises:
        CannotWrite: the folder is missing or not writable, the name is a folder's, the disk is full, ...
    """
    path = Path(path)
    if path.is_dir():
        raise CannotWrite(f"{path}: cannot be written, a folder has that name; choose another name")
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=".mien-", suffix=path.suffix, dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, _mode_of(path))
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            raise CannotWrite(
                f"{path}: cannot be written ({reason}); choose another folder or make room"
            ) from error
        raise


def _mode_of(path: Path) -> int:
    """Permissions of the file that is replaced; of a new file, what the process's umask leaves of 0o666."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
