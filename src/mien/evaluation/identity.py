"""Whether identity codes tell people apart, and whether expressions leak into them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy.stats import rankdata, spearmanr

from mien.errors import UnreadableInput
from mien.evaluation.figures import COLOURS, panels, png_of
from mien.evaluation.report import Report

METRICS = ("euclidean", "cosine")
"""Of distances between identity codes."""

_LFW_NAME = re.compile(r"(.+)_\d{4}")


@dataclass(frozen=True)
class Separation:
    """How far distances between codes of one person stay below those of two.

    Attributes:
        same, different: number of pairs.
        auc: chance that a pair of one person is nearer than a pair of two; 0.5 tells nothing.
        d_prime: difference of the mean distances over their pooled standard deviation.
    """

    same: int
    different: int
    auc: float
    d_prime: float


def pair_distances(codes: np.ndarray, metric: str) -> np.ndarray:
    """(P,) distances of all pairs i < j of (N, K) codes, row by row. Metric: one of `METRICS`."""
    from scipy.spatial.distance import pdist

    return pdist(codes, metric)


def same_person(person: np.ndarray) -> np.ndarray:
    """(P,) bool, which pairs i < j of (N,) persons are one, in the order of `pair_distances`."""
    rows, columns = np.triu_indices(len(person), 1)
    return person[rows] == person[columns]


def separation(distances: np.ndarray, same: np.ndarray) -> Separation:
    """From (P,) distances and which of them (P,) are of one person.

    Raises:
        ValueError: all pairs are of one kind.
    """
    near, far = distances[same], distances[~same]
    if len(near) == 0 or len(far) == 0:
        raise ValueError(f"{len(near)} pairs of one person and {len(far)} of two: both kinds are needed")
    rank = rankdata(np.concatenate([near, far]))[: len(near)].sum()
    below = len(near) * len(far) - (rank - len(near) * (len(near) + 1) / 2)
    spread = np.sqrt((near.var() + far.var()) / 2)
    return Separation(
        len(near),
        len(far),
        float(below / (len(near) * len(far))),
        float((far.mean() - near.mean()) / spread),
    )


def leak(identity_distance: np.ndarray, other_difference: np.ndarray) -> float:
    """Spearman's correlation over pairs of one person: 0 if the other difference moves no identity."""
    return float(spearmanr(identity_distance, other_difference).statistic)


def people_in(folder: Path, files: Sequence[Path]) -> dict[str, list[Path]]:
    """The photographs of each person of whom there are two or more.

    Args:
        folder: with a sub-folder for each person; or with files as in Labeled Faces in the Wild
            (Huang et al., 2007), `Some_Name_0001.jpg`.
        files: the pictures directly in it, and in its sub-folders.

    Raises:
        UnreadableInput: of fewer than two people there are two photographs.
    """
    people: dict[str, list[Path]] = {}
    for file in files:
        named = _LFW_NAME.fullmatch(file.stem)
        if file.parent != folder:
            people.setdefault(file.parent.name, []).append(file)
        elif named:
            people.setdefault(named[1], []).append(file)
    people = {name: pictures for name, pictures in sorted(people.items()) if len(pictures) > 1}
    if len(people) < 2:
        raise UnreadableInput(
            f"{folder}: two or more photographs of {len(people)} people; give a sub-folder with photographs "
            "for each person, or files named as in LFW, Some_Name_0001.jpg"
        )
    return people


def separation_report(about: str, codes: np.ndarray, person: np.ndarray) -> Report:
    """Table, numbers and figure of how identity codes (N, K) of persons (N,) tell them apart.

    Raises:
        ValueError: all pairs are of one kind.
    """
    same = same_person(person)
    distances = {metric: pair_distances(codes, metric) for metric in METRICS}
    results = {metric: separation(values, same) for metric, values in distances.items()}
    rows = [
        [metric, str(r.same), str(r.different), f"{r.auc:.3f}", f"{r.d_prime:.3f}"]
        for metric, r in results.items()
    ]
    return Report(
        f"{about}; {len(codes)} photographs of {len(np.unique(person))} people",
        ["distance", "pairs of one person", "pairs of two", "AUC", "d′"],
        rows,
        {metric: asdict(result) for metric, result in results.items()},
        {"": partial(_histograms, distances, same, results)},
    )


def _histograms(
    distances: Mapping[str, np.ndarray], same: np.ndarray, results: Mapping[str, Separation]
) -> bytes:
    figure, (axes,) = panels(len(METRICS))
    for panel, (metric, values) in zip(axes, distances.items(), strict=True):
        bins = int(np.clip(2 * np.sqrt(same.sum()), 10, 60))
        edges = np.linspace(0, values.max(), bins + 1)
        for name, chosen, colour in (("one person", same, COLOURS[0]), ("two people", ~same, COLOURS[1])):
            panel.hist(values[chosen], edges, density=True, alpha=0.55, color=colour, label=name)
        panel.set(xlabel=f"{metric} distance of identity codes", ylabel="density of pairs")
        panel.set_title(f"AUC {results[metric].auc:.3f}, d′ {results[metric].d_prime:.2f}")
        panel.legend(fontsize=8)
    return png_of(figure)
