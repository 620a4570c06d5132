"""The seven expressions as ARKit vectors, by way of the facial action coding system's action units.

Sources: P. Ekman, W. V. Friesen, J. C. Hager, "Facial Action Coding System: the manual" (2002), for what each
action unit does; for the action units of each emotion W. V. Friesen, P. Ekman, "EMFACS-7" (1983), the
prototypes and major variants in the manual's "Investigator's Guide", and P. Lucey et al., "The Extended
Cohn-Kanade Dataset" (2010), table 1. How strong each unit is within an emotion, which coefficients make a
unit, and that a laugh may wrinkle the nose, is ours.
"""

from __future__ import annotations

import csv
import difflib
from functools import cache
from pathlib import Path

import numpy as np

from mien.errors import BadPrototypes
from mien.facecode import ARKIT_NAMES

EXPRESSIONS: tuple[str, ...] = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
"""The seven classes, in the order of every table and figure."""

ACTION_UNITS: dict[str, dict[str, float]] = {
    "AU1": {"browInnerUp": 1.0},
    "AU2": {"browOuterUpLeft": 1.0, "browOuterUpRight": 1.0, "browInnerUp": 0.2},
    "AU4": {"browDownLeft": 1.0, "browDownRight": 1.0},
    "AU5": {"eyeWideLeft": 1.0, "eyeWideRight": 1.0},
    "AU6": {"cheekSquintLeft": 1.0, "cheekSquintRight": 1.0, "eyeSquintLeft": 0.4, "eyeSquintRight": 0.4},
    "AU7": {"eyeSquintLeft": 1.0, "eyeSquintRight": 1.0},
    "AU9": {"noseSneerLeft": 1.0, "noseSneerRight": 1.0, "browDownLeft": 0.3, "browDownRight": 0.3},
    "AU10": {"mouthUpperUpLeft": 1.0, "mouthUpperUpRight": 1.0, "noseSneerLeft": 0.2, "noseSneerRight": 0.2},
    "AU11": {"mouthUpperUpLeft": 0.3, "mouthUpperUpRight": 0.3, "cheekSquintLeft": 0.2,
             "cheekSquintRight": 0.2},
    "AU12": {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0},
    "AU14": {"mouthDimpleLeft": 1.0, "mouthDimpleRight": 1.0},
    "AU15": {"mouthFrownLeft": 1.0, "mouthFrownRight": 1.0},
    "AU16": {"mouthLowerDownLeft": 1.0, "mouthLowerDownRight": 1.0},
    "AU17": {"mouthShrugLower": 1.0, "mouthShrugUpper": 0.4},
    "AU18": {"mouthPucker": 1.0},
    "AU20": {"mouthStretchLeft": 1.0, "mouthStretchRight": 1.0, "mouthFrownLeft": 0.3,
             "mouthFrownRight": 0.3},
    "AU22": {"mouthFunnel": 1.0},
    "AU23": {"mouthPressLeft": 0.6, "mouthPressRight": 0.6, "mouthRollLower": 0.4, "mouthRollUpper": 0.4},
    "AU24": {"mouthPressLeft": 1.0, "mouthPressRight": 1.0},
    "AU25": {"mouthUpperUpLeft": 0.3, "mouthUpperUpRight": 0.3, "mouthLowerDownLeft": 0.4, 
             "mouthLowerDownRight": 0.4},
    "AU26": {"jawOpen": 0.5},
    "AU27": {"jawOpen": 1.0},
    "AU28": {"mouthRollLower": 1.0, "mouthRollUpper": 1.0},
    "AU29": {"jawForward": 1.0},
    "AU34": {"cheekPuff": 1.0},
    "AU43": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
}  # fmt: skip
"""ARKit coefficients of each action unit at its full strength."""

