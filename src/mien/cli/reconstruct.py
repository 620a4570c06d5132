"""`mien reconstruct`: the loop over inputs, and what becomes of each."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from mien.cli.each import attempt, no_face, progress
from mien.cli.inputs import expand, is_face_file
from mien.cli.reading import opened_encoder
from mien.cli.results import Results, check_place
from mien.cli.status import Status
from mien.cli.terminal import show
from mien.errors import UnreadableInput

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
      mien reconstruct photos/ --arkit frames.csv      also 52 coefficients, as Live Link Face records
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
    arkit: Annotated[Path | None, arg(metavar="FILE.csv")] = None
    """Also write ARKit's 52 coefficients and the rotations of head and eyes, a row a face."""
    model: Annotated[str, arg(metavar="NAME")] = "anny"
    """Face model; `mien models list` names them."""
    refine: bool = True
    """Take the network's word: the code is not refined against landmarks and pixels; faster."""
    encoder: Annotated[Path | None, arg(metavar="FILE")] = None
    """One of `mien export-encoder`, in place of the packaged one."""
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
        if self.arkit is not None:
            check_place(self.arkit)
        opened_encoder(self.encoder)  # what is wrong with it is said once
        inputs = list(expand(self.inputs))
        outcomes: list[_Outcome] = []
        try:
            with progress(len(inputs)) as (advance, say):
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
        if self.arkit is not None:
            self._write_arkit(outcomes, results)
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
        outcome, message, status = attempt(item, lambda path: self._made(path, results))
        return outcome or _Outcome(item, message=message, status=status)

    def _made(self, path: Path, results: Results) -> _Outcome:
        if results.are_there(path):
            return _Outcome(path, there_before=True)
        faces = self._faces(path)
        if not faces:
            raise no_face(path)
        files = tuple(results.save(path, faces))
        no_photo = any(face.image is None for face in faces)
        note = f"{path}: its photo is not here, so textures are the model's own" if no_photo else ""
        return _Outcome(path, len(faces), files, note)

    def _write_arkit(self, outcomes: list[_Outcome], results: Results) -> None:
        """Of all faces whose results are there, from this run and before."""
        from mien.conversion import in_default_model
        from mien.export.arkit import arkit_csv
        from mien.facefile import load_face
        from mien.files import write_whole
        from mien.morphable import load_model

        model, done = load_model(self.model), (outcome.item for outcome in outcomes if outcome.done)
        codes = [
            in_default_model(load_face(path, model).code, model)
            for item in done
            for path in results.face_files(item)
        ]
        if codes:
            write_whole(self.arkit, arkit_csv(codes))

    def _faces(self, path: Path) -> list[Reconstruction]:
        from mien.reconstruction import reconstruct, reopen

        if is_face_file(path):
            return [reopen(path, model=self.model)]
        encoder = opened_encoder(self.encoder)
        return reconstruct(
            path, model=self.model, max_faces=self.max_faces, refine=self.refine, encoder=encoder
        )


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
