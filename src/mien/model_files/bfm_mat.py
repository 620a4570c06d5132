"""Basel Face Model 2009 with the expressions of Guo et al., and Deep3DFaceRecon's cut of it: MATLAB files.

P. Paysan et al., "A 3D Face Model for Pose and Illumination Invariant Face Recognition", AVSS 2009; Y. Guo
et al., "CNN-based Real-time Dense Face Reconstruction", PAMI 2018; Y. Deng et al., "Accurate 3D Face
Reconstruction with Weakly-Supervised Learning", CVPRW 2019. The published file is in micrometres with
colours from 0 to 255; `shapePC` and `texPC` have unit columns and `shapeEV` and `texEV` standard
deviations. `Exp_Pca.bin` is int32 count, float32 mean (3 V,), float32 components (count, 3 V),
`std_exp.txt` their standard deviations; V = 53,215 vertices, which `BFM_exp_idx.mat` names among the
53,490. Deep3DFaceRecon's file is in decimetres, scaled already.

Checked against the files: shapes, units by the size of the face, unit columns of the bases, that
`trimIndex` fits the expressions. Not to be checked: whether the mean of the expressions belongs to the
neutral face.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

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

_MICROMETRES, _DECIMETRES = 1e-3, 100.0
_BYTES = 255.0


def read_bfm2009(path: Path) -> PublishedModel:
    """The model in a folder of `01_MorphableModel.mat`, `Exp_Pca.bin`, `std_exp.txt` and `BFM_exp_idx.mat`.

    The mean of the expressions is left out, as Deep3DFaceRecon does: coefficient 0 is the neutral scan.

    Raises:
        BadModelFile: a file is missing or truncated, or an array is missing or not as published.
    """
    folder = path.parent if path.is_file() else path
    file = find_file(path, "01_MorphableModel.mat")
    arrays = _load(file, "shapeMU", "shapePC", "shapeEV", "texMU", "texPC", "texEV", "tl")
    chosen_file = find_file(folder, "BFM_exp_idx.mat")
    chosen = checked(
        chosen_file, "trimIndex", np.ravel(_load(chosen_file, "trimIndex")["trimIndex"]), "V", dtype=int
    )
    mean, identity = _statistics(file, arrays, "shape", _MICROMETRES)
    colour, albedo = _statistics(file, arrays, "tex", 1 / _BYTES, len(mean))
    if chosen.min() < 1 or chosen.max() > len(mean) or len(np.unique(chosen)) != len(chosen):
        raise BadModelFile(f"{chosen_file}: trimIndex must name each of 1 to {len(mean)} at most once")
    chosen -= 1
    number = np.full(len(mean), -1)
    number[chosen] = np.arange(len(chosen))
    triangles = number[checked(file, "tl", arrays["tl"], "T", 3, dtype=np.int64) - 1]
    mean = mean[chosen]
    check_size(file, "shapeMU", mean, "micrometres")
    expression = _guo_expressions(folder, len(chosen))
    return _model(
        file, mean, identity[:, chosen], expression, colour[chosen], albedo[:, chosen],
        triangles[(triangles >= 0).all(axis=1)], first=0,
    )  # fmt: skip


def read_deep3d(path: Path) -> PublishedModel:
    """The model in `BFM_model_front.mat`, or in its folder.

    Raises:
        BadModelFile: it is missing or truncated, or an array is missing or not as published.
    """
    file = find_file(path, "BFM_model_front.mat")
    arrays = _load(file, "meanshape", "idBase", "exBase", "meantex", "texBase", "tri")
    mean = checked(file, "meanshape", np.ravel(arrays["meanshape"]), "3 V")
    count = len(mean) // 3
    mean = _DECIMETRES * mean.reshape(-1, 3)
    check_size(file, "meanshape", mean, "decimetres")

    def components(name: str, scale: float) -> np.ndarray:
        basis = checked(file, name, arrays[name], 3 * count, "K", dtype=np.float32)
        return np.ascontiguousarray(np.float32(scale) * basis.T).reshape(-1, count, 3)

    colour = checked(file, "meantex", np.ravel(arrays["meantex"]), 3 * count).reshape(-1, 3) / _BYTES
    return _model(
        file, mean, components("idBase", _DECIMETRES), components("exBase", _DECIMETRES), colour,
        components("texBase", 1 / _BYTES), arrays["tri"], first=1,
    )  # fmt: skip


def _model(
    file: Path,
    mean: np.ndarray,
    identity: np.ndarray,
    expression: np.ndarray,
    colour: np.ndarray,
    albedo: np.ndarray,
    triangles: np.ndarray,
    first: int,
) -> PublishedModel:
    if not 0.05 < colour.mean() < 1.0:
        raise BadModelFile(f"{file}: mean colour {_BYTES * colour.mean():.3g}, expected a face's on 0 to 255")
    return PublishedModel(
        mean=mean,
        identity=np.ascontiguousarray(identity),
        expression=expression,
        expression_names=numbered("expression", len(expression)),
        expression_bounds=(-np.inf, np.inf),
        triangles=triangles_of(file, "the triangle list", triangles, mean, first),
        part=np.zeros(len(mean), np.int32),
        part_names=("skin",),
        albedo_mean=colour.astype(np.float32),
        albedo=np.ascontiguousarray(albedo),
    )


def _statistics(
    file: Path, arrays: dict[str, Any], of: str, scale: float, vertices: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(V, 3) mean and (K, V, 3) float32 components, one standard deviation each, scaled."""
    mean = checked(file, f"{of}MU", np.ravel(arrays[f"{of}MU"]), "3 V" if vertices is None else 3 * vertices)
    basis = checked(file, f"{of}PC", arrays[f"{of}PC"], len(mean), "K", dtype=np.float32)
    deviation = checked(file, f"{of}EV", np.ravel(arrays[f"{of}EV"]), basis.shape[1], dtype=np.float32)
    length = np.linalg.norm(basis, axis=0)
    if len(mean) % 3 or np.abs(length - 1).max() > 0.01:
        raise BadModelFile(
            f"{file}: {of}PC has columns of length {length.min():.3g} to {length.max():.3g}, expected 1"
        )
    components = (basis * (np.float32(scale) * deviation)).T
    return scale * mean.reshape(-1, 3), np.ascontiguousarray(components).reshape(len(deviation), -1, 3)


