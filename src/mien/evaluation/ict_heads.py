"""Pictures of random ICT heads, whose true shape is known: what a reconstruction is measured on.

Everything about a head follows from its seed. Seeds from `VALIDATION_SEED` are for tuning, those from
`TEST_SEED` for the numbers that are reported; neither set is used to build the face model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from mien.camera import Camera, rotate, rotation_matrix, rotation_vector, to_camera
from mien.evaluation.closest_point import Surface
from mien.evaluation.detections import save_arrays
from mien.evaluation.geometry import LANDMARKS, NOSE_TIP, align, near_nose
from mien.evaluation.ict import COUNT, LANDMARKS68, PARTS, IctModel
from mien.facecode import ARKIT_NAMES
from mien.image import load_image, to_uint8
from mien.lighting import directional_light, uniform_light
from mien.mesh import incident_triangles, normalize, vertex_normals
from mien.morphable import MorphableModel
from mien.render import render_mesh

TEST_SEED = 20_000
"""First seed of the heads on which results are reported."""
VALIDATION_SEED = 30_000
"""First seed of the heads on which the fit is tuned."""
PAIR_SEED = 40_000
"""First seed of the pairs of pictures of one person."""

RECIPE = 3
"""Raised when the same seeds mean other pictures, so that none are taken from an old cache."""
SIZE_PX = 512
"""Width and height of a picture."""
GAZE_DEGREES = 30.0
"""How far an eyeball turns at coefficient 1 of ARKit's eyeLook shapes; ICT's move only the lids."""
IRIS_MM, PUPIL_MM = 6.3, 2.4
"""Radii on ICT's eyeballs, which are a quarter larger than real ones."""

_LINEAR = {
    "mouth": (0.16, 0.05, 0.045),
    "sockets": (0.35, 0.17, 0.13),
    "gums": (0.36, 0.14, 0.12),
    "teeth": (0.62, 0.56, 0.46),
    "eye_left": (0.58, 0.54, 0.51),
    "eye_right": (0.58, 0.54, 0.51),
}
_IRISES = np.array([(0.045, 0.02, 0.011), (0.11, 0.055, 0.025), (0.09, 0.14, 0.19), (0.09, 0.11, 0.06)])
_PAIRS = tuple(n for n in ARKIT_NAMES if n.endswith("Left") and n not in ("jawLeft", "mouthLeft"))
_SINGLES = tuple(n for n in ARKIT_NAMES if not n.endswith(("Left", "Right")) or n[:3] == "jaw" or n[5:] in (
    "Left", "Right"))  # fmt: skip


@dataclass(frozen=True, eq=False)
class Heads:
    """N random heads, and what a camera sees of them. Frames as in docs/conventions.md.

    Attributes:
        seed: (N,) int64. person: (N,) int64, seed of the person.
        expressive: (N,) bool; the others are neutral.
        identity: (N, 100) ICT's coefficients. expression: (N, 52) ARKit's.
        albedo: (N, A) coefficients of the model whose colours the heads wear.
        rotation, translation: (N, 3). focal_px: (N,).
        illumination: (N, 9, 3).
        images: (N, SIZE_PX, SIZE_PX, 3) uint8 sRGB.
    """

    seed: np.ndarray
    person: np.ndarray
    expressive: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    albedo: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    focal_px: np.ndarray
    illumination: np.ndarray
    images: np.ndarray


