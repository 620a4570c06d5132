"""`mien evaluate encoders`: several trained networks side by side."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from mien.cli.evaluate.measured import pictures_in, prepare, short_names, show_report, tracked
from mien.cli.status import Status
from mien.cli.train import need_training


@dataclass(frozen=True)
class EvaluateEncoders:
    """Compare encoders: runs of `mien train`, or files of `mien export-encoder`.

    Examples:
      mien evaluate encoders run encoder.onnx                        on drawn pictures
      mien evaluate encoders small resnet50 --photos portraits/ -o results
      mien evaluate encoders small resnet50 --faces examples/ -o results   the figure shows these

    On drawn pictures that no training saw: loss of the parameters, and millimetres between the vertices of
    the face that is read and the true one. On photographs: landmark error (478 points against the detector's,
    over the distance of the outer eye corners) and photometric RMSE of the network alone. Networks of the
    preset thesis are shown its crops (docs/thesis.md); they have no RMSE, as these are cut to the hull. All
    are judged on the photographs in which the detectors of every preset find a face. Time is one core's, with
    ONNX Runtime, for one crop. With photographs there is a figure of up to three faces through all networks.

    Needs the extra: pip install 'mien[train]'. Exit status: 0 done; 2 wrong usage; 4 some encoder cannot be
    read, or fewer than 20 photographs have a face.
    """

    sources: Positional[
        Annotated[tuple[Path, ...], arg(metavar="RUN_OR_ONNX...", help_behavior_hint="(at least one)")]
    ]
    """Folders of runs, or exported encoders."""
    photos: Annotated[Path | None, arg(metavar="DIR")] = None
    """Photographs to judge the networks on."""
    faces: Annotated[Path | None, arg(metavar="DIR")] = None
    """Photographs that the figure shows; those of --photos if not given."""
    pictures: Annotated[int, arg(metavar="N")] = 512
    """How many are drawn."""
    out: Annotated[Path | None, arg(aliases=("-o",), metavar="DIR")] = None
    """Folder for the figure, the table and the numbers; made if it is not there."""
    limit: Annotated[int | None, arg(metavar="N")] = None
    """At most so many photographs, evenly chosen; at least 20 must have a face."""

    def run(self) -> int:
        """Measures and reports."""
        if not self.sources or self.pictures < 1:
            print("mien evaluate encoders: give encoders, and --pictures of 1 or more", file=sys.stderr)
            return Status.USAGE
        need_training()
        from mien.evaluation.encoders import LoadedEncoder, encoder_report, of_common_photos
        from mien.evaluation.one_face import CANDIDATES, through_networks
        from mien.training.bootstrap import crop_faces

        shown = self.faces or self.photos
        prepare(self.out, figures=shown is not None)
        encoders = dict(zip(short_names(self.sources), map(LoadedEncoder.of, self.sources), strict=True))
        photos = pictures_in(self.photos, self.limit) if self.photos else []
        kinds = sorted({encoder.crop_kind for encoder in encoders.values()}) if photos else ()
        crops = of_common_photos(
            {
                (size, preset): crop_faces(photos, size, tracked("finding faces"), _say, preset)
                for size, preset in kinds
            }
        )
        scores = {
            name: encoder.judge(self.pictures, crops.get(encoder.crop_kind))
            for name, encoder in encoders.items()
        }
        about = f"{self.pictures} drawn pictures"
        if photos:
            about += f"; {len(next(iter(crops.values())).names)} photographs of {self.photos.name}"
        report = encoder_report(about, scores)
        if shown:
            faces = partial(through_networks, pictures_in(shown, CANDIDATES), encoders)
            report = replace(report, figures={"": faces})
        show_report(report, self.out, "encoders")
        return Status.DONE


def _say(line: str) -> None:
    print(line, file=sys.stderr)
