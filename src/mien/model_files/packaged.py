"""mien's own model files, packaged or added by the user: safetensors, float16 where it does no harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mien import assets
from mien.errors import BadAsset
from mien.files import write_whole
from mien.morphable import Correspondence, Embedding, MorphableModel, Refinement

_FLOAT16 = ("identity_components", "expression_components", "albedo_mean", "albedo_components")
_ARRAYS = (
    "identity_mean", "identity_components", "expression_components", "albedo_mean", "albedo_components",
    "triangles", "uv", "uv_triangles", "part", "mirror",
)  # fmt: skip
_WIDE = {"f": np.float32, "i": np.int32, "u": np.int32}


def read_packaged(name: str) -> MorphableModel:
    """The packaged model `name`.

    Raises:
        BadAsset: no such model, or its file is missing or altered.
    """
    return read_model_file(assets.path(f"{name}.safetensors"))


def read_model_file(path: Path) -> MorphableModel:
    """A model from a file written by `write_model_file`.

    Raises:
        BadAsset: the file is not such a file.
    """
    try:
        with safe_open(path, framework="np") as file:
            header = json.loads(file.metadata()["mien"])
            arrays = {key: file.get_tensor(key) for key in file.keys()}
        arrays = {key: array.astype(_WIDE[array.dtype.kind]) for key, array in arrays.items()}
        return _model(header, arrays)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise BadAsset(
            f"{path}: not a mien model file ({error}); reinstall mien, or add the model again"
        ) from error


def read_header(path: Path) -> dict[str, Any]:
    """What a file of `write_model_file` says beside its arrays, without reading these.

    Raises:
        BadAsset: the file is not such a file.
    """
    try:
        with safe_open(path, framework="np") as file:
            return json.loads(file.metadata()["mien"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise BadAsset(
            f"{path}: not a mien model file ({error}); reinstall mien, or add the model again"
        ) from error


def _model(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> MorphableModel:
    def part(key: str, kind: type) -> Any:
        return kind(**{field: arrays[f"{key}.{field}"] for field in kind.__dataclass_fields__})

    return MorphableModel(
        name=header["name"],
        version=header["version"],
        expression_names=tuple(header["expression_names"]),
        expression_bounds=tuple(header["expression_bounds"]),
        albedo_is_log=header["albedo_is_log"],
        part_names=tuple(header["part_names"]),
        refinement=Refinement(
            levels=tuple(arrays[f"refinement.level{i}"] for i in range(header["refinement_levels"])),
            triangles=arrays["refinement.triangles"],
            part=arrays["refinement.part"],
            mirror=arrays["refinement.mirror"],
        ),
        landmarks478=part("landmarks478", Embedding),
        landmarks68=part("landmarks68", Embedding),
        albedo_is_srgb=header.get("albedo_is_srgb", False),
        correspondence=part("correspondence", Correspondence) if header.get("added") else None,
        **{key: arrays[key] for key in _ARRAYS},
    )


def write_model_file(model: MorphableModel, path: Path, added: dict[str, Any] | None = None) -> None:
    """Writes `model` as the one file `read_model_file` reads, whole or not at all.

    The same model gives the same bytes.

    Args:
        model: any.
        path: of the file.
        added: what is known of a model that was added; its correspondence is written too.

    Raises:
        mien.errors.CannotWrite: the file cannot be written.
    """
    arrays = {
        key: np.ascontiguousarray(getattr(model, key), dtype=np.float16 if key in _FLOAT16 else None)
        for key in _ARRAYS
    }
    parts = {"landmarks478": Embedding, "landmarks68": Embedding}
    for key, kind in (parts | {"correspondence": Correspondence} if added else parts).items():
        for field in kind.__dataclass_fields__:
            arrays[f"{key}.{field}"] = np.ascontiguousarray(getattr(getattr(model, key), field))
    for i, pairs in enumerate(model.refinement.levels):
        arrays[f"refinement.level{i}"] = np.ascontiguousarray(pairs)
    for key in ("triangles", "part", "mirror"):
        arrays[f"refinement.{key}"] = np.ascontiguousarray(getattr(model.refinement, key))
    header = {
        "name": model.name,
        "version": model.version,
        "expression_names": model.expression_names,
        "expression_bounds": model.expression_bounds,
        "albedo_is_log": model.albedo_is_log,
        "part_names": model.part_names,
        "refinement_levels": len(model.refinement.levels),
    }
    if added:
        header |= {"albedo_is_srgb": model.albedo_is_srgb, "added": added}
    write_whole(path, save(dict(sorted(arrays.items())), metadata={"mien": json.dumps(header)}))