@dataclass(frozen=True, eq=False)
class Paint:
    """ICT's surface, refined for colour, and where on our model each of its points finds its albedo.

    Attributes:
        pairs: (M, 2) vertices whose midpoints are appended to ICT's.
        triangles: (T, 3) int32 of the refined surface.
        incident: incidence table of ICT's own triangles, for normals.
        skin: (S,) refined vertices that are skin.
        source: (S, 3) vertices of our detail mesh. weights: (S, 3) barycentric.
        colour: (V + M, 3) linear RGB of all that is not skin; irises 0.
        iris: (V + M,) bool. pupil: (V + M,) bool.
    """

    pairs: np.ndarray
    triangles: np.ndarray
    incident: np.ndarray
    skin: np.ndarray
    source: np.ndarray
    weights: np.ndarray
    colour: np.ndarray
    iris: np.ndarray
    pupil: np.ndarray

    @classmethod
    def of(cls, ict: IctModel, model: MorphableModel) -> Paint:
        """Colours for the whole of ICT's head."""
        pairs, triangles = _halve_edges(ict.triangles, COUNT)
        refined = _refine(ict.mean, pairs)
        part = np.full(len(refined), -1)
        for number, name in enumerate(PARTS):
            part[PARTS[name]] = number
        part[COUNT:] = part[pairs].max(1)
        skin = np.flatnonzero(part == 0)
        source, weights = correspond(ict, model, refined[skin])
        colour = np.zeros((len(refined), 3))
        iris, pupil = np.zeros(len(refined), bool), np.zeros(len(refined), bool)
        for number, name in enumerate(PARTS):
            mine = part == number
            colour[mine] = _LINEAR.get(name, (0, 0, 0))
            if name.startswith("eye"):
                centre = 0.5 * (ict.mean[PARTS[name]].min(0) + ict.mean[PARTS[name]].max(0))
                off_axis = np.linalg.norm((refined - centre)[:, :2], axis=1)
                front = mine & (refined[:, 2] > centre[2])
                iris |= front & (off_axis < IRIS_MM)
                pupil |= front & (off_axis < PUPIL_MM)
        incident = incident_triangles(ict.triangles, COUNT)
        return cls(pairs, triangles, incident, skin, source, weights, colour, iris, pupil)

    def albedo(self, model_albedo: np.ndarray, iris: np.ndarray) -> np.ndarray:
        """(V_detail, 3) albedo of our model and an (3,) iris colour to (V + M, 3), all linear RGB."""
        colour = self.colour.copy()
        colour[self.skin] = (model_albedo[self.source] * self.weights[:, :, None]).sum(1)
        colour[self.iris] = iris
        colour[self.pupil] = 0.004
        return colour.astype(np.float32)


