"""Real faces without labels: read photographs, draw around what was read, train on the drawings, and again.

The pictures stay synthetic, so their labels stay exact; but the people, expressions, poses and lights in them
become those of the photographs. Source: Kim et al., "InverseFaceNet: deep monocular inverse face rendering",
CVPR 2018, section 6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from mien.align import align
from mien.errors import BadTraining
from mien.evaluation.photos import landmark_error, photometric_error
from mien.facecode import ARKIT_NAMES, FaceCode
from mien.files import write_whole
from mien.image import load_image, to_uint8
from mien.landmarks import LandmarkPoints
from mien.morphable import MorphableModel, load_model
from mien.synthesis import BLOCK, Pictures, Recipe, generate, picture
from mien.synthesis.edited import held_out, read_faces
from mien.training.config import TrainingConfig
from mien.training.crop_code import landmarks_in_crop
from mien.training.network import EncoderNetwork
from mien.training.stream import Generator
from mien.training.train import train

DEVIATION = 0.4
"""How far from what was read codes are drawn, in standard deviations of the model."""

FRESH = 0.4
"""Share of blocks that are random as before, so that what the photographs lack is not forgotten."""


@dataclass(frozen=True, eq=False)
class PhotoCrops:
    """Faces of photographs as the encoder sees them.

    Attributes:
        names: (N) file names.
        images: (N, S, S, 3) uint8 crops.
        landmarks_px: (N, 478, 2) float32 detected landmarks, pixels of the crop.
    """

    names: tuple[str, ...]
    images: np.ndarray
    landmarks_px: np.ndarray

    def __getitem__(self, chosen: np.ndarray) -> PhotoCrops:
        """Those of a mask (N,) bool."""
        names = tuple(name for name, take in zip(self.names, chosen, strict=True) if take)
        return PhotoCrops(names, self.images[chosen], self.landmarks_px[chosen])

    @property
    def held_out(self) -> np.ndarray:
        """(N,) bool, by the file's name alone: the same photographs in every run."""
        return held_out(self.names)


def crop_faces(
    photos: Sequence[Path],
    size: int,
    progress: Callable[[Sequence[Path]], Iterable[Path]] = iter,
    say: Callable[[str], None] = print,
    preset: str = "mien",
) -> PhotoCrops:
    """The largest face of each photograph; photographs without one, or unreadable, are left out and named.

    Args:
        size: side of the crops in pixels.
        photos, progress, say: as in `mien.synthesis.edited.read_faces`.
        preset: whose crops, as in `mien.synthesis.Recipe`.

    Raises:
        BadTraining: too few photographs have a face.
        MissingLibrary: the preset's detectors are not installed.
    """
    from mien.thesis.preset import hull_crops

    open_crops = hull_crops if preset == "thesis" else _aligned_crops
    with open_crops(size) as crop:
        names, faces = read_faces(photos, lambda path: crop(load_image(path)), progress, say)
    images, landmarks_px = map(np.stack, zip(*faces, strict=True))
    return PhotoCrops(names, images, landmarks_px.astype(np.float32))


