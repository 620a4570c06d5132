"""Makes what the fit assumes about light.

    python tools/albedo_report.py --shared ../shared/data --lights build/lights.npz
    python tools/build_fit_priors.py --lights build/lights.npz

Run after `tools/build_face_model.py`. The light is that of the photographs from which the albedo was learned.
Its covariance is doubled, since those are mostly portraits in even light, but for its level, of which half is
left: cameras expose faces much alike, and what a fit gives to the level it takes from the skin.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from face_model.asset_file import record_asset  # noqa: E402

LIGHT_GAIN, LEVEL_GAIN = 2.0, 0.5


@dataclass(frozen=True)
class Options:
    """Where things are.

    Attributes:
        lights: npz with mean (27,) and covariance (27, 27) of illumination, from `tools/albedo_report.py`.
        out: file to write.
    """

    lights: Path = ROOT / "build" / "lights.npz"
    out: Path = ROOT / "src" / "mien" / "assets" / "anny.priors.safetensors"


def widened(mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """The covariance (27, 27) of light times `LIGHT_GAIN`, along its mean (27,) times `LEVEL_GAIN`."""
    level = mean / np.linalg.norm(mean)
    narrow = np.eye(len(mean)) - (1 - np.sqrt(LEVEL_GAIN / LIGHT_GAIN)) * np.outer(level, level)
    return LIGHT_GAIN * narrow @ covariance @ narrow


def main(options: Options) -> None:
    """Writes the file."""
    lights = np.load(options.lights)
    arrays = {
        "light_covariance": widened(lights["mean"], lights["covariance"]).astype(np.float32),
        "light_mean": lights["mean"].reshape(9, 3).astype(np.float32),
    }
    save_file(arrays, options.out)
    record_asset(
        options.out,
        licence="CC0-1.0",
        provenance="Prior of the fit: distribution of light in the public-domain and CC0 photographs of the "
        "albedo.",
        command="python tools/build_fit_priors.py --lights build/lights.npz",
    )
    print(options.out)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