def correspond(ict: IctModel, model: MorphableModel, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where points (N, 3) of ICT's mean skin lie on our mean head's: (N, 3) detail vertices and weights.

    The nearest points once both heads lie on each other: our mean is calibrated to ICT's, so that they almost
    coincide.
    """
    skin = (model.refinement.part == model.part_names.index("skin"))[model.refinement.triangles].all(1)
    triangles = model.refinement.triangles[skin]
    detail = model.refinement(model.identity_mean).astype(np.float64)
    surface = Surface.of(detail, triangles)
    ict_landmarks = ict.mean[LANDMARKS68].astype(np.float64)
    landmarks = model.landmarks68(model.identity_mean)[LANDMARKS].astype(np.float64)
    face = points[near_nose(points, ict_landmarks[NOSE_TIP])].astype(np.float64)
    motion = align(surface, landmarks, face, ict_landmarks[LANDMARKS], with_scale=True)
    nearest, on = surface.closest(motion.inverse(points))
    corners = triangles[on]
    return corners, _weights(nearest, detail[corners])


def random_heads(
    ict: IctModel,
    model: MorphableModel,
    seeds: Sequence[int],
    backgrounds: Sequence[Path],
    cache: Path,
    people: Sequence[int] | None = None,
    progress: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> Heads:
    """Heads of the given seeds, those of odd seeds expressive, with their pictures; kept on disk.

    Args:
        ict: the shapes.
        model: whose colours they wear.
        seeds: N integers.
        backgrounds: photographs that may stand behind a head, out of focus; may be empty.
        cache: folder in which the pictures of this ICT model, these colours and seeds are kept.
        people: N seeds of the persons (shape and colours); `seeds` if not given.
        progress: wraps the seeds, as `rich.progress.track` does.
    """
    digest = hashlib.sha256(str(RECIPE).encode())
    for array in (ict.mean, model.identity_mean, model.albedo_mean, model.albedo_components):
        digest.update(np.ascontiguousarray(array).tobytes())
    people = seeds if people is None else people
    digest.update(repr((list(seeds), list(people), [p.name for p in backgrounds])).encode())
    kept = cache / f"heads-{digest.hexdigest()[:16]}.npz"
    if kept.exists():
        with np.load(kept) as arrays:
            return Heads(**arrays)
    paint = Paint.of(ict, model)
    person = dict(zip(seeds, people, strict=True))
    made = [_random_head(ict, model, paint, person[seed], seed, backgrounds) for seed in progress(seeds)]
    heads = Heads(**{f.name: np.stack([head[f.name] for head in made]) for f in fields(Heads)})
    save_arrays(kept, **{f.name: getattr(heads, f.name) for f in fields(heads)})
    return heads


def random_expression(rng: np.random.Generator) -> np.ndarray:
    """(52,) float32: two to five of ARKit's shapes, most of the paired ones alike on both sides."""
    value = dict.fromkeys(ARKIT_NAMES, 0.0)
    for name in rng.choice(_PAIRS + _SINGLES, rng.integers(2, 6), replace=False):
        strength = rng.uniform(0.25, 1.0)
        value[str(name)] = strength
        if name in _PAIRS and not name.startswith("eyeLook"):
            other = str(name).removesuffix("Left") + "Right"
            value[other] = strength * rng.uniform(0.85, 1.0) if rng.random() < 0.8 else 0.3 * strength
    gaze = rng.uniform(-0.5, 0.5)
    value["eyeLookOutLeft"] = value["eyeLookInRight"] = max(gaze, 0.0)
    value["eyeLookInLeft"] = value["eyeLookOutRight"] = max(-gaze, 0.0)
    for way in ("eyeLookUp", "eyeLookDown"):
        value[f"{way}Left"] = value[f"{way}Right"] = 0.6 * value[f"{way}Left"]
    value["mouthClose"] = min(value["mouthClose"], value["jawOpen"])
    value["tongueOut"] = 0.0
    return np.array([value[name] for name in ARKIT_NAMES], np.float32)


def random_light(rng: np.random.Generator) -> np.ndarray:
    """(9, 3) float32: fill and one or two lamps, from the sides, above and below too, slightly coloured."""
    light = uniform_light(rng.uniform(0.2, 0.6))
    for _ in range(rng.integers(1, 3)):
        direction = rng.normal(size=3) * [1.0, 0.7, 0.5] + [0.0, 0.25, 0.45]
        tint = 1 + 0.08 * rng.normal(size=3)
        light = light + directional_light(tuple(direction), rng.uniform(0.2, 0.7)) * tint
    toward_camera = 0.282095 * light[0].mean() + 0.488603 * light[2].mean() + 0.630784 * light[6].mean()
    return (light * rng.uniform(0.75, 1.1) / max(toward_camera, 0.45)).astype(np.float32)


def _random_head(
    ict: IctModel, model: MorphableModel, paint: Paint, person: int, seed: int, backgrounds: Sequence[Path]
) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([person, 1])
    identity = rng.normal(size=ict.identity.shape[0]).astype(np.float32)
    albedo = rng.normal(size=model.layout.albedo).clip(-2.5, 2.5)
    iris = _IRISES[rng.integers(len(_IRISES))] * rng.uniform(0.7, 1.3)
    rng = np.random.default_rng(seed)
    expressive = seed % 2 == 1
    expression = random_expression(rng) if expressive else np.zeros(len(ARKIT_NAMES), np.float32)
    yaw, pitch, roll = np.radians(rng.uniform(-1, 1, 3) * [45, 20, 15])
    rotation = _rotation(yaw, pitch, roll)
    distance = np.exp(rng.uniform(np.log(500), np.log(2000)))
    focal = rng.uniform(1.25, 1.9) * distance  # a face of 140 mm is 175 to 270 px wide
    translation = np.array([rng.uniform(-15, 15), rng.uniform(-35, 0), distance])
    illumination = random_light(rng)

    base = with_gaze(ict.vertices(identity, expression), expression).astype(np.float32)
    normals = vertex_normals(base, ict.triangles, paint.incident)
    picture = render_mesh(
        to_camera(_refine(base, paint.pairs), rotation, translation).astype(np.float32),
        rotate(normalize(_refine(normals, paint.pairs)), rotation).astype(np.float32),
        paint.albedo(model.albedo(albedo.astype(np.float32)), iris),
        paint.triangles,
        Camera(focal, np.full(2, SIZE_PX / 2), (SIZE_PX, SIZE_PX)),
        illumination,
        supersample=2,
        background=_background(rng, backgrounds),
    ).image
    noise = rng.normal(scale=rng.uniform(0.004, 0.015), size=picture.shape)
    return {
        "seed": np.int64(seed),
        "person": np.int64(person),
        "expressive": np.bool_(expressive),
        "identity": identity,
        "expression": expression,
        "albedo": albedo,
        "rotation": rotation,
        "translation": translation,
        "focal_px": np.float64(focal),
        "illumination": illumination,
        "images": to_uint8(picture + noise),
    }


def with_gaze(vertices: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """(V, 3) vertices of an ICT head with its eyeballs turned as its expression (52,) says."""
    turned = vertices.copy()
    value = dict(zip(ARKIT_NAMES, np.radians(GAZE_DEGREES) * expression, strict=True))
    for name, side, outward in (("eye_left", "Left", 1), ("eye_right", "Right", -1)):
        ball = vertices[PARTS[name]]
        centre = 0.5 * (ball.min(0) + ball.max(0))
        yaw = outward * (value[f"eyeLookOut{side}"] - value[f"eyeLookIn{side}"])
        pitch = value[f"eyeLookDown{side}"] - value[f"eyeLookUp{side}"]
        turned[PARTS[name]] = (ball - centre) @ rotation_matrix(np.array([pitch, yaw, 0.0])).T + centre
    return turned


def _rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """(3,) axis-angle: roll, then pitch, then yaw about the model frame's axes."""
    from scipy.spatial.transform import Rotation

    return rotation_vector(Rotation.from_euler("zxy", [roll, pitch, yaw]).as_matrix())


def _background(rng: np.random.Generator, photographs: Sequence[Path]) -> np.ndarray:
    """(SIZE_PX, SIZE_PX, 3) float32 sRGB: a gradient, soft noise, or a photograph out of focus."""
    import cv2

    kind = rng.integers(3)
    size = (SIZE_PX, SIZE_PX)
    if kind == 2 and photographs:
        photograph = load_image(photographs[rng.integers(len(photographs))])
        return cv2.GaussianBlur(cv2.resize(photograph, size, interpolation=cv2.INTER_AREA), (0, 0), 22)
    cells = 2 if kind == 0 else 7
    coarse = rng.uniform(0.1, 0.9, (cells, cells, 1)) + 0.12 * rng.normal(size=(cells, cells, 3))
    return np.clip(cv2.resize(coarse.astype(np.float32), size, interpolation=cv2.INTER_CUBIC), 0, 1)


def _halve_edges(triangles: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The (M, 2) edges of a mesh of `count` vertices, and its (4 T, 3) triangles halved along them."""
    sides = np.sort(np.stack([triangles, np.roll(triangles, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    pairs, number = np.unique(sides, axis=0, return_inverse=True)
    ab, bc, ca = (count + number.reshape(-1, 3)).T
    a, b, c = triangles.T
    quarters = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    refined = np.concatenate([np.stack(q, axis=1) for q in quarters])
    return pairs, refined.astype(np.int32)


def _refine(attribute: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    return np.concatenate([attribute, 0.5 * (attribute[pairs[:, 0]] + attribute[pairs[:, 1]])])


def _weights(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(N, 3) barycentric weights of points (N, 3) in the triangles (N, 3, 3) they lie in."""
    ab, ac, ap = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], points - corners[:, 0]
    d = [np.einsum("nc,nc->n", p, q) for p, q in ((ab, ab), (ab, ac), (ac, ac), (ap, ab), (ap, ac))]
    area = np.maximum(d[0] * d[2] - d[1] ** 2, 1e-12)
    v, w = (d[2] * d[3] - d[1] * d[4]) / area, (d[0] * d[4] - d[1] * d[3]) / area
    return np.stack([1 - v - w, v, w], axis=1)
