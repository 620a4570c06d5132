"""How true reconstructions are: pictures of heads of known shape, fitted and compared by NoW's protocol."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mien.evaluation.closest_point import Surface
from mien.evaluation.detections import Detections
from mien.evaluation.geometry import (
    LANDMARKS,
    NOSE_TIP,
    Distances,
    align,
    near_nose,
    scan_to_mesh,
)
from mien.evaluation.ict import LANDMARKS68, PARTS, IctModel
from mien.evaluation.ict_heads import Heads, correspond
from mien.evaluation.ways import Estimate
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
class Scan:
    """A true face.

    Attributes:
        points: (N, 3) mm. landmarks: (7, 3). kept: (P,) bool, which of the scanner's points these are.
    """

    points: np.ndarray
    landmarks: np.ndarray
    kept: np.ndarray


@dataclass(frozen=True, eq=False)
class Guess:
    """A reconstruction to be compared with a scan.

    Attributes:
        vertices, triangles: (V, 3) mm, any frame, and (T, 3). landmarks: (7, 3).
        partners: (P, 3) its points that correspond to the scanner's.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    landmarks: np.ndarray
    partners: np.ndarray


@dataclass(frozen=True)
class Score:
    """Errors of many heads, millimetres.

    Attributes:
        heads: how many.
        scaled, unscaled: distances of all points of all heads, the reconstruction scaled or not.
        lateral, vertical, depth: root mean square of the parts of the offsets between corresponding points,
            along the true head's x, y and z, after the scaled alignment of surfaces.
    """

    heads: int
    scaled: Distances
    unscaled: Distances
    lateral: float
    vertical: float
    depth: float


def score(guesses: Iterable[Guess], scans: Sequence[Scan]) -> Score:
    """NoW's comparison of each guess with its scan, all distances pooled as NoW does."""
    pooled: dict[bool, list[np.ndarray]] = {True: [], False: []}
    offsets = []
    for guess, scan in zip(guesses, scans, strict=True):
        surface = Surface.of(guess.vertices, guess.triangles)
        for with_scale, distances in pooled.items():
            motion = align(surface, guess.landmarks, scan.points, scan.landmarks, with_scale)
            distances.append(scan_to_mesh(surface, scan.points, motion))
            if with_scale:
                offsets.append(motion(guess.partners[scan.kept]) - scan.points)
    rms = np.sqrt((np.concatenate(offsets) ** 2).mean(0))
    return Score(len(scans), _summary(pooled[True]), _summary(pooled[False]), *(float(r) for r in rms))


@dataclass(frozen=True, eq=False)
class Guesser:
    """Makes guesses of our model's heads.

    Attributes:
        model: the model. triangles: (T, 3) of its skin and eyes.
        corners, weights: (P, 3) detail vertices and weights of the scanner's points on it.
    """

    model: MorphableModel
    triangles: np.ndarray
    corners: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, model: MorphableModel, ict: IctModel, scanner: Scanner) -> Guesser:
        """For scans of ICT's heads."""
        outside = [i for i, name in enumerate(model.part_names) if name in ("skin", "eye_left", "eye_right")]
        triangles = model.triangles[np.isin(model.part, outside)[model.triangles].all(1)]
        points = (ict.mean[scanner.corners] * scanner.weights[:, :, None]).sum(1)
        return cls(model, triangles, *correspond(ict, model, points))

    def __call__(self, identity: np.ndarray, expression: np.ndarray) -> Guess:
        """The head of some coefficients."""
        vertices = self.model.vertices(identity, expression)
        detail = self.model.refinement(vertices)
        partners = (detail[self.corners] * self.weights[:, :, None]).sum(1)
        landmarks = self.model.landmarks68(vertices)[LANDMARKS]
        return Guess(vertices.astype(np.float64), self.triangles, landmarks.astype(np.float64), partners)


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
    for name, chosen in (("neutral", ~heads.expressive), ("posed", heads.expressive)):
        scans = [
            scanner(ict.vertices(heads.identity[i], heads.expression[i])) for i in np.flatnonzero(chosen)
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


def evaluate_heads(
    estimate: Estimate,
    guesser: Guesser,
    scanner: Scanner,
    ict: IctModel,
    heads: Heads,
    detections: Detections,
    progress: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> HeadAccuracy:
    """Reads every head's picture, the camera unknown, and compares with the truth.

    Args:
        estimate: what is measured.
        guesser, scanner, ict: of the codes' model and of the heads.
        heads, detections: the pictures and what the detector found in them.
        progress: wraps the numbers of the heads.
    """
    pairs: dict[str, list[tuple[Guess, Scan]]] = {"neutral": [], "posed": [], "posed_neutral": []}
    milliseconds = []
    for i in progress(np.flatnonzero(detections.found)):
        image = heads.images[i].astype(np.float32) / 255
        start = time.process_time()
        code = estimate(image, detections.landmarks_px[i])
        milliseconds.append(1e3 * (time.process_time() - start))
        scan = scanner(ict.vertices(heads.identity[i], heads.expression[i]))
        pairs["posed" if heads.expressive[i] else "neutral"].append(
            (guesser(code.identity, code.expression), scan)
        )
        if heads.expressive[i]:
            scan = scanner(ict.vertices(heads.identity[i], 0 * heads.expression[i]))
            pairs["posed_neutral"].append((guesser(code.identity, 0 * code.expression), scan))
    return HeadAccuracy(
        **{name: score(*zip(*chosen, strict=True)) for name, chosen in pairs.items()},
        found=float(detections.found.mean()),
        ms=float(np.median(milliseconds)),
    )


def _summary(distances: list[np.ndarray]) -> Distances:
    pooled = np.concatenate(distances)
    return Distances(float(np.median(pooled)), float(pooled.mean()), float(pooled.std()))


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
