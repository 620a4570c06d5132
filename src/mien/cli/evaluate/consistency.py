"""`mien evaluate consistency`: whether faces of one person come out more alike than those of two."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from mien.cli.each import no_face
from mien.cli.evaluate.measured import evenly, pictures_by_person, prepare, read_each, show_report
from mien.cli.status import Status


@dataclass(frozen=True)
class EvaluateConsistency:
    """Measure whether one person's faces come out alike.

    Examples:
      mien evaluate consistency people/ -o results        a sub-folder with photographs for each person
      mien evaluate consistency lfw/ --limit 50           files named as in LFW: Some_Name_0001.jpg

    Distances between the identity codes of two photographs, for all pairs: of one person, and of two. AUC is
    the chance that a pair of one person is nearer than a pair of two: 0.5 tells nothing, 1 everything; d′ is
    the distance of both means in standard deviations. The code is shape alone; it is no face recognition.

    Exit status: 0 done; 2 wrong usage; 3 in some photograph is no face; 4 some photograph cannot be read.
    """

    folder: Positional[Annotated[Path, arg(metavar="FOLDER")]]
    """Of photographs; people of whom there is one only are left out."""
    out: Annotated[Path | None, arg(aliases=("-o",), metavar="DIR")] = None
    """Folder for the figure, the table and the numbers; made if it is not there."""
    model: Annotated[str, arg(metavar="NAME")] = "anny"
    """Face model; `mien models list` names them."""
    refine: bool = True
    """Take the network's word: the code is not refined against landmarks and pixels."""
    limit: Annotated[int | None, arg(metavar="N")] = None
    """At most so many people, evenly chosen."""

    def run(self) -> int:
        """Measures and reports."""
        import numpy as np

        from mien.evaluation.identity import people_in, separation_report
        from mien.morphable import load_model
        from mien.reconstruction import reconstruct

        prepare(self.out)
        model = load_model(self.model)
        people = people_in(self.folder, pictures_by_person(self.folder))
        chosen = evenly(list(people), self.limit)
        photos = [(name, file) for name in chosen for file in people[name]]

        def identity(photo: tuple[str, Path]) -> np.ndarray:
            faces = reconstruct(str(photo[1]), model=model, refine=self.refine, max_faces=1)
            if not faces:
                raise no_face(photo[1])
            return faces[0].code.identity

        done, status = read_each(photos, lambda photo: photo[1], identity)
        person = np.array([name for (name, _), _ in done])
        if not 1 < len(set(person)) < len(person):
            print(
                f"{self.folder}: no pairs of one person and of two to compare; take more people",
                file=sys.stderr,
            )
            return max(status, Status.NO_FACE)
        way = "network and fit" if self.refine else "network alone"
        about = f"{self.folder.name}, {self.model}, {way}"
        report = separation_report(about, np.array([code for _, code in done]), person)
        show_report(report, self.out, "consistency")
        return status
