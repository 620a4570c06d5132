"""Trains the recogniser of expressions on synthetic codes that err as reconstruction does.

What reconstruction reads is modelled as a linear response to what is shown, plus an error. Both are measured
on portraits into which expressions were put (`tools/measure_readings.py`); the errors are drawn from those
that were made of expressions as strong: they grow with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from mien import assets
from mien.expressions.prototypes import EXPRESSIONS, prototypes
from mien.expressions.recognition import mirrored
from mien.files import write_whole
from mien.synthesis.emotions import Emotions, random_emotions

READINGS = "anny.readings.safetensors"
HIDDEN = (32, 16)
EMOTIONS, BATCH, STEPS = 1 << 16, 512, 2000
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 1e-2

EXACT = 0.4
"""Share of codes that are what is shown, without an error: codes that were made and not read."""

OWN_REST = 0.35
"""Share of codes that are read against the person's own neutral face."""

PHOTOGRAPHED, SAME_PICTURE = 0.75, 0.7
"""Share of codes that err from rest as photographed people do, and how much of a picture's own error is added
to that: `own_errors` hold those of two readings."""

MOST_READ = 1.2
"""Largest part of the measured response that is read of a coefficient; the least is none."""

ALIKE = 0.05
"""Share of the portraits, weaker and as many stronger ones, that count as being as strong."""

UNMEASURED_ERROR = 0.25
"""Deviation of what is read of a model without measured readings, in parts of its prototypes."""


@dataclass(frozen=True, eq=False)
class Readings:
    """How reconstruction reads expressions.

    Attributes:
        response: (E, E) what is read, from rest, for each coefficient shown.
        rest: (E,) reading of a face at rest: the middle between portraits brought to rest and people in
            photographs, of whom those who hardly smile look sterner than most.
        strength: (N,) norms of what portraits showed, ascending.
        errors: (N, E) what was read of them from that rest, beside the response.
        own_errors: (N, E) what was read from the same face's rest, beside the response.
        people: (P, E) what was read from that rest of people nearly at rest in photographs.
        lowest: coefficient that can be read.
    """

    response: np.ndarray
    rest: np.ndarray
    strength: np.ndarray
    errors: np.ndarray
    own_errors: np.ndarray
    people: np.ndarray
    lowest: float

    @classmethod
    def load(cls) -> Readings:
        """The packaged ones."""
        arrays = load_file(assets.path(READINGS))
        people = arrays["people_at_rest"].astype(np.float64)
        heads = (arrays[name][arrays["portrait"]] for name in ("shown", "read", "read_at_rest"))
        shown, read, at_rest = (part.astype(np.float64) for part in heads)
        order = np.linalg.norm(shown, axis=1).argsort()
        shown, read, at_rest = shown[order], read[order], at_rest[order]
        gram = shown.T @ shown + np.eye(shown.shape[1])
        response = np.linalg.solve(gram, shown.T @ (read - at_rest))
        answered = shown @ response
        rest = 0.5 * (at_rest.mean(0) + people.mean(0))
        rest = 0.5 * (rest + rest[mirrored(len(rest))])
        errors, own_errors = read - rest - answered, read - at_rest - answered
        strength = np.linalg.norm(shown, axis=1)
        return cls(response, rest, strength, errors, own_errors, people - rest, 0.0)

    @classmethod
    def of_nothing(cls, table: np.ndarray) -> Readings:
        """For models without measured readings: all is read as shown, with errors in proportion to (7, E)."""
        size = table.shape[1]
        deviation = UNMEASURED_ERROR * np.sqrt((table**2).sum(0) / (len(table) - 1))
        errors = np.random.default_rng(0).normal(size=(10_000, size)) * deviation
        strength = np.linspace(0.0, np.linalg.norm(table, axis=1).max(), len(errors))
        nothing = np.zeros(size)
        return cls(np.eye(size), nothing, strength, errors, errors, nothing[None], -np.inf)


def as_read(rng: np.random.Generator, readings: Readings, emotions: Emotions) -> np.ndarray:
    """(N, E + 1) inputs of the network: emotions as a code gives them, from rest, read or made."""
    shown, count = emotions.expression, len(emotions.expression)
    exact, own = rng.random((2, count, 1)) < [[[EXACT]], [[OWN_REST]]]
    # how much can be read of each part differs from picture to picture
    size = shown.shape[1]
    one_of_pair = np.minimum(np.arange(size), mirrored(size))
    gain = MOST_READ * rng.random(shown.shape)[:, one_of_pair]
    answered = gain * (shown @ readings.response)
    nearest = np.searchsorted(readings.strength, np.linalg.norm(shown, axis=1))
    like = nearest, ALIKE * len(readings.strength)
    own_errors, errors = (_mixed(rng, table, *like) for table in (readings.own_errors, readings.errors))
    people = _mixed(rng, readings.people, np.zeros(count), len(readings.people))
    # people at rest differ in more ways than portraits that were brought to rest
    photographed = people + SAME_PICTURE * own_errors
    errors = np.where(rng.random((count, 1)) < PHOTOGRAPHED, photographed, errors)
    errors = np.where(own, own_errors, errors)
    read = np.maximum(answered + errors, np.where(own, -np.inf, readings.lowest - readings.rest))
    made = shown - np.where(own, 0.0, readings.rest)
    return np.concatenate([np.where(exact, made, read), own], 1)


