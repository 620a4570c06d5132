"""`mien evaluate bootstrap`: what each round of a bootstrapping gained."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from mien.cli.evaluate.measured import pictures_in, prepare, show_report
from mien.cli.status import Status
from mien.cli.train import need_training


@dataclass(frozen=True)
class EvaluateBootstrap:
    """Show what each round of `mien bootstrap` gained.

    Examples:
      mien evaluate bootstrap run-real -o results                       table and figure of its rounds
      mien evaluate bootstrap run-real --photos portraits/ -o results   and three faces through them

    The numbers are those that the bootstrapping measured on photographs held out. With --photos, which needs
    the extra mien[train], three of that folder are read by the network of each stage and drawn from the code
    alone; networks of the preset thesis read its crops, which needs mien[dlib].

    Exit status: 0 done; 2 wrong usage; 4 the folder has no finished bootstrapping, a network cannot be read,
    or no photograph has a face.
    """

    folder: Positional[Annotated[Path, arg(metavar="FOLDER")]]
    """Of `mien bootstrap`."""
    photos: Annotated[Path | None, arg(metavar="DIR")] = None
    """Photographs of which three are shown."""
    out: Annotated[Path | None, arg(aliases=("-o",), metavar="DIR")] = None
    """Folder for the figures, the table and the numbers; made if it is not there."""

    def run(self) -> int:
        """Reports."""
        from mien.evaluation.stages import Stages, networks_of

        if self.photos is not None and self.out is None:
            print("mien evaluate bootstrap: --photos makes a figure; say where (-o DIR)", file=sys.stderr)
            return Status.USAGE
        prepare(self.out)
        stages = Stages.read(self.folder)
        report = stages.report()
        if self.photos is not None:
            need_training()
            from mien.evaluation.encoders import LoadedEncoder
            from mien.evaluation.one_face import CANDIDATES, through_networks

            sources = networks_of(self.folder, len(stages.stages) - 1)
            encoders = dict(zip(stages.names, map(LoadedEncoder.of, sources), strict=True))
            # drawn before the table is shown, so that what is wrong with it is said before
            faces = through_networks(pictures_in(self.photos, CANDIDATES), encoders)
            report = replace(report, figures={**report.figures, ".faces": lambda: faces})
        show_report(report, self.out, "bootstrap")
        return Status.DONE
