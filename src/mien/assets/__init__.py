"""Packaged files: the only place that knows their paths, checks their sha256 and tells their licences."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mien.errors import BadAsset

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Asset:
    """One packaged file.

    Attributes:
        file: name inside this folder.
        sha256: hex digest of its bytes.
        licence: SPDX identifier.
        provenance: where it comes from, in a sentence.
        command: what makes it again, or where it is downloaded from.
    """

    file: str
    sha256: str
    licence: str
    provenance: str
    command: str


@cache
def catalogue() -> dict[str, Asset]:
    """All packaged files by name, as `assets.json` records them.

    Raises:
        BadAsset: the catalogue is missing or damaged.
    """
    listing = _FOLDER / "assets.json"
    try:
        return {entry["file"]: Asset(**entry) for entry in json.loads(listing.read_text())}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadAsset(f"{listing}: missing or damaged ({error}); reinstall mien") from error


@cache
def path(file: str) -> Path:
    """The path of a packaged file whose bytes are the recorded ones; checked once a process.

    Raises:
        BadAsset: the file is not listed, missing, or altered.
    """
    asset = catalogue().get(file)
    if asset is None:
        raise BadAsset(f"{file}: mien packages no such file; it has {', '.join(sorted(catalogue()))}")
    location = _FOLDER / file
    try:
        with location.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        reason = error.strerror
        raise BadAsset(f"{location}: packaged file cannot be read ({reason}); reinstall mien") from error
    if digest != asset.sha256:
        expected = f"sha256 is {digest}, not {asset.sha256}"
        raise BadAsset(f"{location}: {expected}; the file was altered, reinstall mien")
    return location
