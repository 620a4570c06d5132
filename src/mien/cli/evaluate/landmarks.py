"""`mien evaluate landmarks`: how near the model's 68 points are to annotated ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from mien.cli.evaluate.measured import evenly, prepare, read_each, show_report
from mien.cli.status import Status
from mien.errors import NoFace

if TYPE_CHECKING:
    from mien.evaluation.landmark_sets import AnnotatedFace


@dataclass(frozen=True)
class EvaluateLandmarks:
    """Measure landmarks on annotated photographs.

    Examples:
      mien evaluate landmarks 300W/ -o results            .pts beside each picture, in folders too
      mien evaluate landmarks AFLW2000/ -o results        .mat beside each picture
      mien evaluate landmarks labels_ibug_300W_test.xml   dlib's: one XML file for many pictures
      mien evaluate landmarks 300W/ --limit 100 --no-refine

    The error of a face is the mean distance of its 68 points over a length of the face: the distance of the
    outer eye corners (inter-ocular), of the eyes' middles (inter-pupil), or the annotated points' bounding
    box. Given are mean and median, area under the cumulative curve (AUC) up to 8 % and 10 %, and the share of
    faces beyond these. A face that is not found where it is annotated counts as failed. Yaw is AFLW2000-3D's
    own, otherwise as reconstructed. Beside mien's model stand the detector's points, on which it rests.

    Exit status: 0 done; 2 wrong usage; 3 some face is not found; 4 some file cannot be read.
    """

    place: Positional[Annotated[Path, arg(metavar="FOLDER")]]
    """Of pictures and annotations; or dlib's XML file."""
    out: Annotated[Path | None, arg(aliases=("-o",), metavar="DIR")] = None
    """Folder for the figure, the table and the numbers; made if it is not there."""
    model: Annotated[str, arg(metavar="NAME")] = "anny"
    """Face model; `mien models list` names them."""
    refine: bool = True
    """Take the network's word: the code is not refined against landmarks and pixels."""
    limit: Annotated[int | None, arg(metavar="N")] = None
    """At most so many faces, evenly chosen."""

    def run(self) -> int:
        """Measures and reports."""
        from mien.evaluation.landmark_accuracy import ReadFace, landmark_report, read_annotated
        from mien.evaluation.landmark_sets import TITLES, annotations_in, read_annotation
        from mien.morphable import load_model

        prepare(self.out)
        load_model(self.model)
        layout, items = annotations_in(self.place)
        items = evenly(items, self.limit)
        status = Status.DONE
        if layout != "xml":
            read, status = read_each(items, lambda file: file, read_annotation)
            items = [face for _, face in read]
        missed = 0

        def measure(face: AnnotatedFace) -> ReadFace | None:
            nonlocal missed
            try:
                return read_annotated(face, self.model, self.refine)
            except NoFace:
                missed += 1
                raise

        done, worst = read_each(items, lambda face: face.picture, measure)
        if done:
            way = "network and fit" if self.refine else "network alone"
            about = f"{self.place.name}, {TITLES[layout]}; {self.model}, {way}"
            show_report(landmark_report(about, [face for _, face in done], missed), self.out, "landmarks")
        return max(status, worst)
