"""Random expressions as people make them: emotions, speech, single actions; sparse, co-varying, lopsided."""

from __future__ import annotations

from functools import cache

import numpy as np

from mien.expressions.prototypes import ACTION_UNITS, VARIANTS, arkit_vector
from mien.facecode import ARKIT_NAMES

KINDS = {"neutral": 0.12, "emotion": 0.43, "speech": 0.15, "actions": 0.3}
"""Share of each kind of expression."""

EMOTIONS = {
    "anger": 0.15, "disgust": 0.14, "fear": 0.13, "happiness": 0.25, "sadness": 0.2, "surprise": 0.13,
}  # fmt: skip
"""Share of each emotion: before cameras people smile; what is hard to see is shown more often."""

VISEMES: dict[str, dict[str, float]] = {
    "p b m": {"mouthPressLeft": 0.5, "mouthPressRight": 0.5, "mouthRollLower": 0.3, "mouthRollUpper": 0.2},
    "f v": {"mouthRollLower": 0.5, "mouthUpperUpLeft": 0.3, "mouthUpperUpRight": 0.3, "jawOpen": 0.1},
    "a": {"jawOpen": 0.6, "mouthLowerDownLeft": 0.3, "mouthLowerDownRight": 0.3},
    "e": {"jawOpen": 0.3, "mouthStretchLeft": 0.3, "mouthStretchRight": 0.3, "mouthSmileLeft": 0.2,
          "mouthSmileRight": 0.2, "mouthLowerDownLeft": 0.3, "mouthLowerDownRight": 0.3},
    "i": {"jawOpen": 0.15, "mouthSmileLeft": 0.4, "mouthSmileRight": 0.4, "mouthStretchLeft": 0.3,
          "mouthStretchRight": 0.3},
    "o": {"jawOpen": 0.4, "mouthFunnel": 0.6},
    "u": {"jawOpen": 0.15, "mouthPucker": 0.7, "mouthFunnel": 0.3},
    "sh": {"mouthFunnel": 0.7, "jawOpen": 0.1},
    "th": {"jawOpen": 0.2, "tongueOut": 0.3},
    "t s": {"jawOpen": 0.08, "mouthLowerDownLeft": 0.3, "mouthLowerDownRight": 0.3, "mouthUpperUpLeft": 0.2,
            "mouthUpperUpRight": 0.2},
}  # fmt: skip
"""Mouth shapes of speech at full strength; the classes are those of the MPEG-4 visemes (ISO/IEC 14496-2)."""


@cache
def _emotions() -> np.ndarray:
    """(6, 6, 52) variants of each emotion."""
    return np.stack([[arkit_vector(units) for units in VARIANTS[name]] for name in EMOTIONS])


@cache
def _visemes() -> np.ndarray:
    """(10, 52)."""
    return np.stack([[shape.get(name, 0.0) for name in ARKIT_NAMES] for shape in VISEMES.values()])


@cache
def _actions() -> np.ndarray:
    """(N, 52): single action units, and what no unit of emotion contains."""
    alone = ["jawLeft", "jawRight", "mouthLeft", "mouthRight", "mouthClose", "tongueOut", "mouthShrugUpper"]
    extra = [{name: 1.0} for name in alone]
    units = [arkit_vector({name: 1.0}) for name in ACTION_UNITS]
    return np.stack([*units, *[[shape.get(name, 0.0) for name in ARKIT_NAMES] for shape in extra]])


@cache
def _sides() -> tuple[np.ndarray, np.ndarray]:
    """(23,) places of coefficients of the left side, and of their partners; gaze is left out."""
    left = [
        n for n in ARKIT_NAMES if n.endswith("Left") and f"{n[:-4]}Right" in ARKIT_NAMES and "Look" not in n
    ]
    both = [n for n in left if n not in ("jawLeft", "mouthLeft")]
    place = ARKIT_NAMES.index
    return np.array([place(n) for n in both]), np.array([place(f"{n[:-4]}Right") for n in both])


def random_expressions(rng: np.random.Generator, count: int, kind: str | None = None) -> np.ndarray:
    """(count, 52) float32 ARKit coefficients in [0, 1]; of one of `KINDS` or of all in their shares."""
    kinds = rng.choice(len(KINDS), count, p=list(KINDS.values()))
    if kind is not None:
        kinds[:] = list(KINDS).index(kind)
    emotion, speech = _emotional(rng, count), spoken(rng, count)
    actions = _acted(rng, count)
    # a face that speaks or acts may feel something too
    undertone = emotion * (rng.random((count, 1)) < 0.3) * 0.5
    chosen = np.choose(kinds[:, None], [0 * emotion, emotion, np.maximum(speech, undertone), actions])
    expression = lopsided(rng, chosen)
    expression += _murmur(rng, count)
    _look(rng, expression)
    _blink(rng, expression)
    close, jaw = ARKIT_NAMES.index("mouthClose"), ARKIT_NAMES.index("jawOpen")
    expression[:, close] = np.minimum(expression[:, close], expression[:, jaw])
    return np.clip(expression, 0.0, 1.0).astype(np.float32)


