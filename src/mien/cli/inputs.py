"""What INPUT arguments mean: photographs, folders, globs and `.face.json` files."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mien.errors import UnreadableInput

FACE_SUFFIX = ".face.json"
OVERLAY_SUFFIX = ".overlay.png"

PICTURE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .webp .gif .tif .tiff .bmp .ppm .pgm .pbm .pnm .avif .jp2 .tga".split()
)
"""What a folder's pictures are known by."""


def expand(arguments: Iterable[str]) -> Iterator[Path | UnreadableInput]:
    """The files that INPUT arguments name, in order and each once; an error in place of what names none.

    A folder means the pictures directly in it, without mien's own overlays. A name with `*`, `?` or `[`
    that is no file itself is a glob; `**` reaches into folders.
    """
    seen = set()
    for argument in arguments:
        for item in _expand_one(argument):
            if isinstance(item, Path):
                key = os.path.realpath(item)
                if key in seen:
                    continue
                seen.add(key)
            yield item


def stem_of(path: Path) -> str:
    """What the names of a file's results begin with."""
    is_face = path.name.lower().endswith(FACE_SUFFIX)
    return path.name[: -len(FACE_SUFFIX)] if is_face else path.stem


def is_face_file(path: Path) -> bool:
    """Whether it is named as a face code, not as a picture."""
    return path.name.lower().endswith(FACE_SUFFIX)


def _expand_one(argument: str) -> list[Path | UnreadableInput]:
    path = Path(argument)
    if os.path.isdir(path):
        return _pictures_in(path)
    if os.path.lexists(path) or not glob.has_magic(argument):
        return [path]
    found = [Path(name) for name in sorted(glob.glob(argument, recursive=True)) if not os.path.isdir(name)]
    return found or [
        UnreadableInput(f"{argument}: no file has such a name; check the folder and the pattern")
    ]


def _pictures_in(folder: Path) -> list[Path | UnreadableInput]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        return [UnreadableInput(f"{folder}: folder cannot be read ({error.strerror}); check its permissions")]
    pictures = [
        folder / name
        for name in names
        if not name.startswith(".")
        and Path(name).suffix.lower() in PICTURE_SUFFIXES
        and not name.lower().endswith(OVERLAY_SUFFIX)
        and os.path.isfile(folder / name)
    ]
    return pictures or [
        UnreadableInput(f"{folder}: no pictures in this folder; name one with pictures directly in it")
    ]