def _mixed(rng: np.random.Generator, errors: np.ndarray, about: np.ndarray, within: float) -> np.ndarray:
    """(count, E) from rows near `about` (count,): two errors mixed have the spread of one, and are not
    learned by heart.
    """
    last = len(errors) - 1
    lowest, highest = np.clip(about - within, 0, last), np.clip(about + within, 0, last)
    one, other = np.rint(rng.uniform(lowest, highest, (2, len(about)))).astype(int)
    angle = rng.uniform(0.0, np.pi / 2, (len(about), 1))
    return np.cos(angle) * errors[one] + np.sin(angle) * errors[other]


def train(
    out: Path,
    seed: int = 0,
    model: str = "anny/1",
    table: np.ndarray | None = None,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> float:
    """Trains a recogniser and writes its file; the same bytes each time on the same machine.

    Args:
        out: file to write, whole or not at all.
        seed: of weights and codes.
        model: name and version of the morphable model whose codes are read.
        table: (7, E) prototypes of another model in the order of `EXPRESSIONS`.
        progress: wraps the steps, as `rich.progress.track` does.

    Returns:
        Share of new synthetic codes that it recognises.

    Raises:
        mien.errors.CannotWrite: the file cannot be written.
        mien.errors.BadAsset: the packaged readings are missing or altered.
    """
    readings = Readings.load() if table is None else Readings.of_nothing(table)
    ways = None if table is None else table[:, None]
    rng = np.random.default_rng(seed)
    emotions = random_emotions(rng, EMOTIONS, ways)
    network = _Network.of(rng, (len(readings.rest) + 1, *HIDDEN, len(EXPRESSIONS)))
    for step in progress(range(STEPS)):
        some = emotions[rng.integers(EMOTIONS, size=BATCH)]
        network.learn(as_read(rng, readings, some), some.label, step)
    new = random_emotions(rng, 20 * BATCH, ways)
    found = network.activations(as_read(rng, readings, new))[-1].argmax(1)
    arrays = {"rest": readings.rest, "prototypes": prototypes() if table is None else table}
    for number, (weights, biases) in enumerate(zip(network.weights, network.biases, strict=True)):
        arrays |= {f"weights{number}": weights, f"biases{number}": biases}
    stored = {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}
    write_whole(out, save(stored, {"model": model}))
    return float((found == new.label).mean())


@dataclass(frozen=True, eq=False)
class _Network:
    """Layers with rectified units between them, and the moments of AdamW (Loshchilov and Hutter 2019)."""

    weights: list[np.ndarray]
    biases: list[np.ndarray]
    moments: list[np.ndarray]

    @classmethod
    def of(cls, rng: np.random.Generator, sizes: tuple[int, ...]) -> _Network:
        weights = [rng.normal(size=pair) * np.sqrt(2 / pair[0]) for pair in pairwise(sizes)]
        biases = [np.zeros(size) for size in sizes[1:]]
        return cls(weights, biases, [np.zeros((2, *array.shape)) for array in weights + biases])

    def activations(self, inputs: np.ndarray) -> list[np.ndarray]:
        """The inputs (N, I), each hidden layer's units, and the scores (N, 7)."""
        layers = [inputs]
        for number, (weights, biases) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = layers[-1] @ weights + biases
            layers.append(np.maximum(values, 0.0) if number + 1 < len(self.weights) else values)
        return layers

    def learn(self, inputs: np.ndarray, labels: np.ndarray, step: int) -> None:
        """One step down the cross entropy, the rate falling as a cosine."""
        *units, scores = self.activations(inputs)
        slope = np.exp(scores - scores.max(1, keepdims=True))
        slope /= slope.sum(1, keepdims=True)
        slope[np.arange(len(labels)), labels] -= 1
        slope /= len(labels)
        by_weights, by_biases = [], []
        for number in reversed(range(len(self.weights))):
            by_weights.insert(0, units[number].T @ slope)
            by_biases.insert(0, slope.sum(0))
            slope = (slope @ self.weights[number].T) * (units[number] > 0)
        rate = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * step / STEPS))
        for array, gradient, (mean, square) in zip(
            self.weights + self.biases, by_weights + by_biases, self.moments, strict=True
        ):
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            way = mean / (1 - 0.9 ** (step + 1)) / (np.sqrt(square / (1 - 0.999 ** (step + 1))) + 1e-8)
            array -= rate * (way + WEIGHT_DECAY * array)
