"""Photographs, vectors and face files to codes, as the thesis reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mien.encoder import Encoder
from mien.errors import BadAsset, NoFace, UnreadableInput
from mien.facecode import FaceCode
from mien.image import load_image, to_uint8
from mien.morphable import MorphableModel, load_model
from mien.thesis.crop import hull_crop
from mien.thesis.detect import HaarDlibDetector
from mien.thesis.expressions import BaseExpressions
from mien.thesis.preset import MODEL, model_name
from mien.thesis.vectors import LAYOUT, from_vector, read_vector

VECTOR_SUFFIX = ".txt"


class ThesisReader:
    """Reads codes of one model."""

    def __init__(self, encoder: Path | None = None) -> None:
        """A reader of vectors and, with an encoder, of photographs.

        Args:
            encoder: exported from a run of the preset; all codes are of its model, without one of `MODEL`.

        Raises:
            BadAsset: the file is no encoder of this preset, or its model is not there.
            MissingLibrary: the detectors, which photographs need, are not installed.
        """
        self.encoder = Encoder(encoder) if encoder else None
        name = self.encoder.model.split("/")[0] if self.encoder else model_name(MODEL)
        self.model: MorphableModel = load_model(name)
        if self.model.layout != LAYOUT:
            raise BadAsset(
                f"{encoder}: reads codes of {self.model.id}, not the thesis's; name an encoder of "
                "`mien train --preset thesis`"
            )
        self._detector = HaarDlibDetector() if encoder else None

    def __call__(self, path: Path, most: int) -> list[FaceCode]:
        """The codes of a photograph's faces, largest first, of a vector's `.txt` or of a `.face.json`.

        Raises:
            NoFace: the photograph has none.
            UnreadableInput, BadFaceFile: the file cannot be read, or it is a photograph and there is no
                encoder.
        """
        if path.suffix.lower() == VECTOR_SUFFIX:
            return [from_vector(read_vector(path), self.model)]
        if path.name.lower().endswith(".face.json"):
            from mien.facefile import load_face

            return [load_face(path, self.model).code]
        if self.encoder is None:
            raise UnreadableInput(
                f"{path}: a photograph needs an encoder of the preset; name one (--encoder)"
            )
        image = load_image(path)
        faces = self._detector.detect(image, most)
        if not faces:
            raise NoFace(
                f"{path}: no face found; the thesis's detectors need one that is upright and frontal"
            )
        made = [hull_crop(to_uint8(image), landmarks, self.encoder.size) for landmarks in faces]
        codes = self.encoder(*(np.stack(parts) for parts in zip(*made, strict=True)))
        return [codes[face] for face in range(len(faces))]


def thesis_reading(
    encoder: Path | None = None, prototypes: Path | None = None
) -> tuple[ThesisReader, BaseExpressions]:
    """What reads codes, and what reads expressions from them.

    Args:
        encoder: as in `ThesisReader`.
        prototypes: an `expression.csv`; without it base expressions come from ARKit's.

    Raises:
        BadAsset, BadPrototypes: a file is not as it must be.
    """
    reader = ThesisReader(encoder)
    if prototypes is None:
        return reader, BaseExpressions.of(reader.model)
    return reader, BaseExpressions.read(prototypes, reader.model.id)
