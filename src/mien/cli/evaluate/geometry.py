"""`mien evaluate geometry`: reconstructions against scans, or against drawn heads of known shape."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from mien.cli.evaluate.measured import evenly, pictures_in, prepare, read_each, show_report, tracked
from mien.cli.status import Status
from mien.errors import MissingLibrary, NoFace

if TYPE_CHECKING:
    from mien.evaluation.now import NowPicture
    from mien.evaluation.report import Report
    from mien.evaluation.scans import Comparison, Contender, Scan, Score
    from mien.morphable import MorphableModel

_HEADS = 100


@dataclass(frozen=True)
class EvaluateGeometry:
    """Measure 3D shape against scans, or against drawn heads whose shape is known.

    Examples:
      mien evaluate geometry NoW/ -o results                  the NoW benchmark's scans and photographs
      mien evaluate geometry NoW/ --limit 20 --no-refine      fewer of them, the network's word alone
      mien evaluate geometry NoW/ --eos eos/share             beside eos, where eos-py is installed
      mien evaluate geometry --ict ict-facekit.tar.xz         heads of ICT-FaceKit, drawn here

    FOLDER is laid out as NoW is published: iphone_pictures/SUBJECT/CHALLENGE/*.jpg (below it or in
    NoW_Dataset/final_release_version), scans/SUBJECT/*.obj, scans_lmks_onlypp/SUBJECT/*.pp. A scan is of a
    face at rest, so identity alone is compared. --ict draws heads with random identity, expression, pose,
    light, background and the default model's colours. Distances go from the scan to the reconstruction,
    aligned by landmarks, then by surface; "scaled" lets its size vary (NoW's non-metrical), "unscaled" keeps
    millimetres. The mean face, which looks at no picture, is measured in the same run.

    Exit status: 0 done; 2 wrong usage; 3 in some picture is no face; 4 some scan or picture cannot be read.
    """

    folder: Positional[Annotated[Path | None, arg(metavar="FOLDER")]] = None
    """Of scans and photographs in NoW's layout."""
    ict: Annotated[Path | None, arg(metavar="FACEXMODEL")] = None
    """In place of FOLDER: the folder FaceXModel of ICT-FaceKit, or a tar archive of it."""
    backgrounds: Annotated[Path | None, arg(metavar="DIR")] = None
    """With --ict: photographs that may stand behind a head, out of focus."""
    eos: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder share of eos, with the Surrey model: measures its fit too."""
    out: Annotated[Path | None, arg(aliases=("-o",), metavar="DIR")] = None
    """Folder for the figure, the table and the numbers; made if it is not there."""
    model: Annotated[str, arg(metavar="NAME")] = "anny"
    """Face model; `mien models list` names them."""
    refine: bool = True
    """Take the network's word: the code is not refined against landmarks and pixels."""
    limit: Annotated[int | None, arg(metavar="N")] = None
    """At most so many photographs, evenly chosen; of ICT's heads, 100 if not given."""

    def run(self) -> int:
        """Measures and reports."""
        if (self.folder is None) == (self.ict is None):
            print("mien evaluate geometry: give either FOLDER or --ict FACEXMODEL", file=sys.stderr)
            return Status.USAGE
        if self.ict is not None and self.limit == 1:
            print(
                "mien evaluate geometry: --limit is 1, of ICT's heads at least 2 are drawn", file=sys.stderr
            )
            return Status.USAGE
        from mien.morphable import load_model

        prepare(self.out)
        model = load_model(self.model)
        others = self._peers()
        if self.ict is not None:
            try:
                report = self._ict_report(model, others)
            except NoFace as error:
                print(error, file=sys.stderr)
                return Status.NO_FACE
            show_report(report, self.out, "geometry_ict")
            return Status.DONE
        from mien.evaluation.now import now_scores

        comparisons, status = self._now_comparisons(model, others)
        if comparisons:
            show_report(self._report("NoW", now_scores(comparisons)), self.out, "geometry")
        return status

    def _peers(self) -> dict[str, Contender]:
        if self.eos is None:
            return {}
        from mien.evaluation.eos_baseline import eos_contender

        try:
            return {"eos": eos_contender(self.eos)}
        except MissingLibrary as error:
            print(error, file=sys.stderr)
            return {}

    def _report(self, where: str, scores: dict[str, Score]) -> Report:
        from functools import partial

        from mien.evaluation.report import Report
        from mien.evaluation.scans import score_figure, score_table

        way = "network and fit" if self.refine else "network alone"
        data = {name: asdict(score) for name, score in scores.items()}
        data |= {"model": self.model, "refine": self.refine}
        return Report(
            f"{where}, {self.model}, {way}; scan-to-mesh distance",
            *score_table(scores),
            data,
            {"": partial(score_figure, scores)},
        )

    def _ict_report(self, model: MorphableModel, others: dict[str, Contender]) -> Report:
        from mien.evaluation.head_accuracy import (
            Guesser,
            Scanner,
            evaluate_heads,
            heads_and_detections,
            score_means,
        )
        from mien.evaluation.ict import cache_folder, load_ict
        from mien.evaluation.ict_heads import TEST_SEED
        from mien.evaluation.scans import contender
        from mien.evaluation.ways import as_reconstructed
        from mien.morphable import load_model

        ict = load_ict(self.ict)
        seeds = range(TEST_SEED, TEST_SEED + (self.limit or _HEADS))
        backgrounds = pictures_in(self.backgrounds) if self.backgrounds else []
        drawn = heads_and_detections(ict, load_model(), seeds, backgrounds, cache_folder(), progress=tracked)
        scanner = Scanner.of(ict)
        guesser = Guesser.of(model, ict, scanner)
        scores = score_means(guesser, scanner, ict, drawn[0])
        for name, read in {
            "mien": contender(as_reconstructed(model, self.refine), guesser),
            **others,
        }.items():
            accuracy = evaluate_heads(read, scanner, ict, *drawn, tracked(f"reading: {name}"))
            scores |= accuracy.scores(name)
        return self._report(f"{len(seeds)} heads of ICT-FaceKit, {accuracy.found:.0%} found", scores)

    def _now_comparisons(
        self, model: MorphableModel, others: dict[str, Contender]
    ) -> tuple[list[tuple[NowPicture, dict[str, Comparison]]], Status]:
        """Of each photograph with a face and a scan: {who: how near}."""
        from mien.evaluation.now import measure_picture, now_pictures, now_scan
        from mien.evaluation.scans import compare, mean_guess

        pictures = evenly(now_pictures(self.folder), self.limit)
        subjects = sorted({picture.subject for picture in pictures})
        read, worst = read_each(subjects, Path, lambda subject: now_scan(self.folder, subject))
        scans: dict[str, Scan] = dict(read)
        means = {subject: compare(mean_guess(model), scan) for subject, scan in scans.items()}

        def measure(picture: NowPicture) -> dict[str, Comparison]:
            measured = measure_picture(picture, scans[picture.subject], model, self.refine, others)
            return {"mean face": means[picture.subject], **measured}

        readable = [picture for picture in pictures if picture.subject in scans]
        done, status = read_each(readable, lambda picture: picture.file, measure)
        return done, max(worst, status)
