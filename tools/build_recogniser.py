"""Makes the packaged recogniser of expressions and its entry in the list of packaged files.

    python tools/build_recogniser.py

Run after `tools/measure_readings.py`; it does what `mien train-expression` does, and records the file. Then
says how many of the measured readings, of emotions at any strength, it takes for what was shown.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import numpy as np
from rich.progress import track
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from face_model.asset_file import record_asset  # noqa: E402
from mien import assets  # noqa: E402
from mien.expressions.prototypes import EXPRESSIONS  # noqa: E402
from mien.expressions.recognition import Recogniser  # noqa: E402
from mien.training.recogniser import READINGS, train  # noqa: E402

OUT = ROOT / "src" / "mien" / "assets" / "anny.expression.safetensors"


def main() -> None:
    """Trains, writes and records."""
    share = train(OUT, progress=track)
    record_asset(
        OUT,
        licence="Apache-2.0",
        provenance="The recogniser of expressions: a network with random initial weights, trained on "
        "synthetic codes that err as anny.readings.safetensors says. See docs/expression.md.",
        command="mien train-expression -o src/mien/assets/anny.expression.safetensors",
    )
    print(f"{OUT}: {share:.1%} of new synthetic codes recognised")
    recogniser, stored = Recogniser.load(OUT), load_file(assets.path(READINGS))
    read, at_rest = (stored[name].astype(np.float64) for name in ("read", "read_at_rest"))
    found = {"": recogniser.probabilities(read), ", own rest": recogniser.probabilities(read, at_rest)}
    kinds = {"renders": ~stored["portrait"], "edited portraits": stored["portrait"]}
    for (kind, some), (how, probabilities) in product(kinds.items(), found.items()):
        what, label = kind + how, stored["label"][some]
        right = probabilities[some].argmax(1) == label
        by_class = {name: right[label == number].mean() for number, name in enumerate(EXPRESSIONS)}
        listing = ", ".join(f"{name} {value:.0%}" for name, value in by_class.items())
        print(f"{what}: {np.mean(list(by_class.values())):.1%} ({listing})")


if __name__ == "__main__":
    main()
