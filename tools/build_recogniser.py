"""Makes the packaged recogniser of expressions and its entry in the list of packaged files.

    python tools/build_recogniser.py

Run after `tools/measure_readings.py`; it does what `mien train-expression` does, and records the file. Then
says how many of the measured readings, of emotions at any strength, are taken for what was shown: those of
renders by the packaged recogniser, which has not learned from them; those of edited portraits by others, each
of which has not learned from the people that it is asked about, but for how some of them read at rest.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from face_model.asset_file import record_asset  # noqa: E402
from mien import assets  # noqa: E402
from mien.expressions.prototypes import EXPRESSIONS, prototypes  # noqa: E402
from mien.expressions.recognition import Recogniser  # noqa: E402
from mien.synthesis.emotions import random_emotions  # noqa: E402
from mien.training.recogniser import EMOTIONS, READINGS, Readings, learned, train  # noqa: E402

GROUPS = 5
"""Of people; each is asked about by a recogniser that has learned from the others."""

OUT = ROOT / "src" / "mien" / "assets" / "anny.expression.safetensors"


def main() -> None:
    """Trains, writes and records."""
    share = train(OUT, progress=track)
    record_asset(
        OUT,
        licence="Apache-2.0",
        provenance="The recogniser of expressions: networks with random initial weights, trained on "
        "emotions as they are and as they were read (anny.readings.safetensors). See docs/expression.md.",
        command="mien train-expression -o src/mien/assets/anny.expression.safetensors",
    )
    print(f"{OUT}: recognises {share:.1%} of codes like those it has learned from")
    recogniser, stored = Recogniser.load(OUT), load_file(assets.path(READINGS))
    renders = stored["person"] < 0
    print_share("renders", [_Asked(recogniser, renders)], stored)
    group = np.where(renders, -1, stored["person"] % GROUPS)
    asked = [_Asked(_without(stored, group == one), group == one) for one in track(range(GROUPS), "people")]
    print_share("edited portraits", asked, stored)


@dataclass(frozen=True, eq=False)
class _Asked:
    """A recogniser, and the readings (N,) bool that it is asked about."""

    recogniser: Recogniser
    about: np.ndarray


def _without(stored: dict[str, np.ndarray], people: np.ndarray) -> Recogniser:
    """A recogniser that has learned from the readings of all but some people (N,) bool."""
    rng = np.random.default_rng(0)
    readings = Readings.of(stored, (stored["person"] >= 0) & ~people)
    return learned(rng, readings, random_emotions(rng, EMOTIONS), "anny/1", prototypes())


def print_share(kind: str, asked: list[_Asked], stored: dict[str, np.ndarray]) -> None:
    """What share of each class is recognised, from most people's rest and from the same face's."""
    read, at_rest = (stored[name].astype(np.float64) for name in ("read", "read_at_rest"))
    for how in ("", ", own rest"):
        found = np.full(len(read), -1)
        for one in asked:
            against = at_rest[one.about] if how else None
            found[one.about] = one.recogniser.probabilities(read[one.about], against).argmax(1)
        right = {
            name: (found[(found >= 0) & (stored["label"] == number)] == number).mean()
            for number, name in enumerate(EXPRESSIONS)
        }
        listing = ", ".join(f"{name} {value:.0%}" for name, value in right.items())
        print(f"{kind}{how}: {np.mean(list(right.values())):.1%} ({listing})")


if __name__ == "__main__":
    main()
