"""Measures how reconstruction reads expressions: render, detect, reconstruct, compare.

    python tools/measure_readings.py
    python tools/measure_readings.py --way encoder --out encoder.safetensors    # of the network alone

Random heads are drawn twice, at rest and with a random emotion, seen from the front as portraits are; and the
same is put into portraits that the encoder has not learned from (`mien.synthesis.edited`). Half of all
pictures are grey, half small and enlarged again, all with the grain and the compression of photographs. What
was read of which emotion goes to a packaged file; `mien train-expression` learns from it how codes err.
Prints how what is read goes with what is shown. Run again after the encoder or the fit has changed. Takes
about a quarter of an hour on two cores.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import tyro
from rich.progress import track
from safetensors.numpy import save

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import cv2  # noqa: E402

import mien  # noqa: E402
from face_model.asset_file import record_asset  # noqa: E402
from face_model.landmark_noise import random_scene  # noqa: E402
from mien.detect import detect_faces  # noqa: E402
from mien.encoder import packaged_encoder  # noqa: E402
from mien.evaluation.ways import Estimate, Way, estimate_by  # noqa: E402
from mien.expressions.recognition import mirrored  # noqa: E402
from mien.facecode import FaceCode  # noqa: E402
from mien.files import write_whole  # noqa: E402
from mien.fit import Fitter  # noqa: E402
from mien.render import base_only, render  # noqa: E402
from mien.synthesis.edited import Portraits, alike, edited, held_out, read_portraits  # noqa: E402
from mien.synthesis.emotions import random_emotions  # noqa: E402
from mien.synthesis.expressions import random_expressions  # noqa: E402
from mien.synthesis.shades import random_depths, shaded  # noqa: E402

SIZE_PX, FACE_SHARE = 240, 0.8
"""Side of the renders, and how much of it the face takes."""

CROP_PX = 112
"""Side of the crops that portraits are large enough for."""

SMALLEST_FACE_PX = 45

PACKAGED = ROOT / "src" / "mien" / "assets" / "anny.readings.safetensors"
BATCH = 16
CALM_SMILE, CALM_JAW = 0.25, 0.1
"""Readings of photographs below these are taken for faces nearly at rest."""


Shown = tuple[np.ndarray, np.ndarray]
"""Coefficients (52,), and a picture (H, W, 3) sRGB."""

Heads = Callable[[int], Iterator[tuple[int, int, tuple[Shown, Shown]]]]
"""Number of a batch to `BATCH` heads, each an emotion's number, the person's, and the person with the emotion
and at rest."""

NOBODY = -1
"""Number of a person who is not in a photograph."""


@dataclass(frozen=True)
class Options:
    """What to measure.

    Attributes:
        photos: photographs of people, whose labels are not known.
        learned: folder of those that the encoder has learned from. There it reads better than elsewhere, so
            only what `mien.synthesis.edited.held_out` kept from it is measured on.
        heads, portraits: how many random heads, and how many edited portraits.
        jobs: processes.
        way: how faces are read, one of `mien.evaluation.ways.WAYS`.
        out: file to write; only the packaged one is listed among the assets.
    """

    photos: Path = ROOT.parent / "shared" / "data" / "photos_open"
    learned: Path = ROOT.parent / "shared" / "data" / "photos_open" / "us_official"
    heads: int = 1600
    portraits: int = 6400
    jobs: int = 2
    way: Way = "encoder+fit"
    out: Path = PACKAGED


def photographed(picture: np.ndarray, rng: np.random.Generator, face_px: float) -> np.ndarray:
    """(H, W, 3) sRGB with a face of that width, as a camera and a file format leave it."""
    if rng.random() < 0.5:
        picture = np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    if rng.random() < 0.5:
        ratio = rng.uniform(min(1.0, SMALLEST_FACE_PX / face_px), 1.0)
        small = cv2.resize(picture, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
        picture = cv2.resize(small, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    picture = picture + rng.normal(size=picture.shape) * rng.uniform(0.0, 0.02)
    pixels = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(50, 96))]
    return cv2.imdecode(cv2.imencode(".jpg", pixels, quality)[1], cv2.IMREAD_COLOR).astype(np.float32) / 255


def random_heads(batch: int) -> Iterator[tuple[int, int, tuple[Shown, Shown]]]:
    """`Heads` of the model."""
    model, rng = mien.load_model(), np.random.default_rng([7, batch])
    emotions = random_emotions(rng, BATCH)
    resting = random_expressions(rng, BATCH, kind="neutral").astype(np.float64) * 0.5
    for shown, label, rest in zip(emotions.expression, emotions.label, resting, strict=True):
        scene, background = random_scene(model, rng)
        scene = scene.with_(rotation=0.5 * scene.rotation)
        skin = int(rng.integers(1 << 30))
        pictures = [_picture(scene.with_(expression=e), background, skin, rng) for e in (shown, rest)]
        yield int(label), NOBODY, ((shown, pictures[0]), (rest, pictures[1]))


def edited_portraits(photos: tuple[Path, ...], batch: int) -> Iterator[tuple[int, int, tuple[Shown, Shown]]]:
    """`Heads` of portraits."""
    model, rng = mien.load_model(), np.random.default_rng([8, batch])
    portraits = _portraits(photos)
    emotions = random_emotions(rng, BATCH)
    resting = random_expressions(rng, BATCH, kind="neutral").astype(np.float64) * 0.5
    for shown, label, rest in zip(emotions.expression, emotions.label, resting, strict=True):
        person = alike(model, rng, portraits.codes.expression, shown)
        one = portraits[[person]]
        skin = int(rng.integers(1 << 30))
        pairs = []
        for expression in (shown, rest):
            made = edited(model, np.random.default_rng(skin), one, expression)
            picture, width = made.images[0].astype(np.float32) / 255, np.ptp(made.landmarks_px[0, :, 0])
            pairs.append((made.codes.expression[0], photographed(picture, rng, float(width))))
        yield int(label), person, tuple(pairs)


@cache
def _portraits(photos: tuple[Path, ...]) -> Portraits:
    return read_portraits(mien.load_model(), photos, CROP_PX, say=lambda line: None)


def _picture(code: FaceCode, background: np.ndarray, skin: int, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) sRGB of a code; the same skin creases alike."""
    model = mien.load_model()
    depths = random_depths(np.random.default_rng(skin), code.expression[None])[0]
    drawn = render(
        model,
        code,
        (SIZE_PX, SIZE_PX),
        detail=False,
        supersample=2,
        albedo=shaded(model, base_only(model).albedo(code.albedo), depths),
        background=background,
    )
    return photographed(drawn.image.astype(np.float32), rng, FACE_SHARE * SIZE_PX)


