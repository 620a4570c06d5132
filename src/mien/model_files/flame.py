"""FLAME 2020, 2023 and 2023 Open: a pickle of Python 2 with chumpy arrays, or the same arrays as npz.

T. Li, T. Bolkart, M. Black, H. Li, J. Romero, "Learning a model of facial shape and expression from 4D
scans", SIGGRAPH Asia 2017. In metres: `v_template` (V, 3), `shapedirs` (V, 3, 400) of which the first 300
are shape and the last 100 expression, one standard deviation each, `posedirs` (V, 3, 36), `weights` (V, 5),
`J_regressor` (5, V), `kintree_table` (2, 5), `f` (T, 3). The joints are root, neck, jaw, left and right
eye.

A linear model has no joints, so the turns of neck, jaw and eyes are expressions here, each the chord of a
turn by `TURN_DEGREES` about one axis (skinning and pose correctives included), scaled to one radian: exact
there and at rest. At twice that angle a rigid part is off by 4 sin²(`TURN_DEGREES` / 2), 7 %, of its
distance from the joint.

Checked against the file: shapes, the joints' parents, the unit. Not to be checked without a licensed one:
that `posedirs` takes each joint's rotation less one row by row, as SMPL's published code does.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mien.camera import rotation_matrix
from mien.errors import BadModelFile
from mien.model_files.published import (
    PublishedModel,
    check_size,
    checked,
    find_file,
    numbered,
    triangles_of,
    unreadable,
)
from mien.model_files.restricted_pickle import read_arrays

TURN_DEGREES = 15.0
"""At which the joints' expressions are exact."""
JOINTS = ("neck", "jaw", "eye_left", "eye_right")
_AXES = ("x", "y", "z")
_SHAPES = 300
_MM = 1000.0
_NAMES = ("v_template", "shapedirs", "posedirs", "weights", "J_regressor", "kintree_table", "f")
_PARENTS = (0, 1, 1, 1)
"""Of neck, jaw and eyes: the root, then the neck."""
_RIGID = 0.99
"""Skinning weight from which a vertex is of an eyeball."""


def read_flame(path: Path) -> PublishedModel:
    """The model in `generic_model.pkl`, `flame2023.pkl`, `flame2023_Open.pkl`, an npz of it, or its folder.

    Colours and texture coordinates come from `FLAME_texture.npz` beside it, if that is there.

    Raises:
        BadModelFile: it is missing, truncated, holds more than arrays, or an array is not as published.
    """
    file = find_file(path, "generic_model.pkl", "flame2023.pkl", "flame2023_Open.pkl", "*.npz")
    arrays = _load_npz(file, _NAMES) if file.suffix == ".npz" else read_arrays(file, _NAMES)
    if missing := [name for name in _NAMES if name not in arrays]:
        raise BadModelFile(f"{file}: has no array {', '.join(missing)}; is it FLAME's file as published?")
    template = checked(file, "v_template", arrays["v_template"], "V", 3)
    count = len(template)
    directions = checked(file, "shapedirs", arrays["shapedirs"], count, 3, "K", dtype=np.float32)
    if directions.shape[2] <= _SHAPES:
        raise BadModelFile(
            f"{file}: shapedirs has {directions.shape[2]} directions, expected {_SHAPES} of shape and "
            "some of expression: is it FLAME of 2020 or later?"
        )
    correctives = checked(file, "posedirs", arrays["posedirs"], count, 3, 36)
    weights = checked(file, "weights", arrays["weights"], count, 5)
    regressor = checked(file, "J_regressor", arrays["J_regressor"], 5, count)
    parents = checked(file, "kintree_table", arrays["kintree_table"], 2, 5, dtype=np.int64)[0]
    if tuple(parents[1:]) != _PARENTS:
        raise BadModelFile(
            f"{file}: kintree_table has the parents {list(parents[1:])}, expected {list(_PARENTS)}: "
            "neck, jaw, left and right eye"
        )
    mean = _MM * template
    check_size(file, "v_template", mean, "metres")
    corners = checked(file, "f", arrays["f"], "T", 3, dtype=np.int64)
    triangles = triangles_of(file, "f", corners, mean)
    part = np.zeros(count, np.int32)
    part[weights[:, 3] > _RIGID], part[weights[:, 4] > _RIGID] = 1, 2
    components = np.ascontiguousarray(_MM * directions.transpose(2, 0, 1), np.float32)
    turns = _joint_turns(mean, regressor, weights, _MM * correctives)
    expression = np.concatenate([components[_SHAPES:], turns.reshape(-1, count, 3)])
    names = [f"{joint}_{axis}" for joint in JOINTS for axis in _AXES]
    parts = ("skin", "eye_left", "eye_right")[: part.max() + 1]
    texture = file.parent / "FLAME_texture.npz"
    surface = _texture(texture, count, triangles, corners) if texture.is_file() else {}
    return PublishedModel(
        mean=mean,
        identity=components[:_SHAPES],
        expression=expression.astype(np.float32),
        expression_names=(*numbered("expression", len(components) - _SHAPES), *names),
        expression_bounds=(-np.inf, np.inf),
        triangles=triangles,
        part=part,
        part_names=parts,
        remarks=(
            f"neck, jaw and eyes turn as linear expressions in radians, exact at {TURN_DEGREES:.0f} degrees",
        ),
        **surface,
    )


