"""What `mien models add` does: read, adopt, and keep in the user's data folder with licence and source."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from mien.adoption.adopt import Adopted, adopt
from mien.errors import CannotWrite
from mien.model_files.formats import FORMATS
from mien.model_files.packaged import write_model_file
from mien.model_files.store import added_file, check_new_name, data_folder
from mien.morphable import load_model


def add_model(kind: str, path: Path, name: str, replace: bool = False) -> tuple[Adopted, tuple[str, ...]]:
    """Adds a published model; the data folder has all of it afterwards, or nothing.

    Args:
        kind: one of `mien.model_files.formats.FORMATS`.
        path: its file or folder.
        name: to give it.
        replace: an added model of that name.

    Returns:
        the model with its residuals, and remarks on its files, a sentence each.

    Raises:
        mien.errors.BadModelFile: the files are not as published, or the name is taken.
        mien.errors.MissingLibrary: a library that reads the files is not installed.
        mien.errors.CannotWrite: the data folder cannot be written.
    """
    from mien.detect import Detector

    check_new_name(name, replace)
    form = FORMATS[kind]
    published = form.read(path)
    with Detector() as detector:
        adopted = adopt(published, name, load_model(), detector)
    try:
        data_folder().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWrite(
            f"{data_folder()}: cannot be made ({error.strerror}); set XDG_DATA_HOME to another folder"
        ) from error
    about = {
        "kind": kind,
        "title": form.title,
        "licence": form.licence,
        "source": str(path.resolve()),
        "date": datetime.now(UTC).date().isoformat(),
        "remarks": published.remarks,
        "residuals_mm": {
            "surface": adopted.surface_mm,
            "landmarks": adopted.landmarks_mm,
            "expressions": adopted.expression_mm,
        },
    }
    write_model_file(adopted.model, added_file(name), about)
    return adopted, published.remarks
