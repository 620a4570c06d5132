"""`mien reconstruct`: the loop over inputs, and what becomes of each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from mien.cli.inputs import expand, is_face_file
from mien.cli.results import Results
from mien.cli.status import Status
from mien.cli.terminal import show
from mien.errors import MienError, MissingLibrary, NoFace, UnreadableInput

if TYPE_CHECKING:
    from mien.reconstruction import Reconstruction

_TABLE_ROWS = 40  # of more inputs only the total is shown


@dataclass(frozen=True)
class Reconstruct:
    """Reconstruct the faces of photographs in 3D.

    Examples:
      mien reconstruct photo.jpg                       one photo, to the folder mien-out
      mien reconstruct photos/ -o faces                all pictures of a folder
      mien reconstruct 'photos/**/*.jpg' -o faces      and of the folders in it
      mien reconstruct photo.jpg --formats glb obj ply all 3D formats
      mien reconstruct photo.jpg --texture albedo      without the photo's light, to light it anew
      mien reconstruct faces/photo.face.json           3D files again, from the code
      mien reconstruct photo.jpg --model ict           in a model that `mien models add` brought

    Each face of photo.jpg gives photo.face.json (the code), photo.overlay.png (to look at) and photo.glb (for
    Blender, Unity, Unreal, three.js; 52 ARKit blendshapes). A second face gives photo.1.face.json and so on.
    Inputs whose files are all there are left alone, so that after an interruption the same command goes on.

    Exit status: 0 all done; 2 wrong usage; 3 some input has no face; 4 some input cannot be read or written.
    """

    inputs: Positional[
        Annotated[tuple[str, ...], arg(metavar="INPUT...", help_behavior_hint="(at least one)")]
    ]
    """Photo, folder of photos, glob, or .face.json."""
    out: Annotated[Path, arg(aliases=("-o",), metavar="DIR")] = Path("mien-out")
    """Folder for the results; made if it is not there."""
    formats: tuple[Literal["glb", "obj", "ply"], ...] = ("glb",)
    """3D files to write."""
    texture: Literal["photo", "albedo"] = "photo"
    """The photo's own colours, or these with its light divided out."""
    model: Annotated[str, arg(metavar="NAME")] = "anny"
    """Face model; `mien models list` names them."""
    refine: bool = True
    """Take the network's word: the code is not refined against landmarks and pixels; faster."""
    max_faces: Annotated[int, arg(metavar="N")] = 8
    """Faces per photo at most, largest first."""
    overwrite: bool = False
    """Do inputs again whose results are there."""
    device: Literal["auto", "cpu"] = "auto"
    """Where to compute; for now the processor is all that is used."""

    def run(self) -> int:
        """Does every input, one line on standard error for each that fails."""
        if wrong := self._wrong_usage():
            print(f"mien reconstruct: {wrong}", file=sys.stderr)
            return Status.USAGE
        results = Results(self.out, self.formats, self.texture, self.overwrite)
        results.prepare()
        inputs = list(expand(self.inputs))
        outcomes: list[_Outcome] = []
        try:
            with _progress(len(inputs)) as (advance, say):
                for item in inputs:
                    advance(str(item) if isinstance(item, Path) else "")
                    outcome = self._do(item, results)
                    outcomes.append(outcome)
                    if outcome.message:
                        say(outcome.message)
        except KeyboardInterrupt:
            print(
                f"mien: interrupted, {len(outcomes)} of {len(inputs)} inputs are done; "
                "the same command goes on from there",
                file=sys.stderr,
            )
            return Status.INTERRUPTED
        _summarise(outcomes, self.out)
        return max((outcome.status for outcome in outcomes), default=Status.DONE)

    def _wrong_usage(self) -> str | None:
        from mien.cli.models import model_names
        from mien.model_files.store import unknown_model

        if not self.inputs:
            return "give at least one photo, folder, glob or .face.json (mien reconstruct --help)"
        if not self.formats:
            return "--formats needs at least one of glb, obj, ply"
        if self.max_faces < 1:
            return f"--max-faces is {self.max_faces}, must be 1 or more"
        if self.model not in model_names():
            return unknown_model(self.model)
        return None

    def _do(self, item: Path | UnreadableInput, results: Results) -> _Outcome:
        """One input: all of its results, or none and an error."""
        try:
            if isinstance(item, UnreadableInput):
                raise item
            if results.are_there(item):
                return _Outcome(item, there_before=True)
            faces = self._faces(item)
            if not faces:
                raise NoFace(
                    f"{item}: no face found; try a picture where it is larger, sharper or less covered"
                )
            files = tuple(results.save(item, faces))
            no_photo = any(face.image is None for face in faces)
            note = f"{item}: its photo is not here, so textures are the model's own" if no_photo else ""
            return _Outcome(item, len(faces), files, note)
        except NoFace as error:
            return _Outcome(item, message=str(error), status=Status.NO_FACE)
        except MienError as error:
            return _Outcome(item, message=str(error), status=Status.UNREADABLE)
        except MemoryError:
            message = f"{item}: too large for this machine's memory; scale it down"
        except ImportError as error:
            message = str(
                MissingLibrary(f"{item}: a library is missing on this machine ({error}); install it")
            )
        except Exception as error:  # one input's trouble must not cost the others their turn
            message = f"{item}: a bug in mien ({type(error).__name__}: {error}); please report it"
        return _Outcome(item, message=message, status=Status.UNREADABLE)

    def _faces(self, path: Path) -> list[Reconstruction]:
        from mien.reconstruction import reconstruct, reopen

        if is_face_file(path):
            return [reopen(path, model=self.model)]
        return reconstruct(path, model=self.model, max_faces=self.max_faces, refine=self.refine)