@contextmanager
def _aligned_crops(size: int) -> Iterator[Callable[[np.ndarray], tuple[np.ndarray, np.ndarray] | None]]:
    """What makes of an (H, W, 3) sRGB picture in [0, 1] the crop of its largest face, and its landmarks."""
    from mien.detect import Detector

    with Detector() as detector:

        def crop(image: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
            faces = detector.detect(image, max_faces=1)
            if not faces:
                return None
            alignment = align(faces[0].landmarks_px, size)
            return alignment.warp(to_uint8(image)), alignment.to_crop(faces[0].landmarks_px[:, :2])

        yield crop


@torch.no_grad()
def read_crops(network: EncoderNetwork, crops: PhotoCrops, model_id: str) -> FaceCode:
    """(N) codes, float32, in the crops' cameras, as the network reads them."""
    network.eval()
    size, vectors = crops.images.shape[1], []
    for first in range(0, len(crops.images), BLOCK):
        part = slice(first, first + BLOCK)
        pixels = torch.from_numpy(crops.images[part]).permute(0, 3, 1, 2).float() / 255
        landmarks = torch.from_numpy(landmarks_in_crop(crops.landmarks_px[part], size))
        code = network(pixels, landmarks).to_code(size, model_id)
        vectors.append(code.to_vector())
    return FaceCode.from_vector(np.concatenate(vectors).astype(np.float32), code.layout, model_id)


def judge(network: EncoderNetwork, model: MorphableModel, crops: PhotoCrops) -> dict[str, float]:
    """Mean landmark error (478) of the network alone, and photometric RMSE, on photographs."""
    return judge_codes(read_crops(network, crops, model.id), model, crops)


def judge_codes(codes: FaceCode, model: MorphableModel, crops: PhotoCrops) -> dict[str, float]:
    """What `judge` says of codes (N), in the crops' cameras, however they were read."""
    points = LandmarkPoints.of(model.landmarks478, model.identity_mean, sliding=False)
    centre = np.full(2, crops.images.shape[1] / 2)
    nme, rmse = [], []
    for i, landmarks in enumerate(crops.landmarks_px):
        image = crops.images[i].astype(np.float32) / 255
        grey = bool(np.ptp(image, axis=-1).max() < 0.02)
        nme.append(landmark_error(model, codes[i], points, centre, landmarks, landmarks))
        rmse.append(photometric_error(model, codes[i], image, grey))
    return {"nme478": float(np.mean(nme)), "rmse": float(np.nanmean(rmse))}


@dataclass(frozen=True)
class Resampled:
    """A generator of pictures whose codes lie around those read from photographs. Pickles small.

    A network reads the mean of what a photograph may show, so what it reads varies less than people do. As
    much is added to identity and albedo as makes them vary like the model's.

    Attributes:
        codes: npy file of (N, layout.size) float32 vectors, in the crops' cameras.
        deviation: the least that is added, in standard deviations of the model; other parts move in
            proportion to it.
    """

    codes: Path
    deviation: float

    def __call__(self, model: MorphableModel, recipe: object, seed: int, block: int) -> Pictures:
        """As `mien.synthesis.generate`."""
        rng = np.random.default_rng([seed, block, 1])
        if rng.random() < FRESH:
            return generate(model, recipe, seed, block)
        read = FaceCode.from_vector(read_codes(self.codes).astype(np.float64), model.layout, model.id)
        return picture(model, recipe, self._around(model, read, rng), rng)

    def _around(self, model: MorphableModel, read: FaceCode, rng: np.random.Generator) -> FaceCode:
        code = read[rng.integers(len(read.identity), size=BLOCK)]

        def near(part: np.ndarray, deviation: float) -> np.ndarray:
            return part + rng.normal(size=part.shape) * deviation * self.deviation

        def like_people(name: str) -> np.ndarray:
            lacking = np.sqrt(np.maximum(1 - getattr(read, name).var(0), self.deviation**2))
            return getattr(code, name) + rng.normal(size=getattr(code, name).shape) * lacking

        expression = code.expression * np.exp(rng.normal(size=code.expression.shape) * self.deviation)
        if model.expression_names == ARKIT_NAMES:
            from mien.synthesis.expressions import random_expressions

            other = rng.random((BLOCK, 1)) < 0.4
            expression = np.where(other, random_expressions(rng, BLOCK), expression)
        distance = np.exp(rng.normal(size=(BLOCK, 1)) * self.deviation)
        light = near(code.illumination, 0.3)
        return code.with_(
            identity=like_people("identity"),
            expression=np.clip(expression, *model.expression_bounds),
            albedo=like_people("albedo"),
            rotation=near(code.rotation, 0.3),
            translation=code.translation * distance,
            illumination=light * np.exp(rng.normal(size=(BLOCK, 1, 1)) * 0.5 * self.deviation),
            focal_px=np.ones(BLOCK),
        )


@lru_cache(maxsize=2)
def read_codes(path: Path) -> np.ndarray:
    """(N, layout.size) float32 vectors of a round's photographs, kept for the life of the process."""
    return np.load(path)


def bootstrap(
    config: TrainingConfig,
    start: Path,
    crops: PhotoCrops,
    *,
    rounds: int = 3,
    deviation: float | None = None,
) -> list[dict[str, float]]:
    """Runs the rounds, each in its own folder below `config.folder`; finished rounds are left as they are.

    Args:
        config: of one round; its `initial` is replaced.
        start: folder of the training run, or exported encoder, to begin with.
        crops: of photographs; those held out are only measured on.
        rounds: how many.
        deviation: as in `Resampled`, or in the preset's own way of drawing; `DEVIATION`, or the preset's, if
            None.

    Returns:
        What `judge` says on the photographs held out, before the first round and after each.
    """
    from mien.training.export import load_trained

    model = load_model(config.model)
    held, learned = crops[crops.held_out], crops[~crops.held_out]
    network, _ = load_trained(start)
    stages, before = [judge(network, model, held)], start
    for number in range(1, rounds + 1):
        folder = config.folder / f"round{number}"
        codes = folder / "codes.npy"
        if not codes.exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(codes, _npy(_read(config.recipe, network, model, learned).to_vector()))
        run = replace(config, folder=folder, initial=before, seed=config.seed + number)
        result = train(run, generate=_drawn(config.recipe, codes.resolve(), deviation))
        if not result.finished:
            raise BadTraining(f"{folder}: stopped; the same command goes on from there")
        network, before = result.network, folder
        stages.append(judge(network, model, held))
    return stages


def _read(recipe: Recipe, network: EncoderNetwork, model: MorphableModel, crops: PhotoCrops) -> FaceCode:
    """What the network reads, as the preset of the recipe corrects it."""
    codes = read_crops(network, crops, model.id)
    if recipe.preset == "thesis":
        from mien.thesis.bootstrap import with_seen_colours

        return with_seen_colours(model, codes, crops.images)
    return codes


def _drawn(recipe: Recipe, codes: Path, deviation: float | None) -> Generator:
    """Pictures around codes, as the preset of the recipe draws them."""
    if recipe.preset == "thesis":
        from mien.thesis import bootstrap as thesis

        return thesis.Variants(codes, thesis.DEVIATION if deviation is None else deviation)
    return Resampled(codes, DEVIATION if deviation is None else deviation)


def _npy(array: np.ndarray) -> bytes:
    import io

    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()
