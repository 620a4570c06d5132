"""Pickles of arrays read without running anything that they name: they can build arrays and nothing else.

A pickle is a program that calls what it names. Here it gets none of that: each name that pickles of NumPy,
SciPy and chumpy arrays use stands for an inert class of this module, and every other name is an error. No
code of NumPy's, SciPy's or chumpy's sees the pickle's bytes but `numpy.frombuffer`, with a plain numeric
type.
"""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from mien.errors import BadModelFile

_LARGEST = 1 << 31
"""Bytes of one array."""


class _Inert:
    """Keeps what a pickle says of an object, and does nothing with it."""

    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Array(_Inert):
    """A NumPy array under construction: state (version, shape, type, Fortran order, bytes)."""

    def read(self) -> np.ndarray:
        _, shape, kind, fortran, data = self.state
        data = data.encode("latin1") if isinstance(data, str) else data
        return _from_bytes(data, kind, shape, "F" if fortran else "C")


class _Dtype(_Inert):
    """A NumPy type under construction: its code, and the byte order as state."""

    def read(self) -> np.dtype:
        code = self.arguments[0]
        order = self.state[1] if self.state else "|"
        if not (isinstance(code, str) and code[:1] in ("f", "i", "u", "b") and order in ("<", ">", "|", "=")):
            raise ValueError("an array of other things than numbers")
        return np.dtype(code).newbyteorder(order if order in "<>" else "=")


class _Object(_Inert):
    """An object of chumpy's or SciPy's: a dictionary of its attributes as state."""


class _Encoded(_Inert):
    """Bytes that Python 3 wrote as text for Python 2."""


class _FromBuffer(_Inert):
    """An array of pickle protocol 5: bytes, type, shape and order."""


class _Scalar(_Inert):
    """A single number: type and bytes."""


class _Plain(_Inert):
    """A set or ordered dictionary, which arrays do not need."""


_KNOWN = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _Scalar,
    ("numpy._core.multiarray", "scalar"): _Scalar,
    ("numpy.core.numeric", "_frombuffer"): _FromBuffer,
    ("numpy._core.numeric", "_frombuffer"): _FromBuffer,
    ("numpy", "ndarray"): _Plain,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Encoded,
    ("copy_reg", "_reconstructor"): _Object,
    ("copyreg", "_reconstructor"): _Object,
    ("__builtin__", "object"): _Plain,
    ("builtins", "object"): _Plain,
    ("__builtin__", "set"): _Plain,
    ("builtins", "set"): _Plain,
    ("__builtin__", "bytes"): _Encoded,
    ("builtins", "bytes"): _Encoded,
    ("collections", "OrderedDict"): _Plain,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        if module.split(".")[0] == "chumpy" or (
            module.startswith("scipy.sparse") and name.endswith("_matrix")
        ):
            return _Object
        raise pickle.UnpicklingError(f"it wants {module}.{name}, which builds no array")

    def persistent_load(self, identifier: Any) -> Any:
        raise pickle.UnpicklingError("it refers to objects outside itself")


def read_arrays(file: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Arrays of a pickled dictionary, by name; a sparse matrix as a dense one, a chumpy array as its values.

    Args:
        file: a pickle, of Python 2 or 3.
        names: of the arrays to take; those that it does not have are left out.

    Raises:
        BadModelFile: no such pickle, truncated, or it wants to build anything but arrays.
    """
    try:
        with file.open("rb") as stream:
            content = _Unpickler(stream, encoding="latin1").load()
    except Exception as error:  # a hostile or damaged pickle can raise anything
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise BadModelFile(
            f"{file}: not read, it is no pickle of arrays ({reason}); nothing of it was run"
        ) from error
    if not isinstance(content, dict):
        raise BadModelFile(f"{file}: holds no dictionary of arrays")
    arrays = {}
    for name in names:
        if name in content:
            try:
                arrays[name] = _value(content[name])
            except Exception as error:
                reason = " ".join(str(error).split())[:120] or type(error).__name__
                raise BadModelFile(f"{file}: {name} cannot be read as an array ({reason})") from error
    return arrays


def _value(item: Any, depth: int = 0) -> np.ndarray:
    if depth > 4:
        raise ValueError("objects within objects")
    if isinstance(item, _Array):
        return item.read()
    if isinstance(item, _FromBuffer):
        data, kind, shape, order = item.arguments
        return _from_bytes(data, kind, shape, order)
    if isinstance(item, _Scalar):
        return _from_bytes(item.arguments[1], item.arguments[0], (), "C")
    if isinstance(item, _Object):
        state = item.state if isinstance(item.state, dict) else {}
        if "x" in state:  # chumpy.Ch
            return _value(state["x"], depth + 1)
        if {"data", "indices", "indptr"} <= state.keys():
            return _dense(item, state, depth + 1)
        raise ValueError("an object without stored values")
    if isinstance(item, int | float | list):
        return np.asarray(item)
    raise ValueError(f"a {type(item).__name__}")


def _from_bytes(data: Any, kind: Any, shape: Any, order: str) -> np.ndarray:
    if isinstance(data, _Encoded):
        data = data.arguments[0].encode("latin1") if data.arguments else b""
    if not isinstance(data, bytes | bytearray) or not isinstance(kind, _Dtype):
        raise ValueError("its values are not plain numbers")
    kind = kind.read()
    shape = tuple(int(n) for n in shape)
    if min(shape, default=0) < 0 or math.prod(shape) * kind.itemsize != len(data) or len(data) > _LARGEST:
        raise ValueError(f"{len(data)} bytes for shape {shape} of {kind}")
    return np.frombuffer(data, kind).reshape(shape, order="F" if order == "F" else "C")


def _dense(item: _Object, state: dict[str, Any], depth: int) -> np.ndarray:
    """A compressed sparse matrix, by columns unless its shape and pointers say rows."""
    shape = tuple(int(n) for n in state.get("_shape", state.get("shape")))
    data, indices, pointers = (_value(state[key], depth) for key in ("data", "indices", "indptr"))
    by_rows = len(pointers) == shape[0] + 1
    if len(shape) != 2 or math.prod(shape) * 8 > _LARGEST or len(pointers) != shape[0 if by_rows else 1] + 1:
        raise ValueError(f"a sparse matrix of shape {shape} with {len(pointers)} pointers")
    dense = np.zeros(shape)
    major = np.repeat(np.arange(len(pointers) - 1), np.diff(pointers))
    where = (major, indices) if by_rows else (indices, major)
    np.add.at(dense, where, data)
    return dense
