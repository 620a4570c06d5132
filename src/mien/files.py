"""Writes files whole or not at all, so that an interrupted run leaves nothing half-written behind."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from mien.errors import CannotWrite


def write_whole(path: str | os.PathLike, data: bytes | Iterable[bytes]) -> None:
    """Writes `data` to `path`: afterwards the file is the new one, or still the old one, or still missing.

    The bytes go to a temporary file in the same folder, reach the disk, and take the name in one step. What
    is too large for the memory may come in pieces.

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
            stream.writelines([data] if isinstance(data, bytes) else data)
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


def write_together(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Writes several files to one folder, which is made if needed: all of them or none.

    All bytes reach the disk under temporary names before the first file takes its own, so that a full disk
    leaves the folder as it was.

    Returns:
        the files, in the order in which they took their names.

    Raises:
        CannotWrite: as `write_whole`; also if the folder cannot be made.
    """
    targets = [folder / name for name in files]
    for target in targets:
        if target.is_dir():
            raise CannotWrite(f"{target}: cannot be written, a folder has that name; choose another name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".mien-", dir=folder) as staging:
            staged = [Path(staging) / name for name in files]
            for path, target, data in zip(staged, targets, files.values(), strict=True):
                try:
                    write_whole(path, data)
                except CannotWrite as error:
                    raise CannotWrite(str(error).replace(str(path), str(target))) from error
            for path, target in zip(staged, targets, strict=True):
                os.replace(path, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CannotWrite(
            f"{folder}: cannot be written ({reason}); choose another folder or make room"
        ) from error
    return targets