def _joint_turns(
    mean: np.ndarray, regressor: np.ndarray, weights: np.ndarray, correctives: np.ndarray
) -> np.ndarray:
    """(4, 3, V, 3) mm per radian: each joint turned about each axis, the others at rest."""
    places = regressor @ mean
    angle = np.radians(TURN_DEGREES)
    turns = np.zeros((4, 3, *mean.shape))
    for joint in range(1, 5):
        moved_with = [joint, *(k for k in range(2, 5) if joint == 1)]  # jaw and eyes hang on the neck
        share = weights[:, moved_with].sum(axis=1, keepdims=True)
        for axis in range(3):
            turn = rotation_matrix(angle * np.eye(3)[axis])
            bend = correctives[..., 9 * (joint - 1) : 9 * joint] @ (turn - np.eye(3)).ravel()
            bent = mean + bend
            turned = (bent - places[joint]) @ turn.T + places[joint]
            turns[joint - 1, axis] = (share * (turned - bent) + bend) / angle
    return turns


def _texture(file: Path, vertices: int, triangles: np.ndarray, corners: np.ndarray) -> dict[str, np.ndarray]:
    """Colours of the vertices and texture coordinates, as fields of a `PublishedModel`.

    `mean` (S, S, 3) and `tex_dir` (S, S, 3, K) are blue, green, red from 0 to 255, the first row at v = 1.
    """
    arrays = _load_npz(file, ("mean", "tex_dir", "vt", "ft"))
    if missing := [name for name in ("mean", "tex_dir", "vt", "ft") if name not in arrays]:
        raise BadModelFile(
            f"{file}: has no array {', '.join(missing)}; take the file away to go without colours"
        )
    mean = checked(
        file, "mean", np.reshape(arrays["mean"], (-1, *np.shape(arrays["mean"])[-2:])), "S", "S", 3
    )
    size = len(mean)
    directions = checked(file, "tex_dir", arrays["tex_dir"], size, size, 3, "K", dtype=np.float32)
    uv = checked(file, "vt", arrays["vt"], "U", 2)
    rows = checked(file, "ft", arrays["ft"], len(corners), 3, dtype=np.int64)
    if rows.min() < 0 or rows.max() >= len(uv):
        raise BadModelFile(
            f"{file}: ft names texture coordinates to {rows.max()}, expected at most {len(uv) - 1}"
        )
    of_vertex = np.zeros(vertices, np.int64)
    of_vertex[corners.ravel()] = rows.ravel()
    place = uv[of_vertex]
    column = np.clip(place[:, 0] * size, 0, size - 1).astype(int)
    row = np.clip((1 - place[:, 1]) * size, 0, size - 1).astype(int)
    turned = bool((triangles[0] != corners[0]).any())
    return {
        "albedo_mean": (mean[row, column, ::-1] / 255.0).astype(np.float32),
        "albedo": np.ascontiguousarray(directions[row, column, ::-1].transpose(2, 0, 1) / np.float32(255.0)),
        "uv": uv.astype(np.float32),
        "uv_triangles": np.ascontiguousarray(rows[:, ::-1] if turned else rows, np.int32),
    }


def _load_npz(file: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names if name in arrays.files}
    except Exception as error:  # damaged archives raise errors of every kind
        raise unreadable(file, error, "an npz of plain arrays") from error
