"""A synthetic head of a few hundred vertices for unit tests: needs no asset, and is made in milliseconds."""

from __future__ import annotations

from functools import cache

import numpy as np

from mien.facecode import ARKIT_NAMES, FaceCode
from mien.lighting import studio_light
from mien.morphable import Embedding, MorphableModel, Refinement

RADII_MM = np.array([72.0, 105.0, 88.0])
EYE_MM = np.array([31.0, 0.0, 0.0])
CENTRE_MM = np.array([0.0, 10.0, -58.0])


@cache
def tiny_face() -> MorphableModel:
    """A symmetric ellipsoid with a nose and two eyes: 6 identity, 52 expression and 5 albedo components."""
    rng = np.random.default_rng(0)
    skin, skin_triangles = _ellipsoid(13, 16)
    eye, eye_triangles = _ellipsoid(5, 8)
    head = skin * RADII_MM + CENTRE_MM
    nose = np.exp(-(np.sum((skin[:, :2] / [0.16, 0.22]) ** 2, axis=1))) * (skin[:, 2] > 0)
    head[:, 2] += 18 * nose
    eyes = [eye * 12 + EYE_MM * [side, 1, 1] + [0, 0, 15] for side in (1, -1)]
    vertices = np.concatenate([head, *eyes])
    starts = len(head), len(head) + len(eye)
    triangles = np.concatenate([skin_triangles, eye_triangles + starts[0], eye_triangles + starts[1]])
    part = np.repeat([0, 1, 2], [len(head), len(eye), len(eye)])
    mirror = _mirror(vertices)
    pairs, detail_triangles = _subdivide(triangles)
    refinement = Refinement(
        levels=(pairs.astype(np.int32),),
        triangles=detail_triangles.astype(np.int32),
        part=np.concatenate([part, part[pairs[:, 0]]]).astype(np.int32),
        mirror=_mirror(np.concatenate([vertices, vertices[pairs].mean(axis=1)])).astype(np.int32),
    )
    identity = _symmetric(np.stack([_smooth_field(rng, vertices) for _ in range(6)]), mirror) * 2.5
    albedo_points = np.concatenate([vertices, vertices[pairs].mean(axis=1)])
    albedo = _symmetric(
        np.stack([_smooth_field(rng, albedo_points) for _ in range(5)]), refinement.mirror, 1.0
    )
    tone = np.where(refinement.part[:, None] > 0, [0.75, 0.75, 0.75], [0.42, 0.26, 0.19])
    uv, uv_triangles = _unwrap(skin, eye, triangles)
    return MorphableModel(
        name="tiny",
        version="1",
        identity_mean=vertices.astype(np.float32),
        identity_components=identity.astype(np.float32),
        expression_components=_expressions(rng, vertices, part, mirror).astype(np.float32),
        expression_names=ARKIT_NAMES,
        expression_bounds=(0.0, 1.0),
        albedo_mean=np.log(tone).astype(np.float32),
        albedo_components=(0.15 * albedo).astype(np.float32),
        albedo_is_log=True,
        triangles=triangles.astype(np.int32),
        uv=uv.astype(np.float32),
        uv_triangles=uv_triangles.astype(np.int32),
        part=part.astype(np.int32),
        part_names=("skin", "eye_left", "eye_right"),
        mirror=mirror.astype(np.int32),
        refinement=refinement,
        landmarks478=_landmarks(478, np.arange(0, 36), head, skin_triangles),
        landmarks68=_landmarks(68, np.arange(0, 17), head, skin_triangles),
    )


def tiny_code(seed: int = 0, batch: tuple[int, ...] = ()) -> FaceCode:
    """A random code of `tiny_face` that stands 600 mm before a camera of 96 by 96 pixels, in float32."""
    rng = np.random.default_rng(seed)
    model = tiny_face()
    parts = {
        "identity": rng.normal(size=(*batch, 6)),
        "expression": 0.5 * rng.random((*batch, 52)) * (rng.random((*batch, 52)) < 0.1),
        "albedo": rng.normal(size=(*batch, 5)),
        "rotation": 0.2 * rng.normal(size=(*batch, 3)),
        "translation": rng.normal(size=(*batch, 3)) * [5, 5, 20] + [0, 0, 600],
        "illumination": studio_light() * rng.uniform(0.7, 1.0, (*batch, 9, 3)),
        "focal_px": np.full(batch, 180.0),
    }
    return FaceCode(**{key: np.asarray(value, np.float32) for key, value in parts.items()}, model=model.id)