def _guo_expressions(folder: Path, vertices: int) -> np.ndarray:
    """(E, V, 3) float32 mm, from `Exp_Pca.bin` and `std_exp.txt`."""
    file, deviations = find_file(folder, "Exp_Pca.bin"), find_file(folder, "std_exp.txt")
    try:
        count = int(np.fromfile(file, "<i4", 1)[0])
        numbers = np.fromfile(file, "<f4", offset=4)
        deviation = np.loadtxt(deviations, ndmin=1)
    except (OSError, ValueError, IndexError) as error:
        raise unreadable(file, error, "expressions of Guo et al.") from error
    if not 0 < count < 1000 or numbers.size != 3 * vertices * (count + 1):
        raise BadModelFile(
            f"{file}: has {numbers.size:,} numbers after its count {count}, expected {3 * vertices} for "
            f"each of {count} components and their mean (trimIndex has {vertices:,} vertices)"
        )
    if np.ravel(deviation).size < count:
        raise BadModelFile(f"{deviations}: has {deviation.size} standard deviations, expected {count}")
    basis = checked(file, "its components", numbers[3 * vertices :].reshape(count, -1), count, 3 * vertices)
    deviation = checked(deviations, "its column", np.ravel(deviation)[:count], count)
    scaled = basis * (_MICROMETRES * deviation)[:, None]
    return scaled.astype(np.float32).reshape(count, vertices, 3)


def _load(file: Path, *names: str) -> dict[str, Any]:
    from scipy.io import loadmat

    try:
        arrays = loadmat(file, variable_names=names)
    except Exception as error:  # SciPy raises errors of every kind on a damaged file
        raise unreadable(file, error, "a MATLAB file of version 7 or before") from error
    if missing := [name for name in names if name not in arrays]:
        raise BadModelFile(f"{file}: has no array {', '.join(missing)}; is it the file as published?")
    return arrays
