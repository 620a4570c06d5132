"""Makes the packaged recogniser of expressions and its entry in the list of packaged files.

    python tools/build_recogniser.py

Run after `tools/measure_readings.py`; it does what `mien train-expression` does, and records the file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rich.progress import track

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from face_model.asset_file import record_asset  # noqa: E402
from mien.training.recogniser import train  # noqa: E402

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


if __name__ == "__main__":
    main()
