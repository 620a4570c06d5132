"""The `.face.json` file: one face, written and read back to the last bit, distrusting what it reads."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mien.errors import BadFaceFile, UnreadableInput
from mien.expressions.prototypes import EXPRESSIONS
from mien.expressions.recognition import STRONGEST, Reading
from mien.facecode import FaceCode
from mien.files import write_whole
from mien.morphable import MorphableModel, load_model

SCHEMA = "mien.face/1"

_CODE_PARTS = ("identity", "expression", "albedo", "rotation", "translation", "illumination")
_LARGEST_FILE = 1 << 20  # bytes; a face takes about 12,000
_LARGEST_NUMBER = 1e9  # in any unit used here, far outside what a face can have and far inside float32


@dataclass(frozen=True, eq=False)
class Face:
    """One face found in a picture. Frames, units and orders: docs/conventions.md.

    Attributes:
        code: one code (no batch axes), NumPy float64; its `focal_px` is the camera's.
        principal_px: (2,) float64, x and y of the principal point.
        image_size: width and height of the picture in pixels.
        source_file: the picture's file as the user named it.
        box_px: (4,) float64, left, top, right and bottom of the face in the picture.
        landmarks68_px: (68, 2) float64, iBUG's points in the picture.
        expression: what the recogniser reads, or None if it was not asked.
    """

    code: FaceCode
    principal_px: np.ndarray
    image_size: tuple[int, int]
    source_file: str
    box_px: np.ndarray
    landmarks68_px: np.ndarray
    expression: Reading | None = None


def save_face(face: Face, path: Path) -> None:
    """Writes `face` as a `.face.json` of schema `mien.face/1`; `load_face` gives the identical numbers back.

    Raises:
        mien.errors.CannotWrite: the file cannot be written.
        ValueError: a number of the face is not finite.
    """
    write_whole(Path(path), face_bytes(face))


def face_bytes(face: Face) -> bytes:
    """The file of `save_face`.

    Raises:
        ValueError: a number of the face is not finite.
    """
    reading = face.expression
    document = {
        "schema": SCHEMA,
        "model": face.code.model,
        "code": {part: np.asarray(getattr(face.code, part), np.float64).tolist() for part in _CODE_PARTS},
        "camera": {
            "focal_px": float(face.code.focal_px),
            "principal_px": np.asarray(face.principal_px, np.float64).tolist(),
            "image_size": [int(n) for n in face.image_size],
        },
        "source": {"file": str(face.source_file), "box_px": np.asarray(face.box_px, np.float64).tolist()},
        "landmarks68_px": np.asarray(face.landmarks68_px, np.float64).tolist(),
        "expression": reading
        and {
            "label": reading.label,
            "probabilities": {name: float(reading.probabilities[name]) for name in EXPRESSIONS},
            "intensity": float(reading.intensity),
        },
    }
    lines = (f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in document.items())
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def load_face(path: Path, model: MorphableModel | None = None) -> Face:
    """Reads a `.face.json` and checks every field of it.

    Args:
        path: the file.
        model: the model that its code must be of; the default model if None.

    Raises:
        mien.errors.UnreadableInput: the file is missing, too large, or not permitted to be read.
        mien.errors.BadFaceFile: not JSON, another schema or model, or a field that is not as it must be.
    """
    path = Path(path)
    model = model or load_model()
    top = _Field(path, "", _read_json(path)).object(
        "schema", "model", "code", "camera", "source", "landmarks68_px", "expression"
    )
    top["schema"].one_of((SCHEMA,))
    top["model"].one_of((model.id,))
    code = top["code"].object(*_CODE_PARTS)
    camera = top["camera"].object("focal_px", "principal_px", "image_size")
    source = top["source"].object("file", "box_px")
    shapes = model.layout.shapes
    return Face(
        code=FaceCode(
            **{part: code[part].numbers(shapes[part]) for part in _CODE_PARTS},
            focal_px=np.float64(camera["focal_px"].number(above=0.0)),
            model=model.id,
        ),
        principal_px=camera["principal_px"].numbers((2,)),
        image_size=camera["image_size"].size(),
        source_file=source["file"].text(),
        box_px=source["box_px"].numbers((4,)),
        landmarks68_px=top["landmarks68_px"].numbers((68, 2)),
        expression=_reading(top["expression"]),
    )


def model_id(path: Path) -> str:
    """Name and version of the model that the code of a `.face.json` is of; nothing else of it is checked.

    Raises:
        mien.errors.UnreadableInput: the file is missing, too large, or not permitted to be read.
        mien.errors.BadFaceFile: not JSON, another schema, or no model in it.
    """
    path = Path(path)
    top = _Field(path, "", _read_json(path))
    if not isinstance(top.value, dict):
        raise top._error("an object")
    for key in ("schema", "model"):
        if key not in top.value:
            raise _Field(path, key, None)._error("to be there", "it is missing")
    _Field(path, "schema", top.value["schema"]).one_of((SCHEMA,))
    return _Field(path, "model", top.value["model"]).text()


def _reading(field: _Field) -> Reading | None:
    if field.value is None:
        return None
    parts = field.object("label", "probabilities", "intensity")
    probabilities = parts["probabilities"].object(*EXPRESSIONS)
    return Reading(
        label=parts["label"].one_of(EXPRESSIONS),
        probabilities={name: probabilities[name].within(1.0) for name in EXPRESSIONS},
        intensity=parts["intensity"].within(STRONGEST),
    )


def _read_json(path: Path) -> Any:
    try:
        with path.open("rb") as stream:
            data = stream.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or error
        raise UnreadableInput(
            f"{path}: cannot be read ({reason}); name a readable .face.json file"
        ) from error
    if len(data) > _LARGEST_FILE:
        raise UnreadableInput(
            f"{path}: larger than {_LARGEST_FILE} bytes, no face file is; name another file"
        )
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_object_without_doubles)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split()) if data.strip() else "it is empty"
        raise BadFaceFile(
            f"{path}: not a JSON file in UTF-8 ({reason}); make it again with `mien reconstruct`"
        ) from error


def _object_without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field is there twice")
    return fields


@dataclass(frozen=True)
class _Field:
    """A value read from the file, with the place it was found at for the error message."""

    path: Path
    name: str
    value: Any

    def object(self, *keys: str) -> dict[str, _Field]:
        if not isinstance(self.value, dict):
            raise self._error(f"an object with the fields {', '.join(keys)}")
        prefix = f"{self.name}." if self.name else ""
        for key in keys:
            if key not in self.value:
                raise _Field(self.path, prefix + key, None)._error("to be there", "it is missing")
        for key in self.value:
            if key not in keys:
                raise self._error(f"no fields but {', '.join(keys)}", f"there is {_shown(key)}")
        return {key: _Field(self.path, prefix + key, self.value[key]) for key in keys}

    def one_of(self, choices: tuple[str, ...]) -> str:
        if not (isinstance(self.value, str) and self.value in choices):
            raise self._error(" or ".join(_shown(choice) for choice in choices))
        return self.value

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self._error("a string")
        return self.value

    def number(self, above: float = -math.inf) -> float:
        if not isinstance(self.value, int | float) or isinstance(self.value, bool):
            raise self._error("a number")
        if not abs(self.value) <= _LARGEST_NUMBER:
            raise self._error(f"a finite number of magnitude at most {_LARGEST_NUMBER:g}")
        if not self.value > above:
            raise self._error(f"a number above {above:g}")
        return float(self.value)

    def within(self, most: float) -> float:
        if not 0.0 <= self.number() <= most:
            raise self._error(f"a number in [0, {most:g}]")
        return float(self.value)

    def numbers(self, shape: tuple[int, ...]) -> np.ndarray:
        """Nested lists of exactly that shape, as float64."""
        return np.array(self._nested(shape), np.float64).reshape(shape)

    def _nested(self, shape: tuple[int, ...]) -> Any:
        if not shape:
            return self.number()
        return [
            item._nested(shape[1:]) for item in self._items(shape[0], "lists" if shape[1:] else "numbers")
        ]

    def _items(self, count: int, kind: str) -> list[_Field]:
        if not isinstance(self.value, list):
            raise self._error(f"a list of {count} {kind}")
        if len(self.value) != count:
            raise self._error(f"a list of {count} {kind}", f"it has {len(self.value)}")
        return [_Field(self.path, f"{self.name}[{i}]", item) for i, item in enumerate(self.value)]

    def size(self) -> tuple[int, int]:
        """Width and height, whole and positive."""
        width, height = (item.number(above=0.0) for item in self._items(2, "numbers"))
        if not (width.is_integer() and height.is_integer()):
            raise self._error("whole numbers of pixels, width and height")
        return int(width), int(height)

    def _error(self, expected: str, found: str | None = None) -> BadFaceFile:
        found = found or f"it is {_shown(self.value)}"
        place = self.name or "the whole file"
        return BadFaceFile(
            f"{self.path}: {place}: expected {expected}, but {found}; make it again with `mien reconstruct`"
        )


def _shown(value: Any) -> str:
    """The value's beginning as ASCII JSON, fit for one line of any terminal."""
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    if isinstance(value, int) and abs(value) > _LARGEST_NUMBER:
        return "a very large number"
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
