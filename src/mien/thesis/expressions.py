"""The thesis's expressions: 64 coefficients beside those of seven base expressions, `expression.csv`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien.errors import BadPrototypes
from mien.expressions.prototypes import EXPRESSIONS, prototypes, read_prototypes
from mien.expressions.recognition import STRONGEST, Reading
from mien.files import write_whole
from mien.morphable import MorphableModel
from mien.thesis.vectors import LAYOUT

_NEUTRAL = EXPRESSIONS.index("neutral")


@dataclass(frozen=True, eq=False)
class BaseExpressions:
    """Seven base expressions, in the place of a `mien.expressions.recognition.Recogniser`.

    Attributes:
        model: name and version of the morphable model that the coefficients are of.
        prototypes: (7, E) coefficients of each of `EXPRESSIONS` at full strength; no two are alike.
    """

    model: str
    prototypes: np.ndarray

    @classmethod
    def of(cls, model: MorphableModel) -> BaseExpressions:
        """Ekman's expressions as `mien.expressions.prototypes` has them, carried over from ARKit's actions.

        Args:
            model: an added one, which knows its coefficients of each action.
        """
        return cls(model.id, prototypes() @ np.asarray(model.correspondence.from_arkit, np.float64).T)

    @classmethod
    def read(cls, path: Path, model_id: str) -> BaseExpressions:
        """From a table with a column for each of `EXPRESSIONS` and a row for each of the 64 coefficients.

        Raises:
            BadPrototypes: it is no such table, or two of its expressions are the same.
        """
        table = read_prototypes(path, LAYOUT.expression)
        apart = _distances(table, table) + np.diag(np.full(len(table), np.inf))
        if not apart.min() > 0:
            one, other = np.argwhere(apart == 0)[0]
            raise BadPrototypes(f"{path}: {EXPRESSIONS[one]} and {EXPRESSIONS[other]} are the same; mend one")
        return cls(model_id, table)

    def write(self, path: Path) -> None:
        """Writes the table so that `read` gives the same numbers back.

        Raises:
            CannotWrite: as `mien.files.write_whole`.
        """
        rows = (",".join(map(repr, row)) for row in np.asarray(self.prototypes, np.float64).T.tolist())
        write_whole(path, "".join(f"{line}\n" for line in (",".join(EXPRESSIONS), *rows)).encode())

    def __call__(self, coefficients: np.ndarray, neutral: np.ndarray | None = None) -> Reading:
        """The nearest base expression, and how far the face is on the way to it from neutral.

        The intensity is that of the nearest expression but neutral: a face called neutral may have a trace.

        Args:
            coefficients: (E,) of the face.
            neutral: (E,) of the same person's neutral face, in the place of the base one.
        """
        rest = self.prototypes[_NEUTRAL]
        moved = coefficients - (rest if neutral is None else neutral)
        ways = self.prototypes - rest
        squared = _distances(moved[None], ways)[0] ** 2
        likelihood = np.exp(-0.5 * (squared - squared.min()) / self._spread**2)
        probabilities = likelihood / likelihood.sum()
        felt = np.where(np.arange(len(EXPRESSIONS)) == _NEUTRAL, np.inf, squared).argmin()
        strength = np.clip(moved @ ways[felt] / (ways[felt] @ ways[felt]), 0.0, 1.0)
        return Reading(
            label=EXPRESSIONS[int(squared.argmin())],
            probabilities=dict(zip(EXPRESSIONS, map(float, probabilities), strict=True)),
            intensity=float(STRONGEST * strength),
        )

    @property
    def _spread(self) -> float:
        """Deviation about each base expression: a third of the distance of the two that are nearest."""
        apart = _distances(self.prototypes, self.prototypes)
        return apart[np.triu_indices(len(apart), 1)].min() / 3


def _distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, M) Euclidean distances of (N, E) from (M, E)."""
    return np.linalg.norm(points[:, None] - others[None], axis=-1)
