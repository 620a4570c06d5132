"""How true reconstructions are: pictures of heads of known shape, fitted and compared by NoW's protocol."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mien.errors import NoFace
from mien.evaluation.detections import Detections, detect_all
from mien.evaluation.geometry import LANDMARKS, NOSE_TIP, near_nose
from mien.evaluation.ict import LANDMARKS68, PARTS, IctModel
from mien.evaluation.ict_heads import Heads, correspond, random_heads
from mien.evaluation.scans import Contender, Guess, Scan, Score, guess_of, score
from mien.mesh import triangle_normals
from mien.morphable import MorphableModel
from mien.raster import rasterize

SCAN_POINTS = 2400
"""Points of a head's outer skin that stand for its scan; about 2,000 of them are near enough to the nose."""


@dataclass(frozen=True, eq=False)
class Scanner:
    """Takes the same points of every ICT head, as a scan would.

    Attributes:
        corners: (P, 3) ICT vertices. weights: (P, 3) barycentric.
    """

    corners: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, ict: IctModel, by_area: bool = False) -> Scanner:
        """Points of what can be seen of the mean head's skin from before it, `SCAN_POINTS` of them.

        Args:
            ict: the heads.
            by_area: spread them evenly by area; otherwise they are vertices, as NoW's code takes a scan's.
                ICT's vertices are denser at eyes, nose and lips, where errors are smaller.
        """
        vertices = ict.mean.astype(np.float64)
        triangles = _outer_triangles(ict)
        rng = np.random.default_rng(0)
        near = near_nose(vertices, vertices[LANDMARKS68[NOSE_TIP]], margin_mm=15)
        triangles = triangles[near[triangles].all(1)]
        if not by_area:
            chosen = rng.choice(np.unique(triangles), SCAN_POINTS, replace=False)
            return cls(np.repeat(chosen[:, None], 3, axis=1), np.tile([1.0, 0.0, 0.0], (SCAN_POINTS, 1)))
        a, b, c = vertices[triangles].transpose(1, 0, 2)
        area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
        chosen = triangles[rng.choice(len(triangles), SCAN_POINTS, p=area / area.sum())]
        root, along = np.sqrt(rng.random(SCAN_POINTS)), rng.random(SCAN_POINTS)
        return cls(chosen, np.stack([1 - root, root * (1 - along), root * along], axis=1))

    def __call__(self, vertices: np.ndarray) -> Scan:
        """The scan of a head with ICT's vertices (V, 3)."""
        points = (vertices[self.corners] * self.weights[:, :, None]).sum(1)
        landmarks = vertices[LANDMARKS68]
        kept = near_nose(points, landmarks[NOSE_TIP])
        return Scan(points[kept], landmarks[LANDMARKS], kept)


@dataclass(frozen=True, eq=False)
class Guesser:
    """Makes guesses of our model's heads.

    Attributes:
        model: the model.
        corners, weights: (P, 3) detail vertices and weights of the scanner's points on it.
    """

    model: MorphableModel
    corners: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, model: MorphableModel, ict: IctModel, scanner: Scanner) -> Guesser:
        """For scans of ICT's heads."""
        points = (ict.mean[scanner.corners] * scanner.weights[:, :, None]).sum(1)
        return cls(model, *correspond(ict, model, points))

    def __call__(self, identity: np.ndarray, expression: np.ndarray) -> Guess:
        """The head of some coefficients."""
        detail = self.model.refinement(self.model.vertices(identity, expression))
        partners = (detail[self.corners] * self.weights[:, :, None]).sum(1)
        return replace(guess_of(self.model, identity, expression), partners=partners)


def score_means(guesser: Guesser, scanner: Scanner, ict: IctModel, heads: Heads) -> dict[str, Score]:
    """How near the mean faces, ICT's and ours, come without looking at any picture: {face and set: score}."""
    mean = ict.mean.astype(np.float64)
    own = Guess(
        mean,
        ict.triangles_of("skin", "eye_left", "eye_right"),
        mean[LANDMARKS68[LANDMARKS]],
        (mean[scanner.corners] * scanner.weights[:, :, None]).sum(1),
    )
    layout = guesser.model.layout
    ours = guesser(np.zeros(layout.identity), np.zeros(layout.expression))
    scores = {}
    sets = {"neutral": (~heads.expressive, 1), "posed": (heads.expressive, 1)}
    sets["posed, at rest"] = heads.expressive, 0
    for name, (chosen, strength) in sets.items():
        scans = [
            scanner(ict.vertices(heads.identity[i], strength * heads.expression[i]))
            for i in np.flatnonzero(chosen)
        ]
        scores[f"ICT's mean face, {name}"] = score([own] * len(scans), scans)
        scores[f"our mean face, {name}"] = score([ours] * len(scans), scans)
    return scores


