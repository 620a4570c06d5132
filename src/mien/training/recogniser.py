"""Trains the recogniser of expressions on emotions that were made: as they are, and as they are read.

They were put into portraits, and these reconstructed (`tools/measure_readings.py`). What was read there is
learned from, as far from the same face's rest as it was read, and added to how other people read at rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save
from scipy.linalg import block_diag

from mien import assets
from mien.expressions.prototypes import EXPRESSIONS, prototypes
from mien.expressions.recognition import Recogniser, mirrored
from mien.files import write_whole
from mien.synthesis.emotions import Emotions, random_emotions

READINGS = "anny.readings.safetensors"
HIDDEN, NETWORKS = (32, 16), 5
"""Units of the hidden layers of each network, and how many networks, whose mean differs less by chance."""

EMOTIONS, BATCH, STEPS = 1 << 16, 512, 2000
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 1e-2

EXACT = 0.4
"""Share of codes that are what is shown, without an error: codes that were made and not read."""

OWN_REST = 0.35
"""Share of codes that are read against the person's own neutral face."""

PHOTOGRAPHED = 0.75
"""Share of codes that err from rest as photographed people do, who differ in more ways than portraits that
were brought to rest."""

MOST_READ = 1.2
"""Largest part of what was read of a coefficient that is learned from; the least is none: how much can be
read of each differs from picture to picture."""

UNMEASURED_ERROR = 0.25
"""Deviation of what is read of a model without measured readings, in parts of its prototypes."""


@dataclass(frozen=True, eq=False)
class Readings:
    """How reconstruction reads emotions.

    Attributes:
        rest: (E,) reading of a face at rest: the middle between portraits brought to rest and people in
            photographs, of whom those who hardly smile look sterner than most.
        label: (N,) int64 place in `EXPRESSIONS` of what portraits showed.
        read: (N, E) what was read of them from that rest.
        moved: (N, E) the same from the same face's rest, as it was read.
        people: (P, E) what was read from that rest of people nearly at rest in photographs.
        lowest: coefficient that can be read.
    """

    rest: np.ndarray
    label: np.ndarray
    read: np.ndarray
    moved: np.ndarray
    people: np.ndarray
    lowest: float

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], some: np.ndarray) -> Readings:
        """Of measured arrays, as the packaged file has them; of those portraits that a mask (N,) names, and
        of their mirror images.
        """
        people = arrays["people_at_rest"].astype(np.float64)
        read, at_rest = (arrays[name][some].astype(np.float64) for name in ("read", "read_at_rest"))
        other = mirrored(read.shape[1])
        read, at_rest = (np.concatenate([part, part[:, other]]) for part in (read, at_rest))
        rest = 0.5 * (at_rest.mean(0) + people.mean(0))
        rest = 0.5 * (rest + rest[other])
        label = np.tile(arrays["label"][some].astype(np.int64), 2)
        return cls(rest, label, read - rest, read - at_rest, people - rest, 0.0)

    @classmethod
    def load(cls) -> Readings:
        """The packaged ones, of all portraits."""
        arrays = load_file(assets.path(READINGS))
        return cls.of(arrays, arrays["person"] >= 0)

    @classmethod
    def of_nothing(cls, rng: np.random.Generator, table: np.ndarray) -> Readings:
        """For models without measured readings: all is read as shown, with errors in proportion to (7, E)."""
        shown = random_emotions(rng, EMOTIONS, table[:, None])
        deviation = UNMEASURED_ERROR * np.sqrt((table**2).sum(0) / (len(table) - 1))
        read = shown.expression + rng.normal(size=shown.expression.shape) * deviation
        nothing = np.zeros(table.shape[1])
        return cls(nothing, shown.label, read, read, nothing[None], -np.inf)


