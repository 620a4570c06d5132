"""Random emotions with their names: what the recogniser of expressions learns from, as codes alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from mien.expressions.prototypes import EXPRESSIONS, VARIANTS, arkit_vector
from mien.synthesis.expressions import lopsided, random_expressions, spoken

FAINTEST = 0.3
"""Strength below which an emotion counts as neutral: of five levels nearer to the first, a trace, than to the
second, slight, as FACS calls them (Ekman, Friesen, Hager, "Facial Action Coding System", 2002)."""

_NEUTRAL = EXPRESSIONS.index("neutral")


@dataclass(frozen=True, eq=False)
class Emotions:
    """Labelled expressions.

    Attributes:
        expression: (N, 52) float64 ARKit coefficients in [0, 1].
        label: (N,) int64 place in `EXPRESSIONS`.
    """

    expression: np.ndarray
    label: np.ndarray

    def __getitem__(self, index: np.ndarray) -> Emotions:
        return Emotions(self.expression[index], self.label[index])


def random_emotions(rng: np.random.Generator, count: int, ways: np.ndarray | None = None) -> Emotions:
    """Emotions at any strength: mixed from their ways of being shown, lopsided, spoken over, eyes anywhere.

    Args:
        rng: source of chance.
        count: how many; each of the seven is as likely.
        ways: (7, W, E) ways to show each of `EXPRESSIONS`, which are only mixed and scaled; ARKit's, of
            `mien.expressions.prototypes`, if not given.
    """
    known = ways is None
    ways = _ways() if known else ways
    label = rng.integers(len(EXPRESSIONS), size=count)
    mixture = rng.dirichlet(np.full(ways.shape[1], 0.4), count)
    shown = np.einsum("nw,nwe->ne", mixture, ways[label])
    strength = rng.uniform(0.0, 1.1, (count, 1)) ** 0.7
    uneven = np.exp(rng.normal(size=(count, ways.shape[2])) * 0.3) * (rng.random(shown.shape) > 0.1)
    shown = shown * strength * uneven
    label = np.where(strength[:, 0] < FAINTEST, _NEUTRAL, label)
    if not known:
        return Emotions(shown, label)
    talks = rng.random((count, 1)) < 0.1
    shown = np.where(talks, np.maximum(0.8 * shown, 0.5 * spoken(rng, count)), lopsided(rng, shown))
    at_rest = random_expressions(rng, count, kind="neutral")
    return Emotions(np.clip(np.maximum(shown, at_rest), 0.0, 1.0), label)


@cache
def _ways() -> np.ndarray:
    """(7, 6, 52); the one way to be neutral counts for all."""
    most = max(map(len, VARIANTS.values()))
    ways = [[VARIANTS[name][way % len(VARIANTS[name])] for way in range(most)] for name in EXPRESSIONS]
    return np.array([[arkit_vector(units) for units in way] for way in ways], np.float64)
