"""`mien edit`: a face changed by name and number, put back into its photograph."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from mien.cli.faces import (
    check_model,
    needs_photo,
    numbers,
    open_face,
    picture_bytes,
    result_bytes,
    suffix_of,
    write_all,
)
from mien.cli.inputs import is_face_file
from mien.cli.status import Status
from mien.errors import NoFace

if TYPE_CHECKING:
    from mien.facecode import FaceCode
    from mien.reconstruction import Reconstruction


@dataclass(frozen=True)
class Edit:
    """Change a face: expression, shape, colours, light, pose.

    Examples:
      mien edit photo.jpg --expression happiness=0.8 -o smile.jpg     over the photo
      mien edit photo.jpg --expression surprise=1 -o wow.png wow.glb  and in 3D
      mien edit photo.jpg --neutral -o rest.jpg                       the face at rest
      mien edit photo.jpg --blendshape jawOpen=0.4 eyeBlinkLeft=1 -o wink.jpg
      mien edit photo.jpg --expression anger=1.6 --exaggerate -o furious.jpg
      mien edit photo.jpg --identity 1.5 -o caricature.jpg            0 is the average head
      mien edit photo.jpg --mix other.jpg=0.5 -o between.jpg          the head half way to another's
      mien edit photo.jpg --albedo tone=-1 stubble=1 -o other-skin.jpg
      mien edit photo.jpg --light left --softness -0.3 -o hard.jpg    or --light other.jpg
      mien edit photo.jpg --rotate 15 0 0 -o turned.jpg               yaw, pitch, roll in degrees
      mien edit photo.jpg --expression fear=1 --alone -o head.png     transparent around the head
      mien edit photo.jpg --sheet -o sheet.jpg                        what there is, on this face
      mien edit face.face.json --neutral -o rest.face.json            a code from a code

    FACE is a photo, of which the largest face is taken, or a .face.json of `mien reconstruct`, whose photo is
    found again if it is still there. All edits of one command are done together. A picture shows the
    photograph with the face changed and all else left; .glb has the photo's own texture.

    Exit status: 0 done; 2 wrong usage; 3 no face in FACE or in another photo; 4 a file cannot be read or
    written.
    """

    face: Positional[Annotated[Path, arg(metavar="FACE")]]
    """Photo or .face.json."""
    out: Annotated[tuple[Path, ...], arg(aliases=("-o",), metavar="OUT")]
    """Results by suffix: .png, .jpg, .glb, .face.json."""
    expression: Annotated[tuple[str, ...], arg(metavar="NAME=STRENGTH")] = ()
    """anger, disgust, fear, happiness, neutral, sadness, surprise; in [0, 1]; in place of what is there."""
    blendshape: Annotated[tuple[str, ...], arg(metavar="NAME=VALUE")] = ()
    """ARKit coefficients in [0, 1]; all others stay."""
    neutral: bool = False
    """The face at rest; it keeps looking where it looks."""
    exaggerate: bool = False
    """Allow strengths and coefficients outside [0, 1]."""
    identity: Annotated[float | None, arg(metavar="FACTOR")] = None
    """Shape of the head: above 1 a caricature, 0 the average."""
    mix: Annotated[str | None, arg(metavar="FACE=SHARE")] = None
    """Shape of the head on the way to another face, a photo or .face.json: 0.5 is half way."""
    albedo: Annotated[tuple[str, ...], arg(metavar="NAME=AMOUNT")] = ()
    """tone (lighter skin), stubble, lips (redder), brows (darker); in standard deviations among people."""
    light: Annotated[str | None, arg(metavar="NAME|FILE")] = None
    """front, left, right, above, below, as the picture's viewer sees it; or the light of another face."""
    softness: float = 0.0
    """1 is light from everywhere alike, below 0 harder light."""
    rotate: Annotated[tuple[float, float, float], arg(metavar="YAW PITCH ROLL")] = (0.0, 0.0, 0.0)
    """Degrees to its own left, down, and crown to the picture's left."""
    model: Annotated[str, arg(metavar="NAME")] = "anny"
    """Face model for photos; `mien models list` names them. A .face.json has its own."""
    alone: bool = False
    """Picture of the head alone: transparent around it, in a JPEG plain grey."""
    sheet: bool = False
    """Picture of expressions × strengths, lights and albedos, on the face as edited."""

    def run(self) -> int:
        """Makes all results, then writes them."""
        import numpy as np

        try:
            suffixes = [suffix_of(path) for path in self.out]
            check_model(self.model)
            if not self.out:
                raise ValueError("-o needs at least one result, as in -o out.png")
            if self.sheet and not {".png", ".jpg", ".jpeg"}.issuperset(suffixes):
                raise ValueError("--sheet makes a picture: give -o a name that ends in .png or .jpg")
            if not np.isfinite([self.identity or 0.0, self.softness, *self.rotate]).all():
                raise ValueError("--identity, --softness and --rotate need finite numbers")
            face = open_face(self.face, self.model)
            edited = face.edited(self._edited(face))
        except ValueError as error:
            hint = "; --exaggerate allows more" if "must be in [" in str(error) else ""
            print(f"mien edit: {error}{hint}", file=sys.stderr)
            return Status.USAGE
        except NoFace as error:
            print(error, file=sys.stderr)
            return Status.NO_FACE
        if face.image is None and (self.sheet or needs_photo(self.out, self.alone)):
            print(
                f"{self.face}: its photo is not here; put it back, or give --alone, .glb or .face.json",
                file=sys.stderr,
            )
            return Status.UNREADABLE
        if self.sheet:
            from mien.sheet import edit_sheet

            picture = edit_sheet(edited)
            files = {
                path: picture_bytes(picture, suffix) for path, suffix in zip(self.out, suffixes, strict=True)
            }
        else:
            files = {path: result_bytes(edited, path, self.alone) for path in self.out}
        write_all(files)
        for path in files:
            print(path)
        return Status.DONE

    def _edited(self, face: Reconstruction) -> FaceCode:
        from mien import edit
        from mien.conversion import convert

        model, code = face.model, face.code
        if self.neutral:
            code = edit.at_rest(model, code)
        if self.expression:
            strengths = numbers(self.expression, "--expression")
            code = edit.with_expression(model, code, strengths, self.exaggerate)
        if self.blendshape:
            coefficients = numbers(self.blendshape, "--blendshape")
            code = edit.with_coefficients(model, code, coefficients, self.exaggerate)
        if self.mix is not None:
            name, _, share = self.mix.rpartition("=")
            (share,) = numbers([f"share={share}"], "--mix").values() if name else (None,)
            if share is None:
                raise ValueError(f"--mix {self.mix}: must be FACE=SHARE, as in --mix other.jpg=0.5")
            other = open_face(Path(name), self.model)
            code = edit.mixed(code, convert(other.code, other.model, model).code, share)
        if self.identity is not None:
            code = edit.exaggerated(code, self.identity)
        if self.albedo:
            code = edit.with_traits(model, code, numbers(self.albedo, "--albedo"))
        if self.light is not None:
            code = self._lit(code)
        if self.softness:
            code = edit.softened(code, self.softness)
        return edit.turned(code, *self.rotate) if any(self.rotate) else code

    def _lit(self, code: FaceCode) -> FaceCode:
        from mien import edit

        path = Path(self.light)
        if self.light in edit.LIGHTS or not (path.exists() or path.suffix or is_face_file(path)):
            return edit.lit(code, self.light)
        return edit.with_light_of(code, open_face(path).code)
