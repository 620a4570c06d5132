"""`mien models`: the face models at hand, and what they are made of."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg, subcommand

from mien import assets
from mien.cli.status import Status
from mien.cli.terminal import show

_SUFFIX = ".safetensors"


def model_names() -> list[str]:
    """Names of the packaged models; files with a dot in their name belong to one."""
    names = (name.removesuffix(_SUFFIX) for name in assets.catalogue() if name.endswith(_SUFFIX))
    return sorted(name for name in names if "." not in name)


@dataclass(frozen=True)
class List:
    """Name the face models at hand.

    Examples:
      mien models list
    """

    def run(self) -> int:
        """Prints name, size, licence and provenance of each."""
        from rich.table import Table

        table = Table("model", "size", "licence", "made from", box=None, header_style="bold")
        for name in model_names():
            asset = assets.catalogue()[name + _SUFFIX]
            table.add_row(name, _size(asset.file), asset.licence, asset.provenance)
        show(table)
        return Status.DONE


@dataclass(frozen=True)
class Info:
    """Tell what a face model is made of, its licence and its checksum.

    Examples:
      mien models info anny
    """

    name: Positional[Annotated[str, arg(metavar="NAME")]]
    """The model's name; `mien models list` has them."""

    def run(self) -> int:
        """Prints what is known of the model, after checking its file."""
        import numpy as np
        from rich.table import Table

        from mien.morphable import load_model

        if self.name not in model_names():
            print(f"there is no model {self.name}; there is {', '.join(model_names())}", file=sys.stderr)
            return Status.USAGE
        model = load_model(self.name)
        asset = assets.catalogue()[self.name + _SUFFIX]
        low, high = model.expression_bounds
        parts = np.bincount(model.part, minlength=len(model.part_names))
        table = Table(box=None, show_header=False)
        table.add_column(style="bold")
        table.add_column()
        for key, value in {
            "model": model.id,
            "base mesh": f"{len(model.part):,} vertices, {len(model.triangles):,} triangles",
            "detail mesh": f"{len(model.refinement.part):,} vertices, "
            f"{len(model.refinement.triangles):,} triangles; carries the albedo",
            "parts": ", ".join(f"{name} {n:,}" for name, n in zip(model.part_names, parts, strict=True)),
            "identity": f"{model.layout.identity} unit-variance components",
            "expression": f"{model.layout.expression} coefficients in [{low:g}, {high:g}]",
            "albedo": f"{model.layout.albedo} unit-variance components",
            "file": f"{asset.file}, {_size(asset.file)}",
            "sha256": f"{asset.sha256} (checked)",
            "licence": asset.licence,
            "made from": asset.provenance,
            "made by": asset.command,
        }.items():
            table.add_row(key, value)
        show(table)
        return Status.DONE


@dataclass(frozen=True)
class Models:
    """List the face models, or tell about one.

    Examples:
      mien models list
      mien models info anny
    """

    action: Annotated[List, subcommand("list")] | Annotated[Info, subcommand("info")]

    def run(self) -> int:
        """Runs the action."""
        return self.action.run()


def _size(file: str) -> str:
    return f"{assets.path(file).stat().st_size / 1e6:.1f} MB"