def as_read(rng: np.random.Generator, readings: Readings, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(count, E + 1) inputs of `Recogniser.of_inputs` as they are read, and the labels (count,)."""
    some = rng.integers(len(readings.label), size=count)
    own, photographed = rng.random((2, count, 1)) < [[[OWN_REST]], [[PHOTOGRAPHED]]]
    size = readings.moved.shape[1]
    one_of_pair = np.minimum(np.arange(size), mirrored(size))
    moved = MOST_READ * rng.random((count, size))[:, one_of_pair] * readings.moved[some]
    lowest = readings.lowest - readings.rest
    elsewhere = np.maximum(moved + _mixed(rng, readings.people, count), lowest)
    read = np.where(own, moved, np.where(photographed, elsewhere, readings.read[some]))
    return np.concatenate([read, own], 1), readings.label[some]


def examples(
    rng: np.random.Generator, readings: Readings, emotions: Emotions, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """As `as_read`, some of them emotions as they are, from rest, in place of readings."""
    inputs, label = as_read(rng, readings, count)
    own = inputs[:, -1:]
    some = emotions[rng.integers(len(emotions.label), size=count)]
    made = np.concatenate([some.expression - (1 - own) * readings.rest, own], 1)
    exact = rng.random((count, 1)) < EXACT
    return np.where(exact, made, inputs), np.where(exact[:, 0], some.label, label)


def _mixed(rng: np.random.Generator, errors: np.ndarray, count: int) -> np.ndarray:
    """(count, E) from rows (P, E): two errors mixed have the spread of one, and are not learned by heart."""
    one, other = errors[rng.integers(len(errors), size=(2, count))]
    angle = rng.uniform(0.0, np.pi / 2, (count, 1))
    return np.cos(angle) * one + np.sin(angle) * other


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
        Share that it recognises of codes like those it has learned from.

    Raises:
        mien.errors.CannotWrite: the file cannot be written.
        mien.errors.BadAsset: the packaged readings are missing or altered.
    """
    rng = np.random.default_rng(seed)
    readings = Readings.load() if table is None else Readings.of_nothing(rng, table)
    emotions = random_emotions(rng, EMOTIONS, None if table is None else table[:, None])
    recogniser = learned(rng, readings, emotions, model, prototypes() if table is None else table, progress)
    arrays = {"rest": recogniser.rest, "prototypes": recogniser.prototypes}
    for number, (weights, biases) in enumerate(recogniser.layers):
        arrays |= {f"weights{number}": weights, f"biases{number}": biases}
    stored = {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}
    write_whole(out, save(stored, {"model": model}))
    inputs, label = examples(rng, readings, emotions, 20 * BATCH)
    return float((recogniser.of_inputs(inputs).argmax(1) == label).mean())


def learned(
    rng: np.random.Generator,
    readings: Readings,
    emotions: Emotions,
    model: str,
    prototypes: np.ndarray,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Recogniser:
    """A recogniser that has learned from readings, and from emotions as they are.

    Args:
        rng: source of weights and chance.
        readings, emotions: what it learns from.
        model, prototypes: of the recogniser.
        progress: wraps the steps.
    """
    sizes = (len(readings.rest) + 1, *HIDDEN, len(EXPRESSIONS))
    networks = [_Network.of(rng, sizes) for _ in range(NETWORKS)]
    for step in progress(range(STEPS)):
        for network in networks:
            network.learn(*examples(rng, readings, emotions, BATCH), step)
    return Recogniser(model, prototypes, readings.rest, _side_by_side(networks))


def _side_by_side(networks: list[_Network]) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Weights and biases of one network that says the mean of the scores."""
    first, *between, last = zip(*(network.weights for network in networks), strict=True)
    weights = [np.hstack(first), *(block_diag(*blocks) for blocks in between), np.vstack(last) / len(last)]
    *hidden, scores = zip(*(network.biases for network in networks), strict=True)
    biases = [*map(np.concatenate, hidden), np.mean(scores, axis=0)]
    return tuple(zip(weights, biases, strict=True))


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
