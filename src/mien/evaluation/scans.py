"""Reconstructions against scans by NoW's protocol: one, many in one score, and table and figure of these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mien.evaluation.closest_point import Surface
from mien.evaluation.figures import draw_curves, panels, png_of
from mien.evaluation.geometry import CURVE_MM, LANDMARKS, Distances, align, scan_to_mesh
from mien.evaluation.ways import Estimate
from mien.morphable import MorphableModel

OUTSIDE = ("skin", "eye_left", "eye_right")
"""Parts of a model that a scanner would see."""


@dataclass(frozen=True, eq=False)
class Scan:
    """A true face.

    Attributes:
        points: (N, 3) mm, those that are compared. landmarks: (7, 3) in the order of `LANDMARKS`.
        kept: (P,) bool, which of a scanner's points these are; None where there is no scanner.
    """

    points: np.ndarray
    landmarks: np.ndarray
    kept: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Guess:
    """A reconstruction to be compared with a scan.

    Attributes:
        vertices, triangles: (V, 3) mm, any frame, and (T, 3). landmarks: (7, 3).
        partners: (P, 3) its points that correspond to the scanner's; None where that is not known.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    landmarks: np.ndarray
    partners: np.ndarray | None = None


Contender = Callable[[np.ndarray, np.ndarray], tuple[Guess, Guess]]
"""(H, W, 3) sRGB in [0, 1] and (478, 3) landmarks in pixels to the head as it is, and the same at rest."""


def outer_triangles(model: MorphableModel) -> np.ndarray:
    """(T', 3) triangles of a model that a scanner would see."""
    outside = [i for i, name in enumerate(model.part_names) if name in OUTSIDE]
    return model.triangles[np.isin(model.part, outside)[model.triangles].all(1)]


def guess_of(model: MorphableModel, identity: np.ndarray, expression: np.ndarray) -> Guess:
    """The head of some coefficients."""
    vertices = model.vertices(identity, expression)
    landmarks = model.landmarks68(vertices)[LANDMARKS]
    return Guess(vertices.astype(np.float64), outer_triangles(model), landmarks.astype(np.float64))


def mean_guess(model: MorphableModel) -> Guess:
    """The mean head at rest, which is a guess without looking."""
    return guess_of(model, np.zeros(model.layout.identity), np.zeros(model.layout.expression))


def contender(estimate: Estimate, guess: Callable[[np.ndarray, np.ndarray], Guess]) -> Contender:
    """A way to read a face, with what makes heads of its coefficients."""

    def read(image: np.ndarray, landmarks_px: np.ndarray) -> tuple[Guess, Guess]:
        code = estimate(image, landmarks_px)
        return guess(code.identity, code.expression), guess(code.identity, np.zeros_like(code.expression))

    return read


@dataclass(frozen=True, eq=False)
class Comparison:
    """One reconstruction against its scan.

    Attributes:
        scaled, unscaled: (N,) float32 mm, distance of each of the scan's points, the reconstruction scaled or
            not ("non-metrical" and "metrical" of NoW).
        offsets: (N, 3) mm between corresponding points after the scaled alignment of surfaces; None where it
            is not known which correspond.
    """

    scaled: np.ndarray
    unscaled: np.ndarray
    offsets: np.ndarray | None


def compare(guess: Guess, scan: Scan) -> Comparison:
    """NoW's comparison of a reconstruction with a scan, its scale free and kept."""
    surface = Surface.of(guess.vertices, guess.triangles)
    scaled, unscaled = (
        align(surface, guess.landmarks, scan.points, scan.landmarks, with_scale)
        for with_scale in (True, False)
    )
    offsets = None
    if guess.partners is not None:
        offsets = scaled(guess.partners[scan.kept]) - scan.points
    return Comparison(
        scan_to_mesh(surface, scan.points, scaled).astype(np.float32),
        scan_to_mesh(surface, scan.points, unscaled).astype(np.float32),
        offsets,
    )


@dataclass(frozen=True)
class Score:
    """Errors of many heads, millimetres.

    Attributes:
        heads: how many.
        scaled, unscaled: distances of all points of all heads, pooled as NoW does.
        lateral, vertical, depth: root mean square of the parts of the offsets between corresponding points,
            along the true head's x, y and z, after the scaled alignment; NaN where none are known.
    """

    heads: int
    scaled: Distances
    unscaled: Distances
    lateral: float
    vertical: float
    depth: float

    @classmethod
    def of(cls, comparisons: Sequence[Comparison]) -> Score:
        """All distances pooled."""
        offsets = [c.offsets for c in comparisons if c.offsets is not None]
        rms = np.sqrt((np.concatenate(offsets) ** 2).mean(0)) if offsets else np.full(3, np.nan)
        return cls(
            len(comparisons),
            Distances.of(np.concatenate([c.scaled for c in comparisons])),
            Distances.of(np.concatenate([c.unscaled for c in comparisons])),
            *(float(r) for r in rms),
        )


def score(guesses: Iterable[Guess], scans: Sequence[Scan]) -> Score:
    """Each guess against its scan."""
    return Score.of([compare(guess, scan) for guess, scan in zip(guesses, scans, strict=True)])


def score_table(
    scores: Mapping[str, Score], targets: Mapping[str, float] | None = None
) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of a table of scores; `targets` are scaled medians to be reached."""
    with_offsets = any(np.isfinite(score.depth) for score in scores.values())
    columns = ["mm", "heads"] + (["target"] if targets else [])
    columns += [f"{kind} {what}" for kind in ("scaled", "unscaled") for what in ("median", "mean", "std")]
    columns += ["rms across", "rms up", "rms depth"] if with_offsets else []
    rows = []
    for name, score in scores.items():
        row = [name, str(score.heads)]
        if targets:
            row.append(f"{targets[name]:.2f}" if name in targets else "")
        values = [getattr(d, w) for d in (score.scaled, score.unscaled) for w in ("median", "mean", "std")]
        values += [score.lateral, score.vertical, score.depth] if with_offsets else []
        rows.append(row + [f"{v:.3f}" if np.isfinite(v) else "" for v in values])
    return columns, rows


def score_figure(scores: Mapping[str, Score]) -> bytes:
    """PNG of cumulative curves, scaled and unscaled; what comes after a comma in the names has its own row.

    Raises:
        MissingLibrary: matplotlib is not installed.
    """
    groups: dict[str, dict[str, Score]] = {}
    for name, score in scores.items():
        who, _, group = name.partition(", ")
        groups.setdefault(group, {})[who] = score
    names = list(dict.fromkeys(who for members in groups.values() for who in members))
    figure, rows = panels(2, rows=len(groups), height=3.2)
    for row, (group, members) in zip(rows, groups.items(), strict=True):
        for panel, kind in zip(row, ("scaled", "unscaled"), strict=True):
            curves = {who: np.array(getattr(score, kind).below) for who, score in members.items()}
            draw_curves(panel, CURVE_MM, curves, names, "mm", "points of the scans")
            panel.set_title(f"{group}, {kind}" if group else kind, fontsize=10)
    return png_of(figure)
