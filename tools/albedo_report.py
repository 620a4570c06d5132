"""Tells how good the model's albedo is, in figures and a picture.

    python tools/albedo_report.py --shared ../shared/data --sheet docs/albedo.png

Learns the albedo from nine tenths of the photographs and explains the last tenth with it. Needs the work
folder of `tools/build_face_model.py`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from face_model.albedo_light import DARKEST, LightPrior, fit_light  # noqa: E402
from face_model.albedo_model import Learned, divide_light, learn, skin_locus, true_to_colour, whole_head  # noqa: E402
from face_model.albedo_patterns import LUMINANCE, Patterns, Zones  # noqa: E402
from face_model.albedo_samples import Samples, sample_photos  # noqa: E402
from face_model.anny_head import AnnyHead  # noqa: E402
from face_model.regions import regions  # noqa: E402
from mien.facecode import FaceCode  # noqa: E402
from mien.image import linear_to_srgb, save_png  # noqa: E402
from mien.lighting import sh_basis, studio_light, uniform_light  # noqa: E402
from mien.model_files.packaged import read_model_file  # noqa: E402
from mien.morphable import MorphableModel  # noqa: E402
from mien.render import render  # noqa: E402

NOISE, SAMPLES_PER_FREEDOM = 0.15, 40.0
"""Of the log albedo that components leave unexplained, and how many vertices are one independent sample."""


@dataclass(frozen=True)
class Options:
    """Where things are.

    Attributes:
        shared: folder with `photos_open`.
        model: the model file.
        work: the work folder of `tools/build_face_model.py`.
        sheet: picture to write: random faces, then each of the first twelve components at -2.5 and +2.5.
        lights: npz file to write: mean (27,) and covariance (27, 27) of the photographs' illumination.
        held_out: whether to learn again without every tenth photograph and explain those.
    """

    shared: Path = ROOT.parent / "shared" / "data"
    model: Path = ROOT / "src" / "mien" / "assets" / "anny.safetensors"
    work: Path = ROOT / "build" / "face_model"
    sheet: Path | None = None
    lights: Path | None = None
    held_out: bool = True


def main(options: Options) -> None:
    """Prints figures and writes the sheet."""
    model = read_model_file(options.model)
    print_tones(model)
    if options.sheet:
        save_png(options.sheet, sheet(model))
    if options.held_out:
        with np.load(options.work / "head.npz") as arrays:
            head = AnnyHead(**{field: arrays[field] for field in AnnyHead.__dataclass_fields__})
        masks = regions(head, model.refinement, model.identity_mean.astype(np.float64), model.landmarks478)
        samples = sample_photos(model, options.shared / "photos_open", options.work / "albedo")
        learned = print_held_out(model, masks, samples, Zones.of(model, masks, samples.vertices))
        if options.lights:
            flat = illuminations(learned).reshape(-1, 27)
            np.savez(options.lights, mean=flat.mean(0), covariance=np.cov(flat.T))


def print_tones(model: MorphableModel) -> None:
    """The skin's reflectance at three tones, over the cheeks."""
    cheeks = model.landmarks478.vertices[[50, 280]].ravel()
    for tone in (-2.5, 0.0, 2.5):
        skin = model.albedo(np.array([tone], np.float32))[cheeks].mean(0)
        print(f"tone {tone:+.1f}: linear RGB {np.round(skin, 3)}, luminance {skin @ LUMINANCE:.3f}")


def print_held_out(
    model: MorphableModel, masks: dict[str, np.ndarray], samples: Samples, zones: Zones
) -> Learned:
    """Explained variance, and the error in explaining photographs that nothing was learned from."""
    held = np.arange(len(samples.names)) % 10 == 7
    learned = learn(model, masks, samples[~held], zones)
    variance = np.sort(learned.spectrum.variance)[::-1].cumsum()
    print(f"learned from {learned.coloured.sum()} photographs")
    for count in (1, 5, 10, 20, 40, len(variance)):
        print(f"{count} patterns explain {100 * variance[count - 1]:.1f} % of the variance beside tone")
    mean, components = whole_head(model, masks, zones, learned)
    patterns = divide_light(samples[held], zones)
    prior = LightPrior.of(learned.patterns.lights[learned.coloured])
    faces = np.flatnonzero(true_to_colour(patterns))
    for count in (0, 3, 20, len(components)):
        errors = [explain(samples[held], patterns, p, mean, components[:count], zones, prior) for p in faces]
        mean_error, median = np.mean(errors), np.median(errors)
        print(f"{len(errors)} held out, {count} components: sRGB RMSE {mean_error:.4f}, median {median:.4f}")
    return learned


