"""Measures how detected landmarks answer expressions: render a head at rest and with one, detect, compare.

    python tools/measure_landmarks.py

The difference of the two errors is what the expression does to the detector; that the landmarks show a
linear map of the expression, and how else each expression moves them, is fitted by least squares over all
heads. What they err beyond, in the mean and around it, goes into the packaged file as well. Random pictures
take their landmarks from it. Takes about five minutes on two cores.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.progress import track
from safetensors.numpy import save

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import mien  # noqa: E402
from face_model.asset_file import record_asset  # noqa: E402
from face_model.landmark_noise import describe, random_scene, upright_turn  # noqa: E402
from face_model.landmarks import landmark_mirror  # noqa: E402
from mien.camera import rotation_matrix  # noqa: E402
from mien.detect import detect_faces  # noqa: E402
from mien.expressions.recognition import mirrored  # noqa: E402
from mien.files import write_whole  # noqa: E402
from mien.fit.landmark_fit import LandmarkBasis  # noqa: E402
from mien.landmarks import LandmarkPoints, place_landmarks  # noqa: E402
from mien.render import base_only, render  # noqa: E402
from mien.synthesis.expressions import random_expressions  # noqa: E402
from mien.synthesis.shades import random_depths, shaded  # noqa: E402

SIZE_PX = 256
BATCH = 16
RIDGE = 1000.0
"""Weight in mm² of the answer's distance from following fully: little beside thousands of heads."""

MOVEMENT_RIDGE = 3.0
"""Heads at full strength against which an expression's movement is held to be none."""

OUTLIER_MM = 6.0


@dataclass(frozen=True)
class Options:
    """What to measure.

    Attributes:
        heads: how many random heads.
        jobs: processes.
        out: file to write.
    """

    heads: int = 4000
    jobs: int = 2
    out: Path = ROOT / "src" / "mien" / "assets" / "anny.landmarks.safetensors"


@dataclass(frozen=True, eq=False)
class Sighting:
    """One head, seen twice.

    Attributes:
        expression: (52,) shown.
        pose: (3, 3).
        errors: (2, 2, 478) detected minus true landmarks, mm at the face; with the expression, then at rest.
    """

    expression: np.ndarray
    pose: np.ndarray
    errors: np.ndarray


def sightings(batch: int) -> list[Sighting]:
    """Random heads whose face is found both times."""
    model, rng = mien.load_model(), np.random.default_rng([11, batch])
    points = LandmarkPoints.of(model.landmarks478, model.identity_mean, sliding=False)
    found = []
    for expression in random_expressions(rng, BATCH).astype(np.float64):
        scene, background = random_scene(model, rng)
        scene = scene.with_(rotation=0.7 * scene.rotation, focal_px=scene.focal_px * SIZE_PX / 336)
        skin, errors = int(rng.integers(1 << 30)), []
        for shown in (expression, np.zeros_like(expression)):
            code = scene.with_(expression=shown)
            depths = random_depths(np.random.default_rng(skin), shown[None])[0]
            albedo = shaded(model, base_only(model).albedo(code.albedo), depths)
            picture = render(
                model, code, (SIZE_PX, SIZE_PX), detail=False, supersample=2, albedo=albedo,
                background=background,
            ).image  # fmt: skip
            faces = detect_faces(picture.astype(np.float32), max_faces=1)
            if not faces:
                break
            truth = place_landmarks(
                points, model.vertices(code.identity, shown), code.rotation, code.translation, code.focal_px,
                np.full(2, SIZE_PX / 2),
            )  # fmt: skip
            errors.append(
                (faces[0].landmarks_px - truth)[:, :2].T * code.translation[2] / float(code.focal_px)
            )
        if len(errors) == 2:
            found.append(Sighting(expression, rotation_matrix(scene.rotation), np.stack(errors)))
    return found


