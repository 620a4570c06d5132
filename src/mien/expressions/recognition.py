"""Which expression a face code shows, and how strongly: a small network over the code's coefficients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from mien import assets
from mien.errors import BadAsset
from mien.expressions.prototypes import EXPRESSIONS
from mien.facecode import ARKIT_NAMES, FaceCode

PACKAGED = "anny.expression.safetensors"
"""The packaged recogniser, of the default model's codes."""

STRONGEST = 5.0
"""Intensity of a prototype at full strength."""

_NEUTRAL = EXPRESSIONS.index("neutral")
_LAYERS = 3


@dataclass(frozen=True)
class Reading:
    """What the recogniser reads from a face.

    Attributes:
        label: the most probable of `EXPRESSIONS`.
        probabilities: one number in [0, 1] for each of `EXPRESSIONS`.
        intensity: strength of the expression, from 0, neutral, to 5, its prototype at full strength.
    """

    label: str
    probabilities: Mapping[str, float]
    intensity: float

    @property
    def confidence(self) -> float:
        """Probability of the label."""
        return self.probabilities[self.label]


def expression(
    code: FaceCode, neutral: FaceCode | None = None, recogniser: Recogniser | None = None
) -> Reading:
    """The expression of one face code.

    Args:
        code: one face (no batch axes).
        neutral: the same person's code with a neutral face, against which the expression is then read.
        recogniser: one for codes of another model or other prototypes; the packaged one if not given.

    Raises:
        ValueError: a code belongs to a model that the recogniser does not know.
    """
    recogniser = recogniser or packaged_recogniser()
    for one in (code, neutral):
        if one is not None and one.model != recogniser.model:
            raise ValueError(
                f"this recogniser reads codes of {recogniser.model}, not of {one.model}; "
                "`mien train-expression --prototypes TABLE` makes one for it"
            )
    return recogniser(code.expression, None if neutral is None else neutral.expression)


@dataclass(frozen=True, eq=False)
class Recogniser:
    """A trained recogniser: two hidden layers, on plain NumPy.

    Attributes:
        model: name and version of the morphable model whose codes it reads.
        prototypes: (7, E) each of `EXPRESSIONS` at full strength.
        rest: (E,) what is read, in the mean, of people at rest.
        layers: weights (inputs, outputs) and biases (outputs,) of each layer. The first layer's inputs are E
            coefficients from rest, and whether the rest is the person's own.
    """

    model: str
    prototypes: np.ndarray
    rest: np.ndarray
    layers: tuple[tuple[np.ndarray, np.ndarray], ...]

    @classmethod
    def load(cls, file: Path) -> Recogniser:
        """Reads a file of `mien train-expression`.

        Raises:
            BadAsset: the file is missing, or no recogniser of mien's.
        """
        try:
            with safe_open(file, "np") as stored:
                arrays = {name: stored.get_tensor(name).astype(np.float64) for name in stored.keys()}
                model = stored.metadata()["model"]
            layers = tuple((arrays[f"weights{i}"], arrays[f"biases{i}"]) for i in range(_LAYERS))
            return cls(model, arrays["prototypes"], arrays["rest"], layers)
        except OSError as error:
            raise BadAsset(f"{file}: cannot be read ({error.strerror or 'no such file'})") from error
        except (SafetensorError, KeyError, TypeError) as error:
            raise BadAsset(
                f"{file}: is no recogniser of mien's ({error}); `mien train-expression` writes one"
            ) from error

    def __call__(self, coefficients: np.ndarray, neutral: np.ndarray | None = None) -> Reading:
        """Reads (E,) expression coefficients, against the person's own neutral ones (E,) if given."""
        probabilities = self.probabilities(coefficients, neutral)
        moved = coefficients if neutral is None else coefficients - neutral
        return Reading(
            label=EXPRESSIONS[int(probabilities.argmax())],
            probabilities=dict(zip(EXPRESSIONS, map(float, probabilities), strict=True)),
            intensity=self._intensity(moved, probabilities),
        )

    def probabilities(self, coefficients: np.ndarray, neutral: np.ndarray | None = None) -> np.ndarray:
        """(..., E) coefficients to (..., 7); a face and its mirror image get the same."""
        own = np.full((*coefficients.shape[:-1], 1), 0.0 if neutral is None else 1.0)
        return self.of_inputs(
            np.concatenate([coefficients - (self.rest if neutral is None else neutral), own], -1)
        )

    def of_inputs(self, inputs: np.ndarray) -> np.ndarray:
        """(..., E + 1) coefficients from rest, and 1 where that is the person's own, else 0, to (..., 7)."""
        mirror = np.append(mirrored(self.rest.shape[0]), -1)
        scores = 0.5 * (self._scores(inputs) + self._scores(inputs[..., mirror]))
        likelihood = np.exp(scores - scores.max(-1, keepdims=True))
        return likelihood / likelihood.sum(-1, keepdims=True)

    def _scores(self, values: np.ndarray) -> np.ndarray:
        for number, (weights, biases) in enumerate(self.layers):
            values = values @ weights + biases
            if number < _LAYERS - 1:
                values = np.maximum(values, 0.0)
        return values

    def _intensity(self, coefficients: np.ndarray, probabilities: np.ndarray) -> float:
        """Strength at which the likeliest expression's prototype is nearest; less where neutral is likely."""
        felt = np.where(np.arange(len(EXPRESSIONS)) == _NEUTRAL, -1.0, probabilities).argmax()
        prototype = self.prototypes[felt]
        strength = np.clip(coefficients @ prototype / (prototype @ prototype), 0.0, 1.0)
        return float(STRONGEST * strength * min(1.0, 2.0 * (1.0 - probabilities[_NEUTRAL])))


@cache
def packaged_recogniser() -> Recogniser:
    """The packaged recogniser, kept for the life of the process."""
    return Recogniser.load(assets.path(PACKAGED))


@cache
def mirrored(count: int) -> np.ndarray:
    """(count,) place of each coefficient's partner on the other side; its own if they are not ARKit's."""
    if count != len(ARKIT_NAMES):
        return np.arange(count)
    swap = {"Left": "Right", "Right": "Left"}
    partners = [
        next((name.removesuffix(side) + swap[side] for side in swap if name.endswith(side)), name)
        for name in ARKIT_NAMES
    ]
    return np.array([ARKIT_NAMES.index(name) for name in partners])
