"""Makes a corpus on disk with any number of processes: the same bytes for the same settings, and resumable.

Work is done by the block, a pure function of settings and number. A finished block leaves a part of the
table in the sub-folder `unfinished`; at the end the parts become the table. A run that was cut short finds
the parts, and makes what is missing. The table always says what is there: it is written, without rows, before
the first picture, and room for the whole of it is reserved, so that it fits also on a disk that pictures have
filled.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, fields
from functools import cache
from multiprocessing.connection import wait
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mien.errors import BadCorpus, CannotWrite
from mien.facecode import CodeLayout
from mien.files import write_whole
from mien.morphable import MorphableModel, load_model
from mien.synthesis import BLOCK, Recipe, generate
from mien.synthesis.corpus import (
    TABLE,
    Corpus,
    CorpusSettings,
    picture_path,
    row_bytes,
    row_checksums,
    table_row,
    write_table,
)
from mien.synthesis.edited import PORTRAITS, EditedPortraits, Portraits

UNFINISHED = "unfinished"

_ENCODING = {
    "png": [cv2.IMWRITE_PNG_COMPRESSION, 1],
    "jpg": [cv2.IMWRITE_JPEG_QUALITY, 95,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444],
}  # fmt: skip
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def synthesize(
    folder: Path,
    count: int,
    recipe: Recipe,
    seed: int = 0,
    *,
    format: Literal["png", "jpg"] = "png",
    jobs: int = 1,
    edited: Path | None = None,
    load: Callable[[], MorphableModel] = load_model,
    portraits: Callable[[], Portraits] | None = None,
    advance: Callable[[int], None] = lambda done: None,
) -> Corpus:
    """Makes a corpus, or what is missing of one; a longer one of a shorter.

    Pictures 0 to `count` are those of `mien.synthesis.generate`, or of
    `mien.synthesis.edited.EditedPortraits` where photographs are edited, the same bytes for any number of
    jobs (on processors of one kind: linear algebra may round differently on others).

    Args:
        folder: new, empty, or with a corpus of the same settings.
        count: pictures that it has in the end.
        recipe, seed: of the pictures.
        format: of the files: PNG keeps every bit, JPEG (quality 95, colour at full resolution) takes a
            quarter of the room.
        jobs: processes of one thread each, which end with this one.
        edited: folder of the photographs that are edited, None for random pictures alone.
        load: makes the morphable model, in every process; must pickle.
        portraits: reads the photographs of `edited`, and must be given with it; asked once: what it read is
            kept in the folder.
        advance: told how many pictures there are, first before any is made.

    Raises:
        BadCorpus: the folder has other files, a corpus of other settings, or a longer one; or a process was
            killed. What is finished is kept.
        CannotWrite: no permission, no room. What is finished is a valid, shorter corpus.
    """
    model = load()
    settings = CorpusSettings(model.id, recipe, seed, format, None if edited is None else str(edited))
    _refuse_others(folder, settings)
    kept = folder / PORTRAITS
    read = portraits() if edited is not None and not kept.exists() else None
    _claim(folder, settings, model.layout)
    if read is not None:
        write_whole(kept, read.to_bytes())
    shelf = _Shelf(folder, settings, count)
    missing = shelf.missing()
    done = count - sum(len(shelf.wanted(block)) for block in missing)
    advance(done)
    if not missing and len(Corpus(folder)) == count:
        _tidy(folder)
        return Corpus(folder)
    full = None
    with _reserved(folder / UNFINISHED, count * row_bytes(model.layout)):
        tasks = [_Task(folder, settings, load, block, len(shelf.wanted(block))) for block in missing]
        try:
            for made in _results(tasks, jobs):
                done += made
                advance(done)
        except CannotWrite as error:
            full = error
        except BrokenProcessPool as error:
            raise BadCorpus(
                f"{folder}: a process that makes pictures was killed (by lack of memory?), {done:,} of "
                f"{count:,} pictures are finished; start again with fewer jobs, it goes on from there"
            ) from error
    _write_table(folder, settings, model.layout, count)
    _tidy(folder)
    if full is not None:
        raise CannotWrite(
            f"{full}; {folder} is a corpus of {len(Corpus(folder)):,} of {count:,} pictures now, and the "
            "same command goes on from there"
        ) from full
    return Corpus(folder)


def _refuse_others(folder: Path, settings: CorpusSettings) -> None:
    """Refuses a folder that holds another corpus, or something else."""
    if (folder / TABLE).exists():
        theirs = Corpus(folder).settings
        for name in (field.name for field in fields(settings)):
            old, new = getattr(theirs, name), getattr(settings, name)
            if old != new:
                raise BadCorpus(
                    f"{folder}: a corpus of {name} {old}, not {new}; choose another folder or its settings"
                )
        return
    with _usable(folder):
        found = folder.iterdir() if folder.exists() else []
        others = [path.name for path in found if not path.name.startswith(".")]
    if others:
        raise BadCorpus(f"{folder}: has other files ({others[0]}) and no corpus; choose an empty folder")


def _claim(folder: Path, settings: CorpusSettings, layout: CodeLayout) -> None:
    """Makes an empty folder a corpus without pictures."""
    if not (folder / TABLE).exists():
        with _usable(folder):
            folder.mkdir(parents=True, exist_ok=True)
        write_table(folder, settings, layout, 0, [])


@contextlib.contextmanager
def _usable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"{folder}: cannot be used ({error.strerror}); choose another folder") from error


@dataclass(frozen=True)
class _Rows:
    """Where a block's rows are: some of a safetensors file's."""

    file: Path
    first: int
    end: int

    def read(self, column: str) -> np.ndarray:
        with safe_open(self.file, "np") as file:
            return file.get_slice(column)[self.first : self.end]


class _Shelf:
    """What is finished of a corpus of `count` pictures: a part for each block, or rows of the table."""

    def __init__(self, folder: Path, settings: CorpusSettings, count: int) -> None:
        self.folder, self.settings, self.count = folder, settings, count
        numbers = Corpus(folder).numbers
        self.rows: dict[int, _Rows] = {}
        for block in np.unique(numbers // BLOCK):
            first, end = np.searchsorted(numbers, [block * BLOCK, (block + 1) * BLOCK])
            self.rows[int(block)] = _Rows(folder / TABLE, int(first), int(end))
        for part in (folder / UNFINISHED).glob("[0-9]*.safetensors"):
            with contextlib.suppress(SafetensorError), safe_open(part, "np") as file:
                self.rows[int(part.stem)] = _Rows(part, 0, file.get_slice("number").get_shape()[0])
        last = max((int(rows.read("number")[-1]) for rows in self.rows.values()), default=-1)
        if last >= count:
            raise BadCorpus(
                f"{folder}: has pictures to number {last} and cannot become shorter; "
                f"ask for {last + 1} or more, or choose another folder"
            )

    def wanted(self, block: int) -> range:
        """Numbers of the block's pictures."""
        return range(block * BLOCK, min((block + 1) * BLOCK, self.count))

    def missing(self) -> list[int]:
        """Blocks of which rows or files are missing."""
        return [block for block in range(-(-self.count // BLOCK)) if not self._is_whole(block)]

    def _is_whole(self, block: int) -> bool:
        rows = self.rows.get(block)
        if rows is None or rows.end - rows.first != len(self.wanted(block)):
            return False
        for number, length in zip(rows.read("number"), rows.read("file_bytes"), strict=True):
            path = picture_path(self.folder, int(number), self.settings.format)
            if not path.is_file() or path.stat().st_size != length:
                return False
        return True


def _write_table(folder: Path, settings: CorpusSettings, layout: CodeLayout, count: int) -> None:
    """Writes the table of all that is finished."""
    shelf = _Shelf(folder, settings, count)
    sources = [shelf.rows[block] for block in sorted(shelf.rows)]

    def column(name: str) -> Iterator[bytes]:
        return (np.ascontiguousarray(rows.read(name)).tobytes() for rows in sources)

    total = sum(rows.end - rows.first for rows in sources)
    write_table(folder, settings, layout, total, map(column, table_row(layout)))


def _tidy(folder: Path) -> None:
    if (folder / UNFINISHED).exists():
        shutil.rmtree(folder / UNFINISHED)


@contextlib.contextmanager
def _reserved(folder: Path, size: int) -> Iterator[None]:
    """Holds room on the disk while pictures are written, for what is written after them."""
    ballast = folder / "reserved"
    try:
        try:
            folder.mkdir(exist_ok=True)
            with ballast.open("wb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            raise CannotWrite(
                f"{folder}: cannot hold the {size / 1e6:,.0f} MB of the table ({error.strerror}); "
                "choose another folder or make room"
            ) from error
        yield
    finally:
        ballast.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Task:
    """Makes one block; what a process is given to do."""

    folder: Path
    settings: CorpusSettings
    load: Callable[[], MorphableModel]
    block: int
    count: int

    def __call__(self) -> int:
        """Writes the block's files and its part of the table, or nothing; returns the number of pictures."""
        model = _loaded(self.load)
        draw = generate if self.settings.edited is None else EditedPortraits(self.folder / PORTRAITS)
        pictures = draw(model, self.settings.recipe, self.settings.seed, self.block)
        files = [_encoded(image, self.settings.format) for image in pictures.images[: self.count]]
        first = self.block * BLOCK
        columns = {
            "number": np.arange(first, first + self.count),
            "file_bytes": np.array([len(file) for file in files]),
            "file_crc32": np.array([zlib.crc32(file) for file in files], np.uint32),
            "landmarks_px": pictures.landmarks_px[: self.count],
        }
        codes = pictures.codes[: self.count]
        columns |= {name: np.ascontiguousarray(getattr(codes, name)) for name in codes.layout.shapes}
        columns["row_crc32"] = row_checksums(columns)
        paths = [picture_path(self.folder, first + i, self.settings.format) for i in range(self.count)]
        new = [path for path in paths if not path.exists()]
        try:
            for path, file in zip(paths, files, strict=True):
                _write(path, file)
            write_whole(self.folder / UNFINISHED / f"{self.block:09d}.safetensors", save(columns))
        except CannotWrite:
            for path in new:
                path.unlink(missing_ok=True)
            raise
        return self.count


@cache
def _loaded(load: Callable[[], MorphableModel]) -> MorphableModel:
    return load()


def _encoded(image: np.ndarray, format: str) -> bytes:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(f".{format}", bgr, _ENCODING[format])[1].tobytes()


def _write(path: Path, data: bytes) -> None:
    """Writes a picture whole. It is not awaited on the disk: a run that goes on checks its files' lengths."""
    temporary = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(exist_ok=True)
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise CannotWrite(f"{path}: cannot be written ({error.strerror})") from error


def _results(tasks: list[_Task], jobs: int) -> Iterator[int]:
    """What the tasks return, as they are done; started ones are waited for also where one fails."""
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(min(jobs, len(tasks)) or 1, context, initializer=_start_worker)
    try:
        with _for_children():
            futures = [executor.submit(task) for task in tasks]
        for future in as_completed(futures):
            yield future.result()
    finally:
        executor.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _for_children() -> Iterator[None]:
    """Processes that start in here compute in one thread, and leave Ctrl-C to this one."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        if main:
            signal.signal(signal.SIGINT, handler)


def _start_worker() -> None:
    cv2.setNumThreads(1)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """Ends this process when the one that started it has ended, however that was."""
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