def answer(seen: list[Sighting], components: np.ndarray) -> np.ndarray:
    """(E, E) the linear map of expressions that explains best how errors differ from those at rest.

    Args:
        seen: heads.
        components: (3, E, 478) mm, of expression at the landmarks.
    """
    count = components.shape[1]
    hessian, gradient = np.zeros((count, count, count, count)), np.zeros((count, count))
    for one in seen:
        moved = in_picture(components, one.pose)
        difference = np.clip(one.errors[0] - one.errors[1], -OUTLIER_MM, OUTLIER_MM)
        shown = np.flatnonzero(one.expression > 1e-4)
        strength = one.expression[shown]
        gradient[:, shown] += np.outer(np.einsum("akl,al->k", moved, difference), strength)
        overlap = np.einsum("akl,ajl->kj", moved, moved)
        for a, s in zip(shown, strength, strict=True):
            hessian[:, a][:, :, shown] += overlap[:, :, None] * (s * strength)
    flat = hessian.reshape(count**2, count**2) + RIDGE * np.eye(count**2)
    missing = np.linalg.solve(flat, gradient.ravel()).reshape(count, count)
    order = mirrored(count)
    return np.eye(count) + (missing + missing[order][:, order]) / 2


def movement(expressions: np.ndarray, differences: np.ndarray, partner: np.ndarray) -> np.ndarray:
    """(E, 2, 478) mm that explains best, times expressions (N, E), differences (N, 2, 478) of errors.

    Heads and their mirror images are counted alike; `partner` (478,) is each landmark's mirror image.
    """
    flipped = differences[:, :, partner] * [[-1.0], [1.0]]
    expressions = np.concatenate([expressions, expressions[:, mirrored(expressions.shape[1])]])
    differences = np.concatenate([differences, flipped]).reshape(len(expressions), -1)
    hessian = expressions.T @ expressions + MOVEMENT_RIDGE * np.eye(expressions.shape[1])
    return np.linalg.solve(hessian, expressions.T @ differences).reshape(-1, 2, 478)


def in_picture(components: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """(2, E, 478) what components (3, E, 478) move in the picture of a head with that pose, y down."""
    return np.einsum("ab,bkl->akl", pose[:2] * [[1], [-1]], components)


def main(options: Options) -> None:
    """Measures and writes; prints how far landmarks go along with each expression."""
    model = mien.load_model()
    with ProcessPoolExecutor(options.jobs) as pool:
        batches = range(-(-options.heads // BATCH))
        found = list(track(pool.map(sightings, batches), "heads", total=len(batches)))
    seen = [one for batch in found for one in batch]
    basis = LandmarkBasis.of(model, model.landmarks478, sliding=False)
    components = basis.components[:, basis.identity_count :].astype(np.float64)
    follows = answer(seen, components)
    missing = follows - np.eye(len(follows))
    explained = [np.einsum("akl,k->al", in_picture(components, o.pose), missing @ o.expression) for o in seen]
    turns = [upright_turn(one.pose) for one in seen]
    shown = np.array([t @ (o.errors[0] - e) for t, o, e in zip(turns, seen, explained, strict=True)])
    at_rest = np.array([turn @ one.errors[1] for turn, one in zip(turns, seen, strict=True)])
    expressions = np.array([one.expression for one in seen])
    partner = landmark_mirror(model.landmarks478(model.identity_mean))
    besides = movement(expressions, np.clip(shown - at_rest, -OUTLIER_MM, OUTLIER_MM), partner)
    errors = np.concatenate([shown - np.tensordot(expressions, besides, 1), at_rest])
    noise, bias = describe(errors), np.median(errors, axis=0)
    arrays = {"answer": follows, "besides": besides, "bias": bias}
    arrays |= {"variance": noise.variance, "factors": noise.factors}
    write_whole(options.out, save({name: array.astype(np.float16) for name, array in arrays.items()}))
    record_asset(
        options.out,
        licence="CC0-1.0",
        provenance="How MediaPipe's landmarks answer expressions, and how they err beyond, measured on "
        "renders of the default face model.",
        command="python tools/measure_landmarks.py",
    )
    flat = components[:2].transpose(1, 0, 2).reshape(len(follows), -1)
    along = np.einsum("kj,kn,jn->j", follows, flat, flat) / np.maximum((flat**2).sum(1), 1e-9)
    for name, share in zip(model.expression_names, along, strict=True):
        print(f"{name:20s} {share:5.2f}")
    own, common = np.sqrt(noise.variance.mean()), np.sqrt((noise.factors**2).sum(0).mean())
    mean = np.linalg.norm(bias, axis=0).mean()
    print(f"errors: {mean:.2f} mm in the mean; around it {common:.2f} mm in common, {own:.2f} mm each")
    print(f"{len(seen)} heads; {options.out}")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
