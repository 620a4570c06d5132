"""Photographs that commands learn from: found, read, and what is wrong with any said."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mien.cli.inputs import expand
from mien.cli.terminal import show
from mien.errors import UnreadableInput

if TYPE_CHECKING:
    from mien.synthesis.edited import Portraits
    from mien.training.bootstrap import PhotoCrops


def crops_of(inputs: Sequence[str], size: int, preset: str) -> PhotoCrops:
    """The faces of photographs as networks of that preset see them."""
    from mien.training.bootstrap import crop_faces

    return crop_faces(_photos(inputs), size, _track, _say, preset)


def portraits_of(folder: Path, model: str, size: int) -> Portraits:
    """What is read in the photographs that are to be edited."""
    from mien.morphable import load_model
    from mien.synthesis.edited import held_out, read_portraits

    photos = _photos([str(folder)])
    portraits = read_portraits(load_model(model), photos, size, _track, _say)
    left = int(held_out(portraits.names).sum())
    show(f"{len(portraits.names)} portraits, {left} of them held out")
    return portraits


def _photos(inputs: Sequence[str]) -> list[Path]:
    """The files that arguments name; of what names none it is said."""
    photos = []
    for item in expand(inputs):
        if isinstance(item, UnreadableInput):
            _say(str(item))
        else:
            photos.append(item)
    return photos


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _track(photos: Sequence[Path]) -> Iterable[Path]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(photos, "finding faces", console=console, disable=not console.is_terminal, transient=True)
