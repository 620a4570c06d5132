"""Reads the models packaged with mien: one safetensors file each, float16 where it does no harm."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mien import assets
from mien.errors import BadAsset
from mien.morphable import Embedding, MorphableModel, Refinement

_FLOAT16 = ("identity_components", "expression_components", "albedo_mean", "albedo_components")


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
            arrays = {key: file.get_tensor(key) for key in file.keys()}
            header = json.loads(file.metadata()["mien"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise BadAsset(f"{path}: not a mien model file ({error}); reinstall mien") from error
    wide = {"f": np.float32, "i": np.int32, "u": np.int32}
    arrays = {key: array.astype(wide[array.dtype.kind]) for key, array in arrays.items()}

    def embedding(key: str) -> Embedding:
        return Embedding(**{f: arrays[f"{key}.{f}"] for f in Embedding.__dataclass_fields__})

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
        landmarks478=embedding("landmarks478"),
        landmarks68=embedding("landmarks68"),
        **{
            key: arrays[key]
            for key in (
                "identity_mean", "identity_components", "expression_components", "albedo_mean",
                "albedo_components", "triangles", "uv", "uv_triangles", "part", "mirror",
            )
        },
    )  # fmt: skip


def write_model_file(model: MorphableModel, path: Path) -> None:
    """Writes `model` as the one file `read_model_file` reads; the same model gives the same bytes."""
    arrays = {
        key: np.ascontiguousarray(getattr(model, key), dtype=np.float16 if key in _FLOAT16 else None)
        for key in (
            "identity_mean", "identity_components", "expression_components", "albedo_mean",
            "albedo_components", "triangles", "uv", "uv_triangles", "part", "mirror",
        )
    }  # fmt: skip
    for key in ("landmarks478", "landmarks68"):
        for field in Embedding.__dataclass_fields__:
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
    save_file(dict(sorted(arrays.items())), path, metadata={"mien": json.dumps(header)})
