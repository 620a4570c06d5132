"""Portraits whose faces do something else: real skin, hair and light, and expressions that are known.

Random pictures show expressions as the model has them, on skin that no camera has seen. In a portrait all is
real but the expression, which is made by `mien.composite`: the photograph's own pixels are moved, and the
creases of the expression are laid over them. How a person looks at rest is known only as well as it was read,
so of an edited portrait's code only the expression is certain.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar
from zipfile import BadZipFile

import numpy as np

from mien.align import Alignment, align
from mien.camera import Camera
from mien.errors import BadTraining, MienError
from mien.facecode import ARKIT_NAMES, FaceCode
from mien.morphable import MorphableModel
from mien.synthesis import BLOCK, Pictures, Recipe, generate, joined

T = TypeVar("T")

HELD_OUT = 5
"""One photograph of so many is measured on and never learned from."""

FEWEST = 20
"""Photographs with a face that are enough to learn from."""

SHARE = 0.5
"""Of the pictures of a block, those that are edited portraits."""

SHOTS = 2
"""Pictures taken of each edited portrait: cameras and detection cost less than the edit."""

PORTRAITS = "portraits.npz"
"""File of the portraits, in the folder of a run or of a corpus."""

_ENLARGED = 1.5  # side of the pictures that the detector looks at over that of the crops
_ROOM = 1.4  # side of the portraits over that of these: an open jaw needs more
_RESHAPED = 0.6  # deviation of the identity from the portrait's: brows and mouths of other people at rest
_ALIKE = 5  # one portrait of so many, those whose mouths are nearest to what is drawn, is chosen from
_SMILES = ("mouthSmileLeft", "mouthSmileRight")


@dataclass(frozen=True, eq=False)
class Portraits:
    """Photographs around their largest face, and what was read there.

    Attributes:
        names: (N) file names.
        images: (N, S, S, 3) uint8 sRGB.
        landmarks_px: (N, 478, 2) float32 detected landmarks, pixels of the images.
        codes: (N) as `mien.reconstruct` reads them, the principal point in the image's centre.
    """

    names: tuple[str, ...]
    images: np.ndarray
    landmarks_px: np.ndarray
    codes: FaceCode

    def __getitem__(self, chosen: np.ndarray) -> Portraits:
        """Those of a mask (N,) bool, or of given numbers."""
        return Portraits(
            tuple(np.array(self.names)[chosen]),
            self.images[chosen],
            self.landmarks_px[chosen],
            self.codes[chosen],
        )

    def to_bytes(self) -> bytes:
        """As a file that `of_file` reads."""
        stream = io.BytesIO()
        np.savez(
            stream,
            names=np.array(self.names),
            images=self.images,
            landmarks_px=self.landmarks_px,
            codes=self.codes.to_vector(),
            model=self.codes.model,
        )
        return stream.getvalue()

    @classmethod
    def of_file(cls, path: Path, model: MorphableModel) -> Portraits:
        """Those of a file, of codes of the model.

        Raises:
            BadTraining: the file is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                codes = FaceCode.from_vector(file["codes"], model.layout, str(file["model"]))
                names = tuple(map(str, file["names"]))
                return cls(names, file["images"], file["landmarks_px"], codes)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise BadTraining(
                f"{path}: damaged ({error}); remove it, and the portraits are read again"
            ) from error


def held_out(names: Sequence[str]) -> np.ndarray:
    """(N,) bool, by the files' names alone: the same photographs in every run."""
    digests = [hashlib.sha256(name.encode()).digest()[0] for name in names]
    return np.array(digests) % HELD_OUT == 0


