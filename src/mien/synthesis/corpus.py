"""A corpus of labelled pictures on disk, and its reader: picture files beside one table of what they show.

A corpus is a folder: `000012/000012345.png`, a thousand pictures to a sub-folder, and `corpus.safetensors`,
one row a picture. `mien.synthesis.corpus_writer` makes it.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from safetensors import SafetensorError, safe_open

from mien.errors import BadCorpus
from mien.facecode import CodeLayout, FaceCode
from mien.files import write_whole
from mien.morphable import MorphableModel
from mien.synthesis import BLOCK, Pictures, Recipe

SCHEMA = "mien.corpus/1"
TABLE = "corpus.safetensors"

HELD_OUT = 8 * BLOCK
"""Pictures at the end of a corpus that training judges itself on, at most."""

_FOLDER = 1000  # pictures of a sub-folder
_AGAIN = "`mien synthesize` with the settings of the corpus makes again what is missing"
_DTYPES = {"I64": np.dtype("<i8"), "U32": np.dtype("<u4"), "F32": np.dtype("<f4")}


@dataclass(frozen=True)
class CorpusSettings:
    """What decides a corpus, but for its length.

    Attributes:
        model: name and version of the morphable model.
        recipe: of the pictures.
        seed: of the blocks.
        format: of the picture files.
        edited: folder of photographs, some of whose faces, made to do something else, are among the pictures
            (`mien.synthesis.edited`), their codes nan but for the expression; random pictures alone if None.
        mien: version of the generator.
    """

    model: str
    recipe: Recipe
    seed: int
    format: Literal["png", "jpg"]
    edited: str | None = None
    mien: str = version("mien")

    def to_metadata(self) -> dict[str, str]:
        """As the table carries it."""
        return {"schema": SCHEMA} | {name: json.dumps(value) for name, value in asdict(self).items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> CorpusSettings:
        """Inverse of `to_metadata`.

        Raises:
            KeyError, TypeError, ValueError: it is not metadata of a corpus of this schema.
        """
        if metadata["schema"] != SCHEMA:
            raise ValueError(f"its schema is {metadata['schema']}, this mien reads {SCHEMA}")
        values = {name: json.loads(text) for name, text in metadata.items() if name != "schema"}
        return cls(**values | {"recipe": Recipe(**values["recipe"])})


class Corpus:
    """A corpus, opened. Nothing of it is kept in memory; pickles as the name of its folder.

    Attributes:
        folder: where it lies.
        settings: what it was made by.
    """

    def __init__(self, folder: Path) -> None:
        """As `open_corpus`, except that it may be empty."""
        self.folder = folder
        table = folder / TABLE
        if not table.is_file():
            raise BadCorpus(f"{table}: no such file, so {folder} is no corpus; `mien synthesize` makes one")
        try:
            self._table = safe_open(table, "np")
            self.settings = CorpusSettings.from_metadata(self._table.metadata() or {})
            self._check_columns()
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise BadCorpus(
                f"{table}: damaged, truncated or no table of a corpus ({reason}); make the corpus anew"
            ) from error

    def __reduce__(self) -> tuple:
        return Corpus, (self.folder,)

    def __len__(self) -> int:
        return self._table.get_slice("number").get_shape()[0]

    def __getitem__(self, index: Any) -> Pictures:
        """Some pictures, in any order: a slice or an array of rows; of a single number, without an axis N.

        Raises:
            BadCorpus: a file is missing, truncated or altered, or the table is.
            IndexError: beyond the end.
        """
        rows = np.arange(len(self))[index]
        columns = self.columns(rows.reshape(-1))
        altered = np.flatnonzero(row_checksums(columns) != columns["row_crc32"])
        if len(altered):
            number = columns["number"][altered[0]]
            raise BadCorpus(f"{self.folder / TABLE}: altered, at picture {number}; make the corpus anew")
        listed = zip(columns["number"], columns["file_bytes"], columns["file_crc32"], strict=True)
        images = [self._image(int(number), int(length), int(check)) for number, length, check in listed]
        shape = (self.settings.recipe.size,) * 2 + (3,)
        pictures = np.stack(images) if images else np.empty((0, *shape), np.uint8)
        columns = {name: column.reshape(rows.shape + column.shape[1:]) for name, column in columns.items()}
        parts = {name: columns[name] for name in CodeLayout(0, 0, 0).shapes}
        codes = FaceCode(**parts, model=self.settings.model)
        return Pictures(pictures.reshape(rows.shape + shape), columns["landmarks_px"], codes)

    def split(self) -> tuple[CorpusStream, CorpusStream]:
        """What training may learn from, and what is held out from it: the last eighth, `HELD_OUT` at most.

        Raises:
            BadCorpus: too few pictures to hold any out.
        """
        held = min(len(self) // 8, HELD_OUT)
        if not held:
            raise BadCorpus(f"{self.folder}: {len(self)} pictures are too few to train on; make more")
        return CorpusStream(self, 0, len(self) - held), CorpusStream(self, len(self) - held, len(self))

    def columns(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Every column of the table at some rows (N,); `TABLE` and `table_row` say what they are."""
        runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
        spans = [(int(run[0]), int(run[-1]) + 1) for run in runs if len(run)] or [(0, 0)]
        slices = {name: self._table.get_slice(name) for name in self._table.keys()}
        return {
            name: np.concatenate([column[first:end] for first, end in spans])
            for name, column in slices.items()
        }

    @cached_property
    def numbers(self) -> np.ndarray:
        """(N,) int64 numbers of the pictures that the table lists, rising."""
        return self._table.get_tensor("number")

    def _check_columns(self) -> None:
        shapes = {name: self._table.get_slice(name).get_shape() for name in self._table.keys()}
        expected = {"number", "file_bytes", "file_crc32", "row_crc32", "landmarks_px"}
        expected |= CodeLayout(0, 0, 0).shapes.keys()
        if shapes.keys() != expected:
            raise ValueError(f"it has the columns {', '.join(sorted(shapes))}")
        if len({shape[0] for shape in shapes.values()}) > 1:
            raise ValueError("its columns differ in length")

    def _image(self, number: int, length: int, checksum: int) -> np.ndarray:
        path = picture_path(self.folder, number, self.settings.format)
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise BadCorpus(f"{path}: is missing; {_AGAIN}") from error
        except OSError as error:
            raise BadCorpus(f"{path}: cannot be read ({error.strerror}); check the disk") from error
        if len(data) != length:
            raise BadCorpus(f"{path}: truncated, {len(data)} bytes of {length}; {_AGAIN}")
        if zlib.crc32(data) != checksum:
            raise BadCorpus(f"{path}: altered; remove it, then {_AGAIN}")
        return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