def read_heads(way: Way, heads: Heads, batch: int) -> list[tuple[int, int, np.ndarray]]:
    """For each head that was found the emotion's and the person's number, and (3, 52): shown, read that way,
    and read at rest.
    """
    rows = []
    for label, person, ((shown, picture), (_, resting)) in heads(batch):
        readings = [read(way, one) for one in (picture, resting)]
        if all(reading is not None for reading in readings):
            rows.append((label, person, np.stack([shown, *readings])))
    return rows


def read_photo(way: Way, path: Path) -> np.ndarray | None:
    """(52,) what is read in a photograph, as poor as the renders are, if it has a face."""
    image = mien.load_image(path)
    faces = detect_faces(image, max_faces=1)
    if not faces:
        return None
    x0, _, x1, _ = faces[0].box_px
    return read(way, photographed(image, np.random.default_rng(list(path.name.encode())), x1 - x0))


def read(way: Way, image: np.ndarray) -> np.ndarray | None:
    """(52,) what reconstruction reads in a picture (H, W, 3), without the recogniser that is to be made."""
    faces = detect_faces(image, max_faces=1)
    return _estimate(way)(image, faces[0].landmarks_px).expression if faces else None


@cache
def _estimate(way: Way) -> Estimate:
    return estimate_by(way, Fitter.of(mien.load_model()), packaged_encoder())


def people_at_rest(readings: Iterable[np.ndarray], names: tuple[str, ...]) -> np.ndarray:
    """(2 N, 52) readings of the N people who hardly smile or speak, and their mirror images."""
    readings = np.array(list(readings))
    smile = readings[:, [names.index("mouthSmileLeft"), names.index("mouthSmileRight")]].mean(1)
    calm = (smile < CALM_SMILE) & (readings[:, names.index("jawOpen")] < CALM_JAW)
    print(f"{calm.sum()} of {len(readings)} photographed people are nearly at rest")
    return np.concatenate([readings[calm], readings[calm][:, mirrored(len(names))]])


def print_agreement(shown: np.ndarray, read: np.ndarray) -> None:
    """Pearson's correlation and the slope of what is read over what is shown, sides averaged."""
    names = mien.load_model().expression_names
    for stem in dict.fromkeys(name.removesuffix("Left").removesuffix("Right") for name in names):
        sides = [i for i, name in enumerate(names) if name.removesuffix("Left").removesuffix("Right") == stem]
        x, y = shown[:, sides].mean(1), read[:, sides].mean(1)
        if x.std() > 0.02:
            print(f"{stem:18s} r {np.corrcoef(x, y)[0, 1]:5.2f}   slope {np.polyfit(x, y, 1)[0]:5.2f}")


def main(options: Options) -> None:
    """Measures and writes."""
    found = sorted(options.photos.rglob("*.jpg"))
    unseen = held_out([path.name for path in found])
    photos = tuple(p for p, out in zip(found, unseen, strict=True) if out or options.learned not in p.parents)
    with ProcessPoolExecutor(options.jobs) as pool:
        rows = []
        print(f"nothing was learned from {len(photos)} of {len(found)} photographs")
        for what, count, heads in (
            ("renders", options.heads, random_heads),
            ("portraits", options.portraits, partial(edited_portraits, photos)),
        ):
            batches = range(-(-count // BATCH))
            made = pool.map(partial(read_heads, options.way, heads), batches)
            rows += [row for some in track(made, what, total=len(batches)) for row in some]
        people = pool.map(partial(read_photo, options.way), photos, chunksize=8)
        people = list(track(people, "photographs", total=len(photos)))
    labels, persons, measured = zip(*rows, strict=True)
    shown, read, at_rest = np.stack(measured, axis=1)
    persons = np.array(persons, np.int16)
    people = people_at_rest((one for one in people if one is not None), mien.load_model().expression_names)
    arrays = {"read": read, "read_at_rest": at_rest, "people_at_rest": people}
    arrays = {name: array.astype(np.float16) for name, array in arrays.items()}
    arrays |= {"label": np.array(labels, np.int8), "person": persons}
    write_whole(options.out, save(arrays))
    for what, some in (("renders", persons == NOBODY), ("edited portraits", persons != NOBODY)):
        print(f"{some.sum()} {what}")
        print_agreement(shown[some], read[some])
    print(options.out)
    if options.out != PACKAGED:
        return
    record_asset(
        options.out,
        licence="CC0-1.0",
        provenance="How reconstruction reads emotions: ARKit coefficients read of random renders of the "
        "default face model and of portraits with an emotion put into them and brought to rest, and of "
        "people nearly at rest; all photographs in the public domain or under CC0.",
        command="python tools/measure_readings.py",
    )


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