def read_faces(
    photos: Sequence[Path],
    read: Callable[[Path], T | None],
    progress: Callable[[Sequence[Path]], Iterable[Path]] = iter,
    say: Callable[[str], None] = print,
) -> tuple[tuple[str, ...], list[T]]:
    """File names of the photographs that have a face, and what is read there.

    Args:
        photos: picture files.
        read: reads the largest face of one; None where there is none.
        progress: wraps the files, as `rich.progress.track` does.
        say: takes a line about each photograph left out: without a face, or unreadable.

    Raises:
        BadTraining: fewer than `FEWEST` photographs have a face.
    """
    names, faces = [], []
    for path in progress(photos):
        try:
            face = read(path)
        except MienError as error:
            say(str(error))
            continue
        if face is None:
            say(f"{path}: no face found; left out")
            continue
        names.append(path.name)
        faces.append(face)
    if len(names) < FEWEST:
        raise BadTraining(
            f"{len(names)} of {len(photos)} photographs have a face; give at least {FEWEST} that do"
        )
    return tuple(names), faces


def read_portraits(
    model: MorphableModel,
    photos: Sequence[Path],
    size: int,
    progress: Callable[[Sequence[Path]], Iterable[Path]] = iter,
    say: Callable[[str], None] = print,
) -> Portraits:
    """Reconstructs the largest face of each photograph.

    Args:
        model: whose codes are read.
        size: side of the crops that are to be learned from, pixels.
        photos, progress, say: as in `read_faces`.

    Raises:
        BadTraining: the model's expressions are not ARKit's, or fewer than `FEWEST` photographs have a face.
    """
    from mien.crop_camera import to_crop_camera
    from mien.image import to_uint8
    from mien.reconstruction import reconstruct

    if model.expression_names != ARKIT_NAMES:
        raise BadTraining(f"{model.id}: has not ARKit's expressions, which are put into portraits; use anny")

    def read(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        faces = reconstruct(path, model=model, max_faces=1)
        if not faces:
            return None
        (face,) = faces
        near, side = align(face.landmarks_px, size), round(_ROOM * _ENLARGED * size)
        alignment = Alignment(near.centre_px, near.side_px * _ROOM, near.roll_radians, side)
        code = to_crop_camera(face.code, np.asarray(face.camera.principal_px), alignment)
        image = to_uint8(alignment.warp(np.asarray(face.image, np.float32)))
        return image, alignment.to_crop(face.landmarks_px).astype(np.float32), code.to_vector()

    names, faces = read_faces(photos, read, progress, say)
    images, landmarks_px, vectors = map(np.stack, zip(*faces, strict=True))
    return Portraits(names, images, landmarks_px, FaceCode.from_vector(vectors, model.layout, model.id))


def edited(
    model: MorphableModel,
    rng: np.random.Generator,
    portrait: Portraits,
    expression: np.ndarray,
    reshaped: np.ndarray | float = 0.0,
) -> Portraits:
    """The portrait whose face does something else, but looks where it looked.

    Args:
        model: of the portrait's code, with ARKit's expressions.
        rng: source of chance: how deep the creases are.
        portrait: a single one; its landmarks move as the model's do.
        expression: (52,) ARKit coefficients.
        reshaped: (K,) is added to the identity.
    """
    from mien.composite import composite
    from mien.edit import with_expression_of
    from mien.image import to_uint8
    from mien.synthesis.codes import landmarks_in_crops
    from mien.synthesis.shades import random_creases

    (image,), (seen,) = portrait.images, portrait.landmarks_px
    side = len(image)
    before = portrait.codes[0]
    after = with_expression_of(model, before, before.with_(expression=expression))
    after = after.with_(identity=before.identity + reshaped)
    camera = Camera(float(before.focal_px), np.full(2, side / 2), (side, side))
    pixels = image.astype(np.float32) / 255
    folds = random_creases(model, rng, after.expression)
    picture = composite(model, before, after, pixels, camera, seen, darker=folds)
    moved = np.subtract(*(landmarks_in_crops(model, code[None], side)[0] for code in (after, before)))
    return Portraits(portrait.names, to_uint8(picture)[None], np.float32(seen + moved)[None], after[None])


@dataclass(frozen=True)
class EditedPortraits:
    """A generator, as `mien.synthesis.generate`, some of whose pictures are edited portraits. Pickles small.

    Of their codes all but the expression is nan: it is not known.

    Attributes:
        portraits: file of `Portraits.to_bytes`.
    """

    portraits: Path

    def __call__(self, model: MorphableModel, recipe: Recipe, seed: int, block: int) -> Pictures:
        """As `mien.synthesis.generate`."""
        from mien.synthesis.expressions import random_expressions

        rng = np.random.default_rng([seed, block, 2])
        count = round(SHARE * BLOCK)
        drawn = random_expressions(rng, count // SHOTS).astype(np.float64)
        pictures = self._draw(model, rng, drawn, recipe.size)
        unknown = FaceCode.from_vector(
            np.full((count, model.layout.size), np.nan, np.float32), model.layout, model.id
        ).with_(expression=pictures.codes.expression)
        known = Pictures(pictures.images, pictures.landmarks_px, unknown)
        return joined([known, generate(model, recipe, seed, block, BLOCK - count)])

    def _draw(
        self, model: MorphableModel, rng: np.random.Generator, expressions: np.ndarray, size: int
    ) -> Pictures:
        """`SHOTS` pictures of each expression; of the codes, those of mirror images have it alone right."""
        from mien.crop_camera import to_crop_camera
        from mien.synthesis.detected import as_detected
        from mien.synthesis.world import World

        portraits, side = _kept(self.portraits, model), round(_ENLARGED * size)
        images, landmarks, vectors = [], [], []
        for expression in expressions:
            chosen = alike(model, rng, portraits.codes.expression, expression)
            reshaped = rng.normal(size=model.layout.identity) * _RESHAPED
            made = edited(model, rng, portraits[[chosen]], expression, reshaped)
            for flipped in rng.random(SHOTS) < 0.5:
                shown = mirror_image(model, made) if flipped else made
                (picture,), (points,) = shown.images, shown.landmarks_px
                cut = align(points, side)
                images.append(cut.warp(picture))
                landmarks.append(cut.to_crop(points))
                vectors.append(to_crop_camera(shown.codes[0], np.full(2, len(picture) / 2), cut).to_vector())
        landmarks = np.stack(landmarks)
        world = World(rng, landmarks, side)
        shot, landmarks = world.photographed(np.stack(images), landmarks, dressed=False)
        codes = FaceCode.from_vector(np.stack(vectors), model.layout, model.id)
        return as_detected(Pictures(shot, landmarks, codes), size)


def mirror_image(model: MorphableModel, portraits: Portraits) -> Portraits:
    """The portraits seen in a mirror. Of their codes only the expression is mirrored.

    Args:
        model: of the codes, with ARKit's expressions.
        portraits: any number.
    """
    from mien.expressions.recognition import mirrored

    images, expression = portraits.images[:, :, ::-1], np.asarray(portraits.codes.expression)
    landmarks_px = portraits.landmarks_px[:, _partners(model)] * [-1, 1] + [images.shape[2], 0]
    codes = portraits.codes.with_(expression=expression[:, mirrored(expression.shape[1])])
    return Portraits(portraits.names, np.ascontiguousarray(images), landmarks_px.astype(np.float32), codes)


@lru_cache(maxsize=1)
def _partners(model: MorphableModel) -> np.ndarray:
    """(478,) each landmark's partner on the other side of the face."""
    points = np.asarray(model.landmarks478(np.asarray(model.identity_mean)))
    return np.linalg.norm(points[:, None] * [-1, 1, 1] - points, axis=-1).argmin(1)


def alike(model: MorphableModel, rng: np.random.Generator, read: np.ndarray, expression: np.ndarray) -> int:
    """Number of a portrait that smiles about as much: skin keeps the creases of what it did.

    Args:
        model: with ARKit's expressions.
        rng: source of chance.
        read: (N, 52) the expressions of the portraits.
        expression: (52,) what one of them shall do.
    """
    smiles = [model.expression_names.index(name) for name in _SMILES]
    apart = np.abs(read[:, smiles].mean(1) - expression[smiles].mean())
    return int(rng.choice(np.argsort(apart)[: -(-len(read) // _ALIKE)]))


@lru_cache(maxsize=1)
def _kept(path: Path, model: MorphableModel) -> Portraits:
    """Those of a file that may be learned from, kept for the life of the process."""
    portraits = Portraits.of_file(path, model)
    return portraits[~held_out(portraits.names)]
