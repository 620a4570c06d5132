"""`numba.njit` for explicit signatures: compiled once, kept on disk where some folder can be written to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(signature: Any, **options: Any) -> Callable:
    """Decorator: the function compiled for `signature` when its module is imported."""

    def decorate(function: Callable) -> Callable:
        try:
            return numba.njit(signature, cache=True, **options)(function)
        except RuntimeError:  # numba found no folder for its cache
            return numba.njit(signature, **options)(function)

    return decorate
