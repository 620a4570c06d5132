"""Which way expressions are read from faces: options that commands share, and what they open."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from mien.cli.each import no_face
from mien.cli.inputs import is_face_file
from mien.errors import BadAsset

if TYPE_CHECKING:
    from collections.abc import Callable

    from mien.encoder import Encoder
    from mien.expressions.recognition import Recogniser
    from mien.facecode import FaceCode
    from mien.thesis.expressions import BaseExpressions

    Reader = Callable[[Path, int], list[FaceCode]]


@dataclass(frozen=True)
class ReaderOptions:
    """How faces are read."""

    recogniser: Annotated[Path | None, arg(metavar="FILE")] = None
    """One of `mien train-expression`, in place of the packaged one."""
    preset: Literal["mien", "thesis"] = "mien"
    """By mien's own fit and recogniser, or by the thesis's encoder and its base expressions."""
    encoder: Annotated[Path | None, arg(metavar="FILE")] = None
    """One of `mien export-encoder`, in place of the packaged one; for the thesis one of its preset."""
    prototypes: Annotated[Path | None, arg(metavar="TABLE")] = None
    """The thesis's expression.csv: a column for each expression, a row for each of 64 coefficients."""

    @property
    def is_thesis(self) -> bool:
        """Whether codes are those of the thesis."""
        return self.preset == "thesis"

    def wrong_usage(self) -> str | None:
        """What does not go together, and what to do; None if all does."""
        if self.is_thesis and self.recogniser:
            return "--recogniser is not for --preset thesis; leave it out"
        if not self.is_thesis and self.prototypes:
            return "--prototypes are the thesis's; add --preset thesis"
        return None

    def open(self) -> tuple[Reader, Recogniser | BaseExpressions]:
        """What reads at most so many codes from a file, and what reads expressions from codes.

        Raises:
            mien.errors.MienError: a file is not as it must be, or the thesis's detectors are not installed.
        """
        if self.is_thesis:
            from mien.thesis.reader import thesis_reading

            return thesis_reading(self.encoder, self.prototypes)
        from mien.expressions.recognition import Recogniser, packaged_recogniser

        recogniser = Recogniser.load(self.recogniser) if self.recogniser else packaged_recogniser()
        return partial(codes_in, encoder=opened_encoder(self.encoder)), recogniser


@cache
def opened_encoder(file: Path | None) -> Encoder | None:
    """An encoder of mien's preset, kept for the life of the process; for None None, the packaged one.

    Raises:
        BadAsset: the file is no encoder, or one of another preset.
    """
    if file is None:
        return None
    from mien.encoder import Encoder

    encoder = Encoder(file)
    if encoder.preset != "mien":
        raise BadAsset(f"{file}: is of the preset {encoder.preset}; name one of mien's, or use --preset")
    return encoder


def codes_in(path: Path, most: int, encoder: Encoder | None = None) -> list[FaceCode]:
    """The default model's codes of a photograph's faces, largest first, or of a `.face.json` of any model.

    Raises:
        NoFace: the photograph has none.
        UnreadableInput, BadFaceFile: the file cannot be read.
    """
    if is_face_file(path):
        from mien.conversion import in_default_model
        from mien.facefile import load_face, model_id
        from mien.morphable import load_model

        model = load_model(model_id(path).split("/")[0])
        return [in_default_model(load_face(path, model).code, model)]
    from mien.reconstruction import reconstruct

    faces = reconstruct(path, max_faces=most, encoder=encoder)
    if not faces:
        raise no_face(path)
    return [face.code for face in faces]
