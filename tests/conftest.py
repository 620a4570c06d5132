"""Fixtures and paths that several test files share."""

import os
from pathlib import Path

import pytest

# as `mien` does: sums of one BLAS thread, which those of several differ from in their last bits
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

SHARED = Path(os.environ.get("MIEN_SHARED", Path(__file__).parents[2] / "shared")) / "data"


@pytest.fixture(scope="session")
def photos() -> Path:
    """The folder of photographs beside the checkout; skips where it is not there."""
    if not (SHARED / "photos_open").is_dir():
        pytest.skip("the photographs are not on this machine")
    return SHARED
