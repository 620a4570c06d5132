"""Makes the packaged priors of the fit: how the detector errs on the face model, and what light is like.

    python tools/albedo_report.py --shared ../shared/data --lights build/lights.npz
    python tools/build_fit_priors.py --lights build/lights.npz

Run after `tools/build_face_model.py`. The landmarks' errors are measured on renders of random heads; the
light is that of the photographs from which the albedo was learned. Its covariance is doubled, since those are
mostly portraits in even light, but for its level, of which half is left: cameras expose faces much alike, and
what a fit gives to the level it takes from the skin.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.progress import track
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from face_model.asset_file import record_asset  # noqa: E402
from face_model.landmark_noise import describe, measure  # noqa: E402
from mien.detect import Detector  # noqa: E402
from mien.model_files.packaged import read_model_file  # noqa: E402

LIGHT_GAIN, LEVEL_GAIN = 2.0, 0.5


@dataclass(frozen=True)
class Options:
    """Where things are.

    Attributes:
        lights: npz with mean (27,) and covariance (27, 27) of illumination, from `tools/albedo_report.py`.
        model: the model file.
        heads: how many random heads are rendered.
    """

    lights: Path = ROOT / "build" / "lights.npz"
    model: Path = ROOT / "src" / "mien" / "assets" / "anny.safetensors"
    heads: int = 1000


def widened(mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """The covariance (27, 27) of light times `LIGHT_GAIN`, along its mean (27,) times `LEVEL_GAIN`."""
    level = mean / np.linalg.norm(mean)
    narrow = np.eye(len(mean)) - (1 - np.sqrt(LEVEL_GAIN / LIGHT_GAIN)) * np.outer(level, level)
    return LIGHT_GAIN * narrow @ covariance @ narrow


def main(options: Options) -> None:
    """Measures and writes; prints the size of the errors."""
    model = read_model_file(options.model)
    with Detector() as detector:
        errors = measure(model, track(range(options.heads), description="measuring"), detector)
    noise = describe(errors)
    lights = np.load(options.lights)
    out = options.model.with_name(f"{model.name}.priors.safetensors")
    arrays = {
        "landmark_factors": noise.factors.astype(np.float16),
        "landmark_variance": noise.variance.astype(np.float16),
        "light_covariance": widened(lights["mean"], lights["covariance"]).astype(np.float32),
        "light_mean": lights["mean"].reshape(9, 3).astype(np.float32),
    }
    save_file(arrays, out)
    record_asset(
        out,
        licence="CC0-1.0",
        provenance="Priors of the fit: errors of MediaPipe's landmarks measured on renders of the default "
        "face model; distribution of light in the public-domain and CC0 photographs of the albedo.",
        command="python tools/build_fit_priors.py --lights build/lights.npz",
    )
    own, shared = np.sqrt(noise.variance.mean()), np.sqrt((noise.factors**2).sum(0).mean())
    print(f"{len(errors)} heads: own errors {own:.2f} mm, shared {shared:.2f} mm; {out}")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
