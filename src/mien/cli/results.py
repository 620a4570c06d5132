"""The output folder: which results are there, whose they are, and who may have which name."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from mien.cli.inputs import FACE_SUFFIX, OVERLAY_SUFFIX, is_face_file, stem_of
from mien.errors import CannotWrite

if TYPE_CHECKING:
    from mien.reconstruction import Reconstruction


def check_place(path: Path) -> None:
    """Says before the work what would go wrong after it.

    Raises:
        CannotWrite: a file cannot be written there.
    """
    if path.is_dir():
        raise CannotWrite(f"{path}: cannot be written, a folder has that name; choose another name")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise CannotWrite(f"{path}: cannot be written, there is no such folder to write to; make it first")


@dataclass
class Results:
    """Results by input. The first face of `photo.jpg` is named `photo`, the others `photo.1`, `photo.2`, ...

    Attributes:
        folder: where they are.
        formats, texture: as `Reconstruction.save` takes them.
        overwrite: whether results of earlier runs are replaced, and not taken as done.
        written: names of this run, which nothing may replace.
    """

    folder: Path
    formats: Sequence[str]
    texture: str
    overwrite: bool
    written: set[str] = field(default_factory=set)

    def prepare(self) -> None:
        """Makes the folder and tries it.

        Raises:
            CannotWrite: it cannot be made or written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(prefix=".mien-", dir=self.folder):
                pass
        except FileExistsError as error:
            raise CannotWrite(f"{self.folder}: is a file, not a folder; choose another -o") from error
        except OSError as error:
            raise CannotWrite(
                f"{self.folder}: cannot be written to ({error.strerror}); choose another -o"
            ) from error

    def are_there(self, source: Path) -> bool:
        """Whether every file of every face of an input is there and need not be made.

        Raises:
            CannotWrite: the name is taken by the results of another input.
        """
        name = stem_of(source)
        self._check_name(name, source)
        if self.overwrite:
            return False
        suffixes = (OVERLAY_SUFFIX, *(f".{form}" for form in self.formats), FACE_SUFFIX)
        return all(
            (self.folder / f"{face}{suffix}").exists()
            for face in (name, *self._further(name))
            for suffix in suffixes
        )

    def face_files(self, source: Path) -> list[Path]:
        """The `.face.json` of each face of an input whose results are there."""
        name = stem_of(source)
        return [self.folder / f"{face}{FACE_SUFFIX}" for face in (name, *self._further(name))]

    def save(self, source: Path, faces: Sequence[Reconstruction]) -> list[Path]:
        """Writes the results of an input, all together or none; the first face's code last of all.

        Raises:
            CannotWrite: as `Reconstruction.save`; or a name is taken by the results of another input.
        """
        from mien.files import write_together

        stem = stem_of(source)
        names = [stem, *(f"{stem}.{number}" for number in range(1, len(faces)))]
        for name in names:
            self._check_name(name, source)
        files = {}
        for name, face in reversed(list(zip(names, faces, strict=True))):
            files |= face.files(name, formats=self.formats, texture=self.texture)
        paths = write_together(self.folder, files)
        self.written.update(names)
        return paths

    def _further(self, name: str) -> Iterator[str]:
        for number in count(1):
            if not (self.folder / f"{name}.{number}{FACE_SUFFIX}").exists():
                return
            yield f"{name}.{number}"

    def _check_name(self, name: str, source: Path) -> None:
        path = self.folder / f"{name}{FACE_SUFFIX}"
        if name in self.written:
            raise CannotWrite(
                f"{source}: its results would replace {path} of another input; "
                "rename it or give it its own -o"
            )
        if not self.overwrite and path.exists() and not _belongs(path, source):
            raise CannotWrite(
                f"{source}: its results would replace {path}, made from something else; "
                "rename it, choose another -o, or --overwrite"
            )


def _belongs(result: Path, source: Path) -> bool:
    """Whether a `.face.json` was made from that input."""
    try:
        if is_face_file(source):
            return source.read_bytes() == result.read_bytes()
        made_from = json.loads(result.read_bytes())["source"]["file"]
        return made_from == str(source) or os.path.samefile(made_from, source)
    except (OSError, ValueError, KeyError, TypeError):
        return False