@dataclass(frozen=True)
class CorpusStream:
    """Stands for `mien.synthesis.generate`, from disk: blocks of a part of a corpus, round and round.

    Attributes:
        corpus: opened.
        first, end: rows of the part.
    """

    corpus: Corpus
    first: int
    end: int

    def __call__(self, model: MorphableModel, recipe: Recipe, seed: int, block: int) -> Pictures:
        """The next `BLOCK` pictures.

        Args:
            model, recipe: must be the corpus's.
            seed: says which block is number 0; the order is the corpus's.
            block: number of the block; after the last picture comes the first.

        Raises:
            BadCorpus: another model or recipe; damage, as `Corpus.__getitem__`.
        """
        settings = self.corpus.settings
        for name, asked in {"model": model.id, "recipe": recipe}.items():
            if asked != (ours := getattr(settings, name)):
                raise BadCorpus(f"{self.corpus.folder}: a corpus of {name} {ours}, not {asked}")
        count = self.end - self.first
        start = int(np.random.default_rng(seed).integers(count))
        return self.corpus[self.first + (start + block * BLOCK + np.arange(BLOCK)) % count]


def open_corpus(folder: str | os.PathLike) -> Corpus:
    """Opens the corpus in a folder.

    Raises:
        BadCorpus: there is none, it has no picture yet, or its table is damaged.
    """
    corpus = Corpus(Path(folder))
    if not len(corpus):
        raise BadCorpus(f"{folder}: has no picture yet; `mien synthesize` was interrupted, start it again")
    return corpus


def picture_path(folder: Path, number: int, suffix: str) -> Path:
    """File of the picture of that number."""
    return folder / f"{number // _FOLDER:06d}" / f"{number:09d}.{suffix}"


def row_checksums(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """(N,) uint32 CRC-32 of each row's numbers, columns by name, without that of the row itself."""
    covered = [np.ascontiguousarray(columns[name]) for name in sorted(columns) if name != "row_crc32"]
    checksums = np.zeros(len(covered[0]), np.uint32)
    for i in range(len(checksums)):
        value = 0
        for column in covered:
            value = zlib.crc32(column[i : i + 1].tobytes(), value)
        checksums[i] = value
    return checksums


def table_row(layout: CodeLayout) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type (safetensors' name) and shape of each column's entry, in the order of the file.

    `number` of the picture; `file_bytes` and `file_crc32` of its file; `row_crc32` of the row; `landmarks_px`
    as in `Pictures`; and the parts of its code.
    """
    codes = {name: ("F32", shape) for name, shape in layout.shapes.items()}
    files = {"number": ("I64", ()), "file_bytes": ("I64", ()), "file_crc32": ("U32", ())}
    return files | {"row_crc32": ("U32", ()), "landmarks_px": ("F32", (478, 2))} | codes


def row_bytes(layout: CodeLayout) -> int:
    """Length of a row of the table."""
    return sum(_entry_bytes(*entry) for entry in table_row(layout).values())


def write_table(
    folder: Path, settings: CorpusSettings, layout: CodeLayout, count: int, columns: Iterable[Iterable[bytes]]
) -> None:
    """Writes a table of any length whole, without holding it in memory.

    Format: https://huggingface.co/docs/safetensors (version 0.4), 8 bytes length of the header, JSON, data.

    Args:
        folder: of the corpus.
        settings: of the corpus.
        layout: of its codes.
        count: rows.
        columns: for each entry of `table_row` its data, little-endian, in pieces.

    Raises:
        CannotWrite: as `mien.files.write_whole`.
    """
    header: dict[str, Any] = {"__metadata__": settings.to_metadata()}
    end = 0
    for name, (dtype, shape) in table_row(layout).items():
        start, end = end, end + count * _entry_bytes(dtype, shape)
        header[name] = {"dtype": dtype, "shape": [count, *shape], "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)

    def file() -> Iterator[bytes]:
        yield len(text).to_bytes(8, "little") + text
        for pieces in columns:
            yield from pieces

    write_whole(folder / TABLE, file())


def _entry_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    return _DTYPES[dtype].itemsize * int(np.prod(shape, dtype=np.int64))
