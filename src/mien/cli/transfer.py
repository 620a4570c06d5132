"""`mien transfer`: one face's expression on other people's faces, put back into their photographs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from mien.cli.each import progress
from mien.cli.faces import check_model, needs_photo, open_face, result_bytes, suffix_of, write_all
from mien.cli.inputs import expand, stem_of
from mien.cli.status import Status
from mien.errors import CannotWrite, MienError, NoFace, UnreadableInput

if TYPE_CHECKING:
    from mien.reconstruction import Reconstruction


@dataclass(frozen=True)
class Transfer:
    """Give one face's expression to others.

    Examples:
      mien transfer smile.jpg serious.jpg -o both-smile.jpg         over the target's photo
      mien transfer smile.jpg serious.jpg -o result.png result.glb  and in 3D
      mien transfer smile.face.json people/ -o smiling              a folder of targets to a folder
      mien transfer smile.jpg serious.jpg --pose --light -o as-there.jpg
      mien transfer smile.jpg serious.jpg --source-neutral at-rest.jpg -o exact.jpg

    SOURCE and TARGET are photos, of which the largest face is taken, or .face.json; a target may be a folder
    or a glob of photos. With one target OUT names its results by suffix: .png, .jpg, .glb, .face.json; with
    several, or where it has no suffix, OUT is a folder that gets a NAME.png for each target. Targets keep
    looking where they look. Neutral photos show source or target at rest; expressions are then read against
    them.

    Exit status: 0 all done; 2 wrong usage; 3 some input has no face; 4 some input cannot be read or written.
    """

    source: Positional[Annotated[Path, arg(metavar="SOURCE")]]
    """Photo or .face.json whose expression is taken."""
    targets: Positional[
        Annotated[tuple[str, ...], arg(metavar="TARGET...", help_behavior_hint="(at least one)")]
    ]
    """Photo, folder, glob or .face.json to which it is given."""
    out: Annotated[tuple[Path, ...], arg(aliases=("-o",), metavar="OUT")]
    """Results of one target, or a folder."""
    source_neutral: Annotated[Path | None, arg(metavar="PHOTO")] = None
    """The source's person at rest, photo or .face.json."""
    target_neutral: Annotated[Path | None, arg(metavar="PHOTO")] = None
    """The target's person at rest; for one target only."""
    pose: bool = False
    """Take the source's pose of the head too."""
    light: bool = False
    """Take the source's light too."""
    model: Annotated[str, arg(metavar="NAME")] = "anny"
    """Face model for photos; `mien models list` names them. A .face.json has its own."""
    alone: bool = False
    """Picture of the head alone: transparent around it, in a JPEG plain grey."""

    def run(self) -> int:
        """Does every target, one line on standard error for each that fails."""
        items = list(expand(self.targets))
        folder = None
        try:
            check_model(self.model)
            if not items:
                raise ValueError("give at least one target: a photo, folder, glob or .face.json")
            if not self.out:
                raise ValueError("-o needs a result, as in -o out.png, or a folder")
            if len(items) > 1 or (len(self.out) == 1 and not self.out[0].suffix):
                (folder,) = self.out if len(self.out) == 1 else (None,)
                if folder is None or folder.suffix:
                    raise ValueError(f"{len(items)} targets need a folder, as in -o results")
                if self.target_neutral:
                    raise ValueError("--target-neutral is for one target only")
            else:
                for path in self.out:
                    suffix_of(path)
        except ValueError as error:
            print(f"mien transfer: {error}", file=sys.stderr)
            return Status.USAGE
        try:
            source = open_face(self.source, self.model)
            rest = [p and open_face(p, self.model) for p in (self.source_neutral, self.target_neutral)]
        except NoFace as error:
            print(error, file=sys.stderr)
            return Status.NO_FACE
        worst = Status.DONE
        written: set[Path] = set()
        with progress(len(items)) as (advance, say):
            for item in items:
                advance(str(item))
                try:
                    if isinstance(item, UnreadableInput):
                        raise item
                    paths = self.out if folder is None else (folder / f"{stem_of(item)}.png",)
                    self._do(item, paths, source, rest, written)
                except NoFace as error:
                    say(str(error))
                    worst = max(worst, Status.NO_FACE)
                except MienError as error:
                    say(str(error))
                    worst = max(worst, Status.UNREADABLE)
        return worst

    def _do(
        self,
        target: Path,
        paths: tuple[Path, ...],
        source: Reconstruction,
        rest: list[Reconstruction | None],
        written: set[Path],
    ) -> None:
        from mien import edit
        from mien.conversion import convert

        if written & set(paths):
            raise CannotWrite(f"{target}: its result would replace {paths[0]} of another target; rename it")
        face = open_face(target, self.model)
        if face.image is None and needs_photo(paths, self.alone):
            raise UnreadableInput(
                f"{target}: its photo is not here; put it back, or give --alone, .glb or .face.json"
            )
        shown, *rest = (
            other and convert(other.code, other.model, face.model).code for other in (source, *rest)
        )
        code = edit.with_expression_of(face.model, face.code, shown, *rest)
        if self.pose:
            code = edit.with_pose_of(code, shown)
        if self.light:
            code = edit.with_light_of(code, shown)
        edited = face.edited(code)
        write_all({path: result_bytes(edited, path, self.alone) for path in paths})
        written.update(paths)
        for path in paths:
            print(path)
