"""The face models at hand: those packaged with mien, and those that the user added to the data folder."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Any

from mien import assets
from mien.errors import BadAsset, BadModelFile
from mien.model_files.packaged import read_header, read_model_file, read_packaged
from mien.morphable import MorphableModel

_SUFFIX = ".safetensors"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def data_folder() -> Path:
    """Where added models are: `mien/models` in the user's data folder ($XDG_DATA_HOME)."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "mien" / "models"


def packaged_names() -> list[str]:
    """Names of the packaged models; files with a dot in their name belong to one."""
    names = (name.removesuffix(_SUFFIX) for name in assets.catalogue() if name.endswith(_SUFFIX))
    return sorted(name for name in names if "." not in name)


def added_names() -> list[str]:
    """Names of the models that were added."""
    found = (file.name.removesuffix(_SUFFIX) for file in data_folder().glob(f"*{_SUFFIX}"))
    return sorted(name for name in found if _NAME.fullmatch(name))


def model_names() -> list[str]:
    """Names of all models at hand."""
    return [*packaged_names(), *added_names()]


def added_file(name: str) -> Path:
    """Where an added model of that name is, or would be."""
    return data_folder() / f"{name}{_SUFFIX}"


def read_origin(name: str) -> dict[str, Any]:
    """What `mien models add` keeps of an added model: kind, title, licence, source, date, remarks, residuals.

    Raises:
        BadAsset: the file is damaged, or is not the one that was made under that name.
    """
    file = added_file(name)
    header = read_header(file)
    if not header.get("added") or header["name"] != name:
        raise BadAsset(
            f"{file}: is not what `mien models add` made under that name; remove it, or add the model again"
        )
    return header["added"]


def check_new_name(name: str, replace: bool = False) -> None:
    """That a model of that name may be added.

    Raises:
        BadModelFile: the name is of no form for a name, or taken.
    """
    if not _NAME.fullmatch(name):
        raise BadModelFile(f"{name!r} is no name for a model: use up to 40 of a-z, 0-9, - and _")
    if name in packaged_names():
        raise BadModelFile(f"{name} is the name of a packaged model; choose another with --name")
    if name in added_names() and not replace:
        raise BadModelFile(f"there is a model {name} already; choose another --name, or --overwrite it")


def unknown_model(name: str) -> str:
    """What to say to who asks for a model that is not there."""
    names = model_names()
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(names)}"
    return f"there is no model {name}; {hint} (`mien models add` brings more)"


def read_named(name: str) -> MorphableModel:
    """The model of that name.

    Raises:
        BadAsset: there is none, or its file is missing or altered.
    """
    if name in packaged_names():
        return read_packaged(name)
    if name in added_names():
        read_origin(name)
        return read_model_file(added_file(name))
    raise BadAsset(unknown_model(name))