def _ellipsoid(rings: int, segments: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit sphere with poles on y, symmetric in x, a vertex straight ahead; outside counter-clockwise."""
    polar = np.pi * np.arange(1, rings + 1) / (rings + 1)
    around = 2 * np.pi * np.arange(segments) / segments
    ring = np.stack([np.sin(around), np.zeros(segments), np.cos(around)], axis=-1)
    body = np.sin(polar)[:, None, None] * ring + np.cos(polar)[:, None, None] * [0, 1, 0]
    vertices = np.concatenate([body.reshape(-1, 3), [[0, 1, 0], [0, -1, 0]]])
    top, bottom = rings * segments, rings * segments + 1
    triangles = []
    for j in range(segments):
        k = (j + 1) % segments
        triangles += [(top, j, k), (bottom, (rings - 1) * segments + k, (rings - 1) * segments + j)]
        for i in range(rings - 1):
            a, b, c, d = i * segments + j, i * segments + k, (i + 1) * segments + j, (i + 1) * segments + k
            triangles += [(a, c, b), (b, c, d)] if j < segments // 2 else [(a, c, d), (a, d, b)]
    return vertices, np.array(triangles)


def _mirror(vertices: np.ndarray) -> np.ndarray:
    distance = np.linalg.norm(vertices[:, None] * [-1, 1, 1] - vertices[None], axis=-1)
    partner = distance.argmin(axis=1)
    if distance.min(axis=1).max() > 1e-6:
        raise AssertionError("the tiny head is not symmetric")
    return partner


def _subdivide(triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One midpoint subdivision: vertex pairs of the new vertices, and four triangles for each."""
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    pairs, number = np.unique(edges, axis=0, return_inverse=True)
    a, b, c = triangles.T
    ab, bc, ca = number.reshape(-1, 3).T + triangles.max() + 1
    corners = [(a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca)]
    return pairs, np.stack([np.stack(t, axis=-1) for t in corners], axis=1).reshape(-1, 3)


def _smooth_field(rng: np.random.Generator, points: np.ndarray) -> np.ndarray:
    """(V, 3) random field of long waves, of unit size."""
    waves = rng.normal(size=(3, 6)) / 60
    return np.sin(points @ waves + rng.uniform(0, 2 * np.pi, 6)) @ rng.normal(size=(6, 3)) / np.sqrt(3)


def _symmetric(fields: np.ndarray, mirror: np.ndarray, flip: float = -1.0) -> np.ndarray:
    return 0.5 * (fields + fields[..., mirror, :] * [flip, 1, 1])


def _expressions(
    rng: np.random.Generator, vertices: np.ndarray, part: np.ndarray, mirror: np.ndarray
) -> np.ndarray:
    """(52, V, 3) mm: a smooth bump each; Left and Right are mirror images, all others symmetric."""
    skin = np.flatnonzero((part == 0) & (vertices[:, 2] > 0))
    components = {}
    for name in ARKIT_NAMES:
        if name.endswith("Right"):
            components[name] = components[name[:-5] + "Left"][mirror] * [-1, 1, 1]
            continue
        centre = vertices[rng.choice(skin)] * [np.sign(rng.random() + 1), 1, 1]
        if name.endswith("Left"):
            centre = np.abs(centre) * [1, np.sign(centre[1]), 1]
        bump = np.exp(-np.sum((vertices - centre) ** 2, axis=1) / 30.0**2)
        component = bump[:, None] * rng.normal(size=3) * 6
        sided = name.endswith("Left") or name in ("jawLeft", "mouthLeft")
        components[name] = component if sided else _symmetric(component, mirror)
    return np.stack([components[name] for name in ARKIT_NAMES])


def _unwrap(skin: np.ndarray, eye: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two discs for each part, front and back: a seam runs around the sides, where vertices have two uv."""
    sphere = np.concatenate([skin, eye, eye])
    angle = np.arccos(np.clip(np.abs(sphere[:, 2]), 0, 1)) / (np.pi / 2)
    length = np.linalg.norm(sphere[:, :2], axis=1, keepdims=True)
    disc = angle[:, None] * sphere[:, :2] / np.maximum(length, 1e-9)
    place = np.repeat(
        [[0.25, 0.7, 0.24], [0.4, 0.2, 0.09], [0.1, 0.2, 0.09]], [len(skin), len(eye), len(eye)], axis=0
    )
    front = place[:, :2] + place[:, 2:] * disc
    back = place[:, :2] + [0.5, 0.0] + place[:, 2:] * disc * [-1, 1]
    is_back = sphere[triangles][:, :, 2].mean(axis=1) < 0
    return np.concatenate([front, back]), triangles + len(sphere) * is_back[:, None]


def _landmarks(count: int, contour: np.ndarray, head: np.ndarray, triangles: np.ndarray) -> Embedding:
    """Points spread over the front of the skin; contour landmarks have lines of four vertices near by."""
    front = triangles[(head[triangles][:, :, 2].min(axis=1) > -20)]
    rng = np.random.default_rng(count)
    chosen = front[np.arange(count) % len(front)]
    weights = rng.dirichlet([2.0, 2.0, 2.0], count)
    angle = np.pi * (np.arange(len(contour)) / (len(contour) - 1) - 0.5)
    target = np.stack([RADII_MM[0] * np.sin(angle), -RADII_MM[1] * np.cos(angle) * 0.8 + 10], axis=-1)
    side = np.flatnonzero(head[:, 2] < 20)
    near = np.argsort(np.linalg.norm(head[side, None, :2] - target[None], axis=-1), axis=0)[:4].T
    return Embedding(
        vertices=chosen.astype(np.int32),
        barycentric=weights.astype(np.float32),
        contour=contour.astype(np.int32),
        contour_lines=side[near].astype(np.int32),
    )
