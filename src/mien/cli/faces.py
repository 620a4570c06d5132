"""What the commands that change faces share: a FACE argument, NAME=NUMBER options, and results by suffix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mien.cli.each import no_face
from mien.cli.inputs import FACE_SUFFIX, is_face_file

if TYPE_CHECKING:
    import numpy as np

    from mien.reconstruction import Reconstruction

_JPEG = (".jpg", ".jpeg")
_PICTURES = (".png", *_JPEG)
_SUFFIXES = (*_PICTURES, ".glb", FACE_SUFFIX)


def open_face(path: Path, model: str = "anny") -> Reconstruction:
    """The largest face of a photograph, or the face of a `.face.json`.

    Args:
        path: of either.
        model: in which a photograph's face is reconstructed; a `.face.json` has its own.

    Raises:
        mien.errors.MienError: the file cannot be read, or has no face.
    """
    from mien.reconstruction import reconstruct, reopen

    if is_face_file(path):
        return reopen(path)
    faces = reconstruct(path, model=model, max_faces=1)
    if not faces:
        raise no_face(path)
    return faces[0]


def check_model(name: str) -> None:
    """That a model of that name is at hand.

    Raises:
        ValueError: there is none.
    """
    from mien.model_files.store import model_names, unknown_model

    if name not in model_names():
        raise ValueError(unknown_model(name))


def numbers(assignments: Sequence[str], option: str) -> dict[str, float]:
    """NAME=NUMBER arguments as a dictionary.

    Raises:
        ValueError: one is no such assignment.
    """
    result = {}
    for text in assignments:
        name, _, number = text.partition("=")
        try:
            result[name] = float(number)
        except ValueError:
            result[name] = math.nan
        if not (name and math.isfinite(result[name])):
            raise ValueError(f"{option} {text}: must be NAME=NUMBER, as in {option} {name or 'NAME'}=0.5")
    return result


def suffix_of(path: Path) -> str:
    """What a result's name says it shall be: .png, .jpg, .jpeg, .glb or .face.json.

    Raises:
        ValueError: none of them.
    """
    for suffix in _SUFFIXES:
        if path.name.lower().endswith(suffix) and len(path.name) > len(suffix):
            return suffix
    raise ValueError(f"{path}: the name of a result must end in one of {', '.join(_SUFFIXES)}")


def needs_photo(paths: Sequence[Path], alone: bool) -> bool:
    """Whether one of the results is a picture over the photograph."""
    return not alone and any(suffix_of(path) in _PICTURES for path in paths)


def result_bytes(face: Reconstruction, path: Path, alone: bool) -> bytes:
    """The file that `path` shall be.

    Args:
        face: edited; with its photograph, where `needs_photo`.
        alone: whether a picture shows the head without its photograph: transparent, as JPEG on plain grey.
    """
    from mien.export.glb import glb_bytes
    from mien.facefile import face_bytes

    suffix = suffix_of(path)
    if suffix == ".glb":
        return glb_bytes(face.model, face.code, face.texture())
    if suffix == FACE_SUFFIX:
        # no photograph shows an edited face, so none is named
        return face_bytes(replace(face.face, source_file="") if face.shown else face.face)
    return picture_bytes(face.cut_out() if alone else face.picture(), suffix)


def picture_bytes(image: np.ndarray, suffix: str) -> bytes:
    """An (H, W, 3) or (H, W, 4) picture as the file of that suffix; in a JPEG the transparent is grey."""
    from mien.image import jpeg_bytes, png_bytes
    from mien.overlay import BACKDROP

    if suffix not in _JPEG:
        return png_bytes(image)
    if image.shape[-1] == 4:
        image = image[..., 3:] * image[..., :3] + (1 - image[..., 3:]) * BACKDROP
    return jpeg_bytes(image, quality=95)


def write_all(files: dict[Path, bytes]) -> None:
    """Writes files to wherever they are named, each whole, after all of them have been made.

    Raises:
        CannotWrite: one cannot be written.
    """
    from mien.files import write_whole

    for path, data in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