def _emotional(rng: np.random.Generator, count: int) -> np.ndarray:
    """An emotion at any strength in any of its ways, or two at once; each action a little off."""
    emotions = _emotions()
    first, second = rng.choice(len(emotions), size=(2, count), p=list(EMOTIONS.values()))
    variant = rng.dirichlet([0.4] * emotions.shape[1], (2, count))
    shown = np.einsum("nv,nvk->nk", variant[0], emotions[first])
    other = np.einsum("nv,nvk->nk", variant[1], emotions[second])
    share = np.where(rng.random(count) < 0.25, rng.random(count) * 0.6, 0.0)[:, None]
    mixed = (1 - share) * shown + share * other
    kept = rng.random(mixed.shape) > 0.08
    return mixed * rng.uniform(0.15, 1.1, (count, 1)) * np.exp(rng.normal(size=mixed.shape) * 0.25) * kept


def spoken(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 52) the mouth between two visemes."""
    visemes = _visemes()
    first, second = rng.integers(len(visemes), size=(2, count))
    way = rng.random((count, 1))
    return ((1 - way) * visemes[first] + way * visemes[second]) * rng.uniform(0.4, 1.4, (count, 1))


def _acted(rng: np.random.Generator, count: int) -> np.ndarray:
    """One to four actions of any strength."""
    actions = _actions()
    active = rng.random((count, len(actions))).argsort(1) < rng.integers(1, 5, (count, 1))
    strength = active * rng.beta(1.1, 1.3, active.shape)
    return np.minimum(strength @ actions, 1.0)


def lopsided(rng: np.random.Generator, expression: np.ndarray) -> np.ndarray:
    """Expressions (count, 52) whose sides differ: a little in everybody, and much in one of seven."""
    left, right = _sides()
    spread = np.where(rng.random((len(expression), 1)) < 0.15, 0.6, 0.08)
    lean = (
        rng.normal(size=(len(expression), 1)) * spread + rng.normal(size=(len(expression), len(left))) * 0.06
    )
    skewed = expression.copy()
    skewed[:, left] *= np.clip(1 + lean, 0, 1.3)
    skewed[:, right] *= np.clip(1 - lean, 0, 1.3)
    return skewed


def _murmur(rng: np.random.Generator, count: int) -> np.ndarray:
    """What a face at rest does: a few small actions."""
    return (rng.random((count, 52)) < 0.1) * rng.exponential(0.06, (count, 52))


def _look(rng: np.random.Generator, expression: np.ndarray) -> None:
    """Both eyes look the same way, mostly ahead."""
    aside, up = rng.normal(size=(2, len(expression))) * [[0.3], [0.2]]
    away = rng.random(len(expression)) < 0.6
    aside, up = aside * away, up * away
    turns = {
        "eyeLookOutLeft": aside,
        "eyeLookInRight": aside,
        "eyeLookInLeft": -aside,
        "eyeLookOutRight": -aside,
    }
    for side in ("Left", "Right"):
        turns |= {f"eyeLookUp{side}": up, f"eyeLookDown{side}": -up}
    for name, turn in turns.items():
        expression[:, ARKIT_NAMES.index(name)] = np.maximum(turn, 0.0)


def _blink(rng: np.random.Generator, expression: np.ndarray) -> None:
    """Lids at any height: most open, some half closed, a tenth shut; a wink now and then."""
    count = len(expression)
    kind = rng.random((count, 1))
    lids = np.where(kind < 0.1, rng.uniform(0.7, 1.0, (count, 1)), rng.beta(1.0, 8.0, (count, 1)))
    lids = np.repeat(lids, 2, axis=1) + rng.normal(size=(count, 2)) * 0.02
    winks = rng.random(count) < 0.02
    lids[winks, rng.integers(2, size=winks.sum())] = 1.0
    places = [ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")]
    expression[:, places] = np.maximum(expression[:, places], lids)
    wide = [ARKIT_NAMES.index("eyeWideLeft"), ARKIT_NAMES.index("eyeWideRight")]
    expression[:, wide] *= 1 - np.clip(expression[:, places], 0, 1)
