"""`mien models`: the face models at hand, what they are made of, and how others are added."""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg, subcommand

from mien import assets
from mien.cli.status import Status
from mien.cli.terminal import show
from mien.errors import BadAsset


def model_names() -> list[str]:
    """Names of the models at hand, packaged and added."""
    from mien.model_files import store

    return store.model_names()


@dataclass(frozen=True)
class List:
    """Name the face models at hand, and those that can be added.

    Examples:
      mien models list
    """

    def run(self) -> int:
        """Prints name, size, licence and provenance of each; a line on standard error for a damaged file."""
        from rich.table import Table

        from mien.model_files.formats import FORMATS
        from mien.model_files.store import added_file, added_names, packaged_names, read_origin

        table = Table("model", "size", "licence", "made from", box=None, header_style="bold")
        for name in packaged_names():
            asset = assets.catalogue()[f"{name}.safetensors"]
            table.add_row(name, _size(assets.path(asset.file)), asset.licence, asset.provenance)
        status = Status.DONE
        for name in added_names():
            try:
                added = read_origin(name)
            except BadAsset as error:
                print(error, file=sys.stderr)
                status = Status.UNREADABLE
                continue
            table.add_row(
                name, _size(added_file(name)), added["licence"], f"{added['title']}: {added['source']}"
            )
        show(table)
        table = Table("kind", "what `mien models add KIND PATH` wants", "from", box=None, header_style="bold")
        for kind, form in FORMATS.items():
            table.add_row(kind, form.files, form.home)
        show(table)
        return status


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

        from mien.model_files.store import unknown_model
        from mien.morphable import load_model

        if self.name not in model_names():
            print(unknown_model(self.name), file=sys.stderr)
            return Status.USAGE
        model = load_model(self.name)
        low, high = model.expression_bounds
        span = "unit-variance components" if np.isinf(high) else f"coefficients in [{low:g}, {high:g}]"
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
            "expression": f"{model.layout.expression} {span}",
            "albedo": f"{model.layout.albedo} unit-variance components",
            **_origin(self.name),
        }.items():
            table.add_row(key, value)
        show(table)
        return Status.DONE


@dataclass(frozen=True)
class Add:
    """Add a published face model from its files, so that every command takes it as --model.

    Examples:
      mien models add bfm2017 model2017-1_bfm_nomouth.h5
      mien models add ict FaceXModel
      mien models add flame2023-open flame2023_Open.pkl --name flame
      mien reconstruct photo.jpg --model bfm2017

    The licences of these models forbid to ship them: download the files from where `mien models list` says.
    They are checked, laid in correspondence with the default model (landmarks, expressions, and colours for a
    model that has none), and kept as one file in the user's data folder.

    Exit status: 0 added; 2 wrong usage; 4 the files cannot be read, are incomplete or not as published.
    """

    kind: Positional[Annotated[str, arg(metavar="KIND")]]
    """Which model it is; `mien models list` names the kinds."""
    path: Positional[Annotated[Path, arg(metavar="PATH")]]
    """The model's file, or folder of files, as published."""
    name: Annotated[str, arg(metavar="NAME")] = ""
    """Name to give it; its kind if not given."""
    overwrite: bool = False
    """Replace the added model of that name."""

    def run(self) -> int:
        """Reads, checks, adopts and writes the model; prints how well it corresponds to the default one."""
        from mien.model_files.formats import FORMATS

        if self.kind not in FORMATS:
            near = difflib.get_close_matches(self.kind, FORMATS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(FORMATS)}"
            print(f"there is no kind of model {self.kind}; {hint}", file=sys.stderr)
            return Status.USAGE
        from mien.adoption.add import add_model

        name = self.name or self.kind
        adopted, remarks = add_model(self.kind, self.path, name, self.overwrite)
        for remark in remarks:
            print(f"{name}: {remark}", file=sys.stderr)
        layout = adopted.model.layout
        print(
            f"{name}: {len(adopted.model.part):,} vertices; {layout.identity} identity, "
            f"{layout.expression} expression and {layout.albedo} albedo coefficients"
        )
        print(
            f"medians: surface {adopted.surface_mm:.2f} mm, landmarks {adopted.landmarks_mm:.2f} mm; "
            f"missed of ARKit's movements: {adopted.expression_mm:.2f} of {adopted.arkit_mm:.2f} mm"
        )
        return Status.DONE


@dataclass(frozen=True)
class Models:
    """List the face models, tell about one, or add one.

    Examples:
      mien models list
      mien models info anny
      mien models add bfm2017 model2017-1_bfm_nomouth.h5
    """

    action: (
        Annotated[List, subcommand("list")]
        | Annotated[Info, subcommand("info")]
        | Annotated[Add, subcommand("add")]
    )

    def run(self) -> int:
        """Runs the action."""
        return self.action.run()


def _origin(name: str) -> dict[str, str]:
    """Where a model comes from, by what is told of it."""
    from mien.model_files.store import added_file, packaged_names, read_origin

    if name in packaged_names():
        asset = assets.catalogue()[f"{name}.safetensors"]
        return {
            "file": f"{asset.file}, {_size(assets.path(asset.file))}",
            "sha256": f"{asset.sha256} (checked)",
            "licence": asset.licence,
            "made from": asset.provenance,
            "made by": asset.command,
        }
    file = added_file(name)
    added = read_origin(name)
    return {
        "file": f"{file}, {_size(file)}",
        "licence": added["licence"],
        "made from": f"{added['title']}: {added['source']}",
        "made by": f"mien models add {added['kind']}, on {added['date']}",
        "residuals": ", ".join(f"{key} {value:.2f} mm" for key, value in added["residuals_mm"].items()),
        **({"remarks": "; ".join(added["remarks"])} if added["remarks"] else {}),
    }


def _size(file: Path) -> str:
    return f"{file.stat().st_size / 1e6:.1f} MB"