VARIANTS: dict[str, tuple[dict[str, float], ...]] = {
    "anger": (
        {"AU4": 1.0, "AU5": 0.7, "AU7": 0.7, "AU23": 0.8, "AU24": 0.8, "AU17": 0.6},
        {"AU4": 1.0, "AU5": 0.6, "AU7": 0.6, "AU10": 0.6, "AU16": 0.5, "AU25": 0.6, "AU26": 0.5},
        {"AU4": 1.0, "AU7": 0.8, "AU17": 0.6, "AU24": 0.9},
        {"AU4": 1.0, "AU7": 0.6, "AU10": 0.4, "AU22": 0.4, "AU23": 0.8, "AU25": 0.6},
        {"AU4": 0.8, "AU5": 0.8, "AU23": 1.0, "AU24": 0.6},
        {"AU4": 0.6, "AU7": 0.8, "AU23": 0.8, "AU24": 1.0, "AU17": 0.8},
    ),
    "disgust": (
        {"AU9": 1.0, "AU10": 0.6, "AU4": 0.3, "AU7": 0.4, "AU15": 0.3, "AU17": 0.5},
        {"AU9": 0.8, "AU10": 0.9, "AU6": 0.3, "AU16": 0.4, "AU25": 0.6, "AU26": 0.3},
        {"AU10": 1.0, "AU9": 0.4, "AU17": 0.7, "AU15": 0.4, "AU7": 0.3},
        {"AU9": 1.0, "AU4": 0.6, "AU7": 0.7, "AU17": 0.4},
        {"AU9": 1.0, "AU4": 0.5, "AU6": 0.6, "AU7": 0.6, "AU10": 0.8, "AU25": 0.6},
        {"AU10": 1.0, "AU16": 0.7, "AU25": 0.7, "AU26": 0.4, "AU4": 0.4, "AU7": 0.5},
    ),
    "fear": (
        {"AU1": 1.0, "AU2": 0.8, "AU4": 0.5, "AU5": 1.0, "AU7": 0.2, "AU20": 0.8, "AU25": 0.6, "AU26": 1.0},
        {"AU1": 0.8, "AU2": 0.5, "AU4": 0.4, "AU5": 0.9, "AU20": 0.7, "AU25": 0.5},
        {"AU1": 0.9, "AU2": 0.7, "AU5": 1.0, "AU20": 0.5, "AU25": 0.6, "AU27": 0.6},
        {"AU1": 1.0, "AU4": 0.6, "AU5": 0.6, "AU20": 1.0, "AU25": 0.8},
        {"AU1": 0.8, "AU2": 0.4, "AU4": 0.6, "AU5": 0.8, "AU25": 0.6, "AU26": 0.4},
        {"AU5": 1.0, "AU20": 1.0, "AU25": 0.7, "AU1": 0.4},
    ),
    "happiness": (
        {"AU6": 0.8, "AU12": 1.0, "AU25": 0.6},
        {"AU6": 0.6, "AU12": 0.9},
        {"AU6": 1.0, "AU12": 1.0, "AU25": 0.9, "AU26": 0.6},
        {"AU12": 0.8},
        {"AU6": 1.0, "AU9": 0.4, "AU10": 0.5, "AU12": 1.0, "AU25": 0.9, "AU27": 0.6},
        {"AU6": 0.7, "AU7": 0.4, "AU12": 0.9, "AU14": 0.3, "AU25": 0.4},
    ),
    "neutral": ({},),
    "sadness": (
        {"AU1": 1.0, "AU4": 0.4, "AU15": 0.8, "AU17": 0.5},
        {"AU1": 0.8, "AU4": 0.5, "AU15": 0.6, "AU43": 0.3, "AU17": 0.3},
        {"AU11": 0.7, "AU17": 1.0},
        {"AU15": 1.0, "AU17": 0.8},
        {"AU6": 0.5, "AU15": 0.9, "AU17": 0.3},
        {"AU1": 0.9, "AU4": 0.6, "AU11": 0.5, "AU15": 0.3},
    ),
    "surprise": (
        {"AU1": 0.9, "AU2": 1.0, "AU5": 0.8, "AU27": 0.7},
        {"AU1": 0.9, "AU2": 1.0, "AU5": 0.6, "AU26": 1.0},
        {"AU1": 0.7, "AU2": 0.8, "AU5": 0.4, "AU25": 0.5, "AU26": 0.4},
        {"AU1": 1.0, "AU2": 1.0, "AU5": 0.5},
        {"AU1": 0.8, "AU2": 0.9, "AU27": 0.9},
        {"AU5": 0.6, "AU27": 0.8, "AU2": 0.3},
    ),
}
"""Ways in which each expression is shown, the plainest first: strengths of action units in [0, 1]."""


def arkit_vector(units: dict[str, float]) -> np.ndarray:
    """Strengths of action units to (52,) float32 ARKit coefficients, the larger where units share one.

    Raises:
        KeyError: an action unit that is not in `ACTION_UNITS`.
    """
    vector = np.zeros(len(ARKIT_NAMES), np.float32)
    for unit, strength in units.items():
        for name, amount in ACTION_UNITS[unit].items():
            place = ARKIT_NAMES.index(name)
            vector[place] = max(vector[place], strength * amount)
    return vector


@cache
def prototypes() -> np.ndarray:
    """(7, 52) float32: the plainest way to show each of `EXPRESSIONS`, at full strength."""
    vectors = np.stack([arkit_vector(VARIANTS[name][0]) for name in EXPRESSIONS])
    vectors.flags.writeable = False
    return vectors


def read_prototypes(path: Path, coefficients: int | None = None) -> np.ndarray:
    """Prototypes from a comma-separated table: a column for each of `EXPRESSIONS`, a row a coefficient.

    Args:
        path: the file.
        coefficients: how many rows it must have, if known.

    Returns:
        (7, E) float64, in the order of `EXPRESSIONS`.

    Raises:
        BadPrototypes: the file cannot be read, lacks an expression or names an unknown one, or holds anything
            but finite numbers.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            header, *rows = [row for row in csv.reader(stream) if row] or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadPrototypes(f"{path}: cannot be read ({reason}); name a table of prototypes") from error
    names = [name.strip().lower() for name in header]
    for name in names:
        if name not in EXPRESSIONS:
            near = difflib.get_close_matches(name, EXPRESSIONS, n=1, cutoff=0.0)[0]
            raise BadPrototypes(f"{path}: there is no expression {name!r}; did you mean {near}?")
    if missing := [name for name in EXPRESSIONS if names.count(name) != 1]:
        raise BadPrototypes(f"{path}: needs one column for each expression; look at {', '.join(missing)}")
    try:
        table = np.array(rows, np.float64).reshape(-1, len(names))
    except ValueError as error:
        raise BadPrototypes(
            f"{path}: below its header it must hold numbers, one a column ({error})"
        ) from error
    if not np.isfinite(table).all():
        raise BadPrototypes(f"{path}: holds numbers that are not finite; replace them")
    if not len(table) or (coefficients is not None and len(table) != coefficients):
        wanted = coefficients or "at least one"
        raise BadPrototypes(f"{path}: has {len(table)} rows of coefficients, must have {wanted}")
    prototypes = table[:, [names.index(name) for name in EXPRESSIONS]].T
    still = [name for name, row in zip(EXPRESSIONS, prototypes, strict=True) if not row.any()]
    if set(still) - {"neutral"}:
        raise BadPrototypes(f"{path}: {', '.join(still)}: zero throughout, which only neutral may be")
    return prototypes
