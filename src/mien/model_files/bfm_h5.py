"""Basel Face Model 2017 and 2019: HDF5 in Statismo's layout.

T. Gerig et al., "Morphable Face Models - An Open Framework", FG 2018. Statistics are at `shape/model`,
`expression/model` and `color/model`: `mean` (3 V,), `pcaBasis` (3 V, K) with unit columns and `pcaVariance`
(K,); x, y and z of a vertex follow each other; millimetres, colours in [0, 1]. The mesh is at
`shape/representer`: `points` (3, V) and `cells` (3, T).

Checked against the file: shapes, unit columns, the size of the face, the range of the colours, that the
mean of the expressions is a displacement. Not to be checked: that colours are sRGB, which no publication
says.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mien.errors import BadModelFile, MissingLibrary
from mien.model_files.published import (
    PublishedModel,
    check_size,
    checked,
    find_file,
    numbered,
    triangles_of,
    unreadable,
)

if TYPE_CHECKING:
    import h5py

_UNIT_COLUMN = 1e-2
"""How far the length of a basis vector may be from 1."""
_DISPLACEMENT_MM = 30.0
"""Greatest mean of the expressions, which is added to the mean shape: more is no displacement."""
_LARGEST = 1 << 28
"""Numbers of one array; the published files have 35 million at most."""


def read_bfm_h5(path: Path) -> PublishedModel:
    """The model in a file as `model2017-1_bfm_nomouth.h5` or `model2019_bfm.h5`, or in its folder.

    Raises:
        BadModelFile: not HDF5, truncated, or an array is missing or not as published.
        MissingLibrary: h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingLibrary(
            'Basel Face Models need h5py, which is not installed: pip install "mien[models]"'
        ) from error
    file = find_file(path, "model20*.h5", "*.h5")
    try:
        with h5py.File(file) as h5:
            return _read(file, h5)
    except (OSError, RuntimeError, KeyError) as error:
        raise unreadable(file, error, "HDF5: truncated, or not the file as published") from error


def _read(file: Path, h5: h5py.File) -> PublishedModel:
    mean, identity = _statistics(file, h5, "shape")
    shift, expression = _statistics(file, h5, "expression", len(mean))
    if (largest := np.abs(shift).max()) > _DISPLACEMENT_MM:
        raise BadModelFile(
            f"{file}: expression/model/mean moves a vertex by {largest:.4g} mm, "
            f"expected a displacement of at most {_DISPLACEMENT_MM:.0f}"
        )
    colour, albedo = _statistics(file, h5, "color", len(mean))
    if colour.min() < -0.1 or not 0.05 < colour.mean() < 1.0:
        raise BadModelFile(
            f"{file}: color/model/mean is {colour.min():.3g} to {colour.max():.3g}, expected [0, 1]"
        )
    mean = mean + shift
    check_size(file, "shape/model/mean", mean, "millimetres")
    cells = checked(file, "shape/representer/cells", _array(file, h5, "shape/representer/cells"), 3, "T")
    return PublishedModel(
        mean=mean,
        identity=identity,
        expression=expression,
        expression_names=numbered("expression", len(expression)),
        expression_bounds=(-np.inf, np.inf),
        triangles=triangles_of(file, "shape/representer/cells", cells.T, mean),
        part=np.zeros(len(mean), np.int32),
        part_names=("skin",),
        albedo_mean=colour.astype(np.float32),
        albedo=albedo,
    )


def _statistics(file: Path, h5: h5py.File, of: str, vertices: int | None = None) -> tuple:
    """(V, 3) mean and (K, V, 3) float32 components, one standard deviation each, of shape, say."""
    size = "3 V" if vertices is None else 3 * vertices
    name = f"{of}/model"
    mean = checked(file, f"{name}/mean", np.ravel(_array(file, h5, f"{name}/mean")), size)
    if len(mean) % 3:
        raise BadModelFile(f"{file}: {name}/mean has {len(mean)} numbers, expected 3 for each vertex")
    basis = _array(file, h5, f"{name}/pcaBasis")
    basis = checked(file, f"{name}/pcaBasis", basis, len(mean), "K", dtype=np.float32)
    variance = np.ravel(_array(file, h5, f"{name}/pcaVariance"))
    variance = checked(file, f"{name}/pcaVariance", variance, basis.shape[1], dtype=np.float32)
    length = np.linalg.norm(basis, axis=0)
    if np.abs(length - 1).max() > _UNIT_COLUMN or variance.min() < 0:
        raise BadModelFile(
            f"{file}: {name}/pcaBasis has columns of length {length.min():.3g} to {length.max():.3g}, "
            f"and pcaVariance from {variance.min():.3g}; expected length 1 and no negative variance"
        )
    basis *= np.sqrt(variance)
    return mean.reshape(-1, 3), np.ascontiguousarray(basis.T).reshape(len(variance), -1, 3)


def _array(file: Path, h5: h5py.File, name: str) -> np.ndarray:
    import h5py

    found = h5.get(name)
    if not isinstance(found, h5py.Dataset):
        raise BadModelFile(
            f"{file}: has no array {name}; is it a Basel Face Model 2017 or 2019 with expressions?"
        )
    if found.size > _LARGEST:
        raise BadModelFile(f"{file}: {name} has {found.size:,} numbers, which no face model has; get it anew")
    return found[()]
