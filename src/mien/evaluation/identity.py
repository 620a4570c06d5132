"""Whether identity codes tell people apart, and whether expressions leak into them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata, spearmanr


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
    """(P,) distances of all pairs i < j of (N, K) codes, row by row. Metric: "euclidean" or "cosine"."""
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