@dataclass(frozen=True)
class HeadAccuracy:
    """What `evaluate_heads` finds.

    Attributes:
        neutral: heads without expression; the whole reconstruction against the true head.
        posed: heads with an expression; the whole reconstruction against the true expressive head.
        posed_neutral: the same heads; identity alone, at rest, against the true head at rest, as in NoW.
        found: share of pictures in which the detector found a face; the others are left out.
        ms: median milliseconds of processor time a face, detection left out.
    """

    neutral: Score
    posed: Score
    posed_neutral: Score
    found: float
    ms: float

    def scores(self, name: str) -> dict[str, Score]:
        """The three scores, by the name of what was measured and of the set."""
        return {
            f"{name}, neutral": self.neutral,
            f"{name}, posed": self.posed,
            f"{name}, posed, at rest": self.posed_neutral,
        }


def heads_and_detections(
    ict: IctModel,
    model: MorphableModel,
    seeds: Sequence[int],
    backgrounds: Sequence[Path],
    cache: Path,
    people: Sequence[int] | None = None,
    progress: Callable[[str], Callable[[Sequence[int]], Iterable[int]]] = lambda _: iter,
) -> tuple[Heads, Detections]:
    """Pictures of random ICT heads, and what the detector says of them; both kept in the cache.

    Args:
        ict, model, seeds, backgrounds, cache, people: as `random_heads` takes them.
        progress: what is done to what wraps its numbers.
    """
    heads = random_heads(ict, model, seeds, backgrounds, cache, people, progress=progress("rendering"))
    detections = detect_all(
        [str(seed) for seed in heads.seed],
        lambda i: heads.images[i].astype(np.float32) / 255,
        hashlib.sha256(heads.images[:, ::7, ::7].tobytes()).hexdigest(),
        cache,
        progress("detecting"),
    )
    return heads, detections


def evaluate_heads(
    read: Contender,
    scanner: Scanner,
    ict: IctModel,
    heads: Heads,
    detections: Detections,
    progress: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> HeadAccuracy:
    """Reads every head's picture, the camera unknown, and compares with the truth.

    Args:
        read: what is measured.
        scanner, ict: of the heads.
        heads, detections: the pictures and what the detector found in them.
        progress: wraps the numbers of the heads.

    Raises:
        NoFace: of the neutral or of the expressive heads not one was found.
    """
    pairs: dict[str, list[tuple[Guess, Scan]]] = {"neutral": [], "posed": [], "posed_neutral": []}
    milliseconds = []
    for i in progress(np.flatnonzero(detections.found)):
        image = heads.images[i].astype(np.float32) / 255
        start = time.process_time()
        posed, at_rest = read(image, detections.landmarks_px[i])
        milliseconds.append(1e3 * (time.process_time() - start))
        scan = scanner(ict.vertices(heads.identity[i], heads.expression[i]))
        pairs["posed" if heads.expressive[i] else "neutral"].append((posed, scan))
        if heads.expressive[i]:
            scan = scanner(ict.vertices(heads.identity[i], 0 * heads.expression[i]))
            pairs["posed_neutral"].append((at_rest, scan))
    if not all(pairs.values()):
        raise NoFace("in the pictures of the heads too few faces were found; take more heads")
    return HeadAccuracy(
        **{name: score(*zip(*chosen, strict=True)) for name, chosen in pairs.items()},
        found=float(detections.found.mean()),
        ms=float(np.median(milliseconds)),
    )


def _outer_triangles(ict: IctModel) -> np.ndarray:
    """Triangles of the mean head's skin that a scanner sees: not inside nostrils, lips and folds.

    Those hidden in at most half of the views from before the head toward which they are turned.
    """
    from scipy.spatial.transform import Rotation

    triangles = ict.triangles_of("skin", "eye_left", "eye_right")
    normals = triangle_normals(ict.mean, triangles)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
    facing, seen = np.zeros(len(triangles)), np.zeros(len(triangles))
    for yaw in range(-75, 76, 25):
        for pitch in (-45, -15, 15, 45):
            rotation = Rotation.from_euler("xy", [pitch, yaw], degrees=True).as_matrix()
            turned = ict.mean @ rotation.T
            points = np.stack([600 + 3 * turned[:, 0], 600 - 3 * turned[:, 1], 1000 - turned[:, 2]], axis=1)
            visible = np.unique(rasterize(points.astype(np.float32), triangles, 1200, 1200).triangle)
            toward = normals @ rotation[2] > 0.3
            facing += toward
            seen += toward & np.isin(np.arange(len(triangles)), visible)
    skin = (triangles < PARTS["skin"].stop).all(1)
    return triangles[skin & (seen > 0.5 * facing)]