def illuminations(learned: Learned) -> np.ndarray:
    """(P, 9, 3) illumination of the photographs, docs/conventions.md; what tone leaves is the light's."""
    middle, per_tone = skin_locus()
    faces = learned.coloured
    strength = learned.patterns.skin[faces] - (middle + learned.tone[faces, None] * per_tone)
    return learned.patterns.lights[faces] * np.exp(strength)[:, None]


def explain(
    samples: Samples,
    patterns: Patterns,
    photo: int,
    mean: np.ndarray,
    components: np.ndarray,
    zones: Zones,
    prior: LightPrior,
) -> float:
    """sRGB RMSE over the visible face of a photograph, explained by light and `components` (K, V, 3)."""
    face = np.flatnonzero((zones.face > 0.5) & (patterns.weight[photo] > 0.05))[::2]
    vertices, weight = samples.vertices[face], patterns.weight[photo, face].astype(np.float64)
    radiance = samples.radiance[photo, face].astype(np.float64)
    basis = sh_basis(samples.normals[photo, face].astype(np.float64))
    columns = components[:, vertices].reshape(len(components), 3 * len(face)).astype(np.float64)
    coefficients, trust = np.zeros(len(components)), weight
    for _ in range(8):
        albedo = np.exp(mean[vertices] + (coefficients @ columns).reshape(-1, 3))
        strength = np.median(radiance / albedo)
        light = strength * fit_light(radiance / albedo / strength, basis, trust, prior)
        shading = np.maximum(basis @ light, DARKEST * strength)
        rest = np.log(radiance) - np.log(shading) - mean[vertices]
        certainty = np.repeat(trust, 3) / (NOISE**2 * SAMPLES_PER_FREEDOM)
        precision = (columns * certainty) @ columns.T + np.eye(len(coefficients))
        coefficients = np.linalg.solve(precision, (columns * certainty) @ rest.ravel())
        size = np.abs(rest - (coefficients @ columns).reshape(-1, 3)).mean(1)
        trust = weight / (1.0 + (size / (3.0 * np.median(size))) ** 2) ** 2
    albedo = np.exp(mean[vertices] + (coefficients @ columns).reshape(-1, 3))
    difference = linear_to_srgb(np.clip(albedo * shading, 0, 1)) - linear_to_srgb(np.clip(radiance, 0, 1))
    return float(np.sqrt(np.average((difference**2).mean(1), weights=weight)))


def sheet(model: MorphableModel, size: int = 150) -> np.ndarray:
    """(H, W, 3) sRGB: the mean and random faces, evenly lit and in the studio; components below."""
    random = np.random.default_rng(5).normal(size=(24, model.layout.albedo))
    random[0] = 0.0
    axes = np.eye(model.layout.albedo)[:12] * 2.5
    rows = [
        (random[:12], uniform_light(0.85)),
        (random[:12], studio_light()),
        (random[12:], studio_light()),
        (-axes, uniform_light(0.85)),
        (axes, uniform_light(0.85)),
    ]
    pictures = [[portrait(model, code, light, size) for code in codes] for codes, light in rows]
    return np.vstack([np.hstack(row) for row in pictures])


def portrait(model: MorphableModel, albedo: np.ndarray, light: np.ndarray, size: int) -> np.ndarray:
    """(size, 0.8 size, 3) sRGB of the mean head with albedo coefficients (A,)."""
    code = FaceCode(
        identity=np.zeros(model.layout.identity, np.float32),
        expression=np.zeros(model.layout.expression, np.float32),
        albedo=albedo.astype(np.float32),
        rotation=np.zeros(3, np.float32),
        translation=np.array([0.0, -15.0, 900.0], np.float32),
        illumination=light,
        focal_px=np.float32(size * 900.0 / 245.0),
        model=model.id,
    )
    return render(model, code, (int(0.8 * size), size), supersample=2, background=np.full(3, 0.35)).image


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
