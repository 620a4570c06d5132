"""Each photograph's albedo relative to the person's skin: light divided out, hair and the like left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from face_model.albedo_light import DARKEST, LightPrior, fit_light
from face_model.albedo_samples import Samples
from mien.lighting import sh_basis
from mien.morphable import MorphableModel

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
"""Of linear RGB with the primaries of sRGB (IEC 61966-2-1)."""

DARKER, BRIGHTER, OFF_COLOUR = 0.32, 0.42, 0.17
"""Bare skin of one person varies less than this about the expected: log luminance down and up, log of a
channel against the mean. In the core, where hair seldom is but wrinkles and highlights are, twice as much."""


REDNESS, TEETH_REDNESS = np.array([1.0, -0.5, -0.5], np.float32), 0.0
"""Of log albedo against the skin's; what is less red than that between the lips' outlines is teeth."""


@dataclass(frozen=True, eq=False)
class Patterns:
    """Albedo of P photographs at N vertices.

    Attributes:
        relative: (P, N, 3) float32, log of albedo over the person's skin colour.
        weight: (P, N) float32 in [0, 1], how far it is seen and is face.
        skin: (P, 3) log radiance of the person's skin under the light's mean: tone and exposure together.
        lights: (P, 9, 3) illumination relative to that.
    """

    relative: np.ndarray
    weight: np.ndarray
    skin: np.ndarray
    lights: np.ndarray


@dataclass(frozen=True, eq=False)
class Zones:
    """Where what can be on the face, at the N sampled vertices.

    Attributes:
        bare: (N,) bool, skin that has no hair, brow, lip or lid: what is not like skin there, is not skin.
        lips: (N,) bool.
        core: (N,) bool, the part of it that hats and hair seldom reach: cheeks, nose and lower forehead.
        forehead: (N,) bool, the core above the brows.
        face: (N,) in [0, 1], what is learned from the photographs; falls off toward hair, ears and throat.
        neighbours: (N, N) sparse row-stochastic matrix, each vertex's mean over itself and its neighbours.
        mirror: (N,) left-right partner.
    """

    bare: np.ndarray
    lips: np.ndarray
    core: np.ndarray
    forehead: np.ndarray
    face: np.ndarray
    neighbours: sp.csr_array
    mirror: np.ndarray

    @classmethod
    def of(cls, model: MorphableModel, masks: dict[str, np.ndarray], vertices: np.ndarray) -> Zones:
        """Zones of the detail vertices `vertices` (N,), from the masks of `face_model.regions`."""
        at = {name: mask[vertices] for name, mask in masks.items()}
        points = model.refinement(model.identity_mean)[vertices]
        landmarks = model.landmarks478(model.identity_mean)
        oval = landmarks[model.landmarks478.contour]
        depth = _depth_inside(points, oval)
        marked = sum(at[n] for n in ("brows", "lips", "lash_line", "nostrils", "inside_mouth"))
        lids = _depth_inside(points, landmarks[EYE_RIGHT]) > -3.0
        lids |= _depth_inside(points * [-1, 1, 1], landmarks[EYE_RIGHT]) > -3.0
        bare = (marked < 0.15) & (at["skin"] > 0.9) & (at["beard"] < 0.15) & ~lids
        below_hairline = points[:, 1] < landmarks[10, 1] - 18.0
        number = np.full(len(model.refinement.part), -1)
        number[vertices] = np.arange(len(vertices))
        core = bare & below_hairline & (depth > 12.0)
        return cls(
            bare=bare,
            lips=at["lips"] > 0.3,
            core=core,
            forehead=core & (points[:, 1] > landmarks[BROW_TOPS, 1].max() + 3.0),
            face=np.clip((depth + 6.0) / 12.0, 0.0, 1.0) * (points[:, 2] > oval[:, 2].min() - 15.0),
            neighbours=_neighbours(model.refinement.triangles, number, len(vertices)),
            mirror=number[model.refinement.mirror[vertices]],
        )


BROW_TOPS = [105, 334]
"""MediaPipe's points on the brows' upper edges."""

EYE_RIGHT = [33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246]
"""MediaPipe's outline of the opening of the subject's right eye."""


EVERY = 4
"""Light is fitted to one of so many vertices."""


def relative_albedo(
    samples: Samples, zones: Zones, expected: np.ndarray, prior: LightPrior, trust: np.ndarray
) -> Patterns:
    """Divides light out, given what albedo is expected.

    Args:
        samples: of P photographs.
        zones: of their vertices.
        expected: (P, N, 3) or (N, 3) float32 log albedo relative to the person's skin.
        prior: on light.
        trust: (P, N) in [0, 1], how far each vertex shows the face and nothing else.
    """
    count = len(samples.names)
    expected = np.broadcast_to(expected.astype(np.float32), samples.radiance.shape)
    weight = samples.seen * trust
    relative, skin, lights = np.empty_like(samples.radiance), np.empty((count, 3)), np.empty((count, 9, 3))
    importance = np.where(zones.bare, 1.0, 0.3) * (zones.face > 0.3)
    for p in range(count):
        observed = np.log(samples.radiance[p])
        unlit, core = observed - expected[p], weight[p, zones.core]
        skin[p] = _weighted_median(unlit[zones.core], core)
        basis = sh_basis(samples.normals[p])
        values = np.exp(np.clip(unlit[::EVERY] - skin[p], -2.5, 1.2)).astype(np.float64)
        lit = (weight[p] * importance)[::EVERY] * EVERY
        lights[p] = fit_light(values, basis[::EVERY].astype(np.float64), lit, prior)
        shading = np.maximum(basis @ lights[p].astype(np.float32), DARKEST)
        relative[p] = observed - skin[p] - np.log(shading)
        offset = _weighted_median((relative[p] - expected[p])[zones.core], core)
        relative[p] -= offset
        lights[p] *= np.exp(offset)
    return Patterns(relative, weight, skin, lights)


def trust_skin(patterns: Patterns, zones: Zones, expected: np.ndarray) -> np.ndarray:
    """(P, N) 0 where something covers what should be bare skin or lips, 1 elsewhere.

    Bare skin hangs together with the cheeks and the nose: what only lies beyond hair or a hat's brim is not
    trusted, nor is a rim of two vertices beside anything that is not skin.

    Args:
        expected: (P, N, 3) or (N, 3), as for `relative_albedo`.
    """
    trust = np.ones(patterns.weight.shape, np.float32)
    expected = np.broadcast_to(expected, patterns.relative.shape)
    tolerance = np.where(zones.core, 2.0, 1.0)
    rows, columns = sp.triu(zones.neighbours, 1).nonzero()
    between = zones.bare[rows] & zones.bare[columns]
    rows, columns = rows[between], columns[between]
    for p, t in enumerate(trust):
        deviation = patterns.relative[p] - expected[p]
        light = deviation @ LUMINANCE.astype(np.float32)
        colour = np.abs(deviation - deviation.mean(1, keepdims=True)).max(1)
        good = (light > -DARKER * tolerance) & (light < BRIGHTER * tolerance)
        good &= colour < OFF_COLOUR * tolerance
        linked = good[rows] & good[columns]
        graph = sp.coo_array((linked[linked], (rows[linked], columns[linked])), shape=zones.neighbours.shape)
        label = connected_components(graph, directed=False)[1]
        seeds = label[zones.core & good & (patterns.weight[p] > 0.2)]
        bad = zones.bare & (label != np.bincount(seeds, minlength=1).argmax())
        bad |= zones.lips & (patterns.relative[p] @ REDNESS < TEETH_REDNESS)
        t[:] = np.clip(1.0 - 2.0 * (zones.neighbours @ (zones.neighbours @ bad.astype(np.float32))), 0.0, 1.0)
    return trust


LAMP_RIDGE, CHROMA_SHARE = 0.02, 0.5
"""How reluctantly left-over light is found, and how much of its colour is taken for light, not skin."""


def light_left(
    relative: np.ndarray, weight: np.ndarray, basis: np.ndarray, ridge: float = LAMP_RIDGE
) -> np.ndarray:
    """What in log albedo varies over the bare skin like spherical harmonics of its normals, and so is light.

    Args:
        relative: (P, N, 3). weight: (P, N), 0 off the bare skin. basis: (N, 9) of the mean head's normals.

    Returns:
        (P, N, 3) float32 to be subtracted.
    """
    turning = basis - np.average(basis, axis=0, weights=weight.mean(0))
    turning[:, 0] = 1.0
    found = np.empty(relative.shape, np.float32)
    for left, values, w in zip(found, relative, weight, strict=True):
        weighted = turning.T * w
        matrix = weighted @ turning + ridge * w.sum() * np.diag([0.0] + [1.0] * 8)
        field = turning[:, 1:] @ np.linalg.solve(matrix, weighted @ values)[1:]
        grey = field.mean(1, keepdims=True)
        left[:] = grey + CHROMA_SHARE * (field - grey)
    return found


def _weighted_median(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(N, C) to (C,)."""
    order = np.argsort(values, axis=0)
    rising = np.cumsum(weight[order], axis=0)
    place = (rising < 0.5 * rising[-1]).sum(axis=0)
    return np.take_along_axis(values, np.take_along_axis(order, place[None], 0), 0)[0]


def _depth_inside(points: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """(N,) millimetres inside an outline as seen from the front; negative outside."""
    import cv2

    centre = outline.mean(0)
    angle = np.arctan2(outline[:, 1] - centre[1], outline[:, 0] - centre[0])
    polygon = np.ascontiguousarray(outline[np.argsort(angle), :2], dtype=np.float32)
    return np.array([cv2.pointPolygonTest(polygon, (float(x), float(y)), True) for x, y in points[:, :2]])


def _neighbours(triangles: np.ndarray, number: np.ndarray, count: int) -> sp.csr_array:
    corners = number[triangles]
    corners = corners[(corners >= 0).all(1)]
    rows, columns = corners[:, [0, 1, 2, 1, 2, 0]].ravel(), corners[:, [1, 2, 0, 0, 1, 2]].ravel()
    graph = sp.coo_array((np.ones(rows.size), (rows, columns)), shape=(count, count)).tocsr()
    graph.data[:] = 1.0
    graph = graph + sp.eye_array(count, format="csr")
    return sp.csr_array(sp.diags_array(1.0 / graph.sum(1)) @ graph)