@dataclass(frozen=True)
class _Outcome:
    """What became of one input."""

    item: Path | UnreadableInput
    faces: int = 0
    files: tuple[Path, ...] = ()
    message: str = ""
    status: Status = Status.DONE
    there_before: bool = False

    @property
    def done(self) -> bool:
        """Whether its results are there."""
        return self.status == Status.DONE


@contextmanager
def _progress(total: int) -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    """Two functions: one to call before each input, one that says a line on standard error.

    A bar is drawn for several inputs in a terminal.
    """

    def one_line(text: str) -> str:
        return " ".join(text.split())

    if total < 2 or not sys.stderr.isatty():
        yield lambda name: None, lambda line: print(one_line(line), file=sys.stderr, flush=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        started = iter(range(total))

        def advance(name: str) -> None:
            from rich.markup import escape

            bar.update(task, completed=next(started), description=escape(Path(name).name))

        yield (
            advance,
            lambda line: bar.console.print(one_line(line), markup=False, highlight=False, soft_wrap=True),
        )


def _summarise(outcomes: list[_Outcome], folder: Path) -> None:
    """In a terminal a table and the total; in a pipe the files written, one a line."""
    before = sum(outcome.there_before for outcome in outcomes)
    if sys.stdout.isatty():
        _print_table(outcomes, folder)
    else:
        for outcome in outcomes:
            for path in outcome.files:
                print(path)
    if before:
        print(
            f"mien: {before} of {len(outcomes)} inputs had their results in {folder} before; "
            "--overwrite does them again",
            file=sys.stderr,
        )


def _print_table(outcomes: list[_Outcome], folder: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    if len(outcomes) <= _TABLE_ROWS:
        table = Table("input", "faces", "results", box=None, header_style="bold")
        for outcome in outcomes:
            if isinstance(outcome.item, Path):
                result = "\n".join(map(str, outcome.files))
                result = result or ("there before" if outcome.there_before else "none, see above")
                table.add_row(Text(str(outcome.item)), str(outcome.faces or "-"), Text(result))
        show(table)
    faces, failed = sum(outcome.faces for outcome in outcomes), sum(not outcome.done for outcome in outcomes)
    lost = f"; {failed} without results" if failed else ""
    show(f"{faces} new faces from {len(outcomes)} inputs in {folder}{lost}")
