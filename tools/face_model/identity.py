"""Mean and components of head shape: ICT's statistics, the package's targets, smooth free-form modes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import eigsh

from face_model.anny_head import PART_NAMES, AnnyHead
from face_model.contacts import Seam
from face_model.registration import LIP_REACH_MM, Registration, transfer
from mien.model_files.published import PublishedModel
from mien.surface import (
    cotangent_laplacian,
    mirrored,
    similarity,
    similarity_fields,
)

COMPONENTS = 100

TARGET_STD = (
    ("head-trans", 0.0), ("head-angle", 0.0), ("head-age", 0.06), ("head", 0.03), ("asym-ear", 0.08),
    ("asym", 0.04), ("forehead", 0.04), ("ear", 0.10), ("neck", 0.05), ("eye", 0.05), ("nose", 0.05),
    ("mouth", 0.05), ("chin", 0.05), ("cheek", 0.05),
)  # fmt: skip
"""Standard deviation of the package's targets by the beginning of their names; others are left out."""
PEOPLE_STRENGTH = 0.2
"""Share of the package's variation with age, weight, gender and ancestry that is added to ICT's."""
NECK_CALMED = 0.5
"""Share of the neck's movement against the face, which is posture, that is left out at its lower end."""
FREE_FORM_MODES, FREE_FORM_MM, FREE_FORM_DECAY = 80, 0.35, 12.0
"""Laplacian modes of the skin, standard deviation of the lowest, and the mode at which it is halved."""


@dataclass(frozen=True)
class Identity:
    """Statistics of head shape.

    Attributes:
        mean: (V, 3) float64 mm.
        components: (K, V, 3) float64 mm per standard deviation, largest first.
        explained: (K,) share of the total variance up to each component.
    """

    mean: np.ndarray
    components: np.ndarray
    explained: np.ndarray


def build_identity(
    head: AnnyHead,
    ict: PublishedModel,
    registration: Registration,
    further: np.ndarray,
    modes: np.ndarray | None = None,
) -> Identity:
    """The Gaussian whose covariance is the sum of its sources', each without pose and scale, and symmetric.

    Args:
        head, ict, registration: of the earlier stages.
        further: (G, V, 3) mm, `further_generators`.
        modes: numbers of the ICT modes to use, their variance scaled up to that of all; all if not given.
    """
    generators = np.concatenate([ict_generators(head, ict, registration, modes), further])
    generators = without_pose(generators, registration.vertices, face_region(head))
    generators = generators * (1.0 - NECK_CALMED * _neck(head, registration.vertices))[:, None]
    generators = Seam(head, registration.vertices, head.lip_ring, LIP_REACH_MM).closed(generators)
    pairs = np.concatenate([generators, mirrored(generators, head.mirror)]) / np.sqrt(2.0)
    weight = np.sqrt(importance(head))[:, None]
    flat = (pairs * weight).reshape(len(pairs), -1)
    values, vectors = np.linalg.eigh(flat @ flat.T)
    values, vectors = values[::-1][:COMPONENTS], vectors[:, ::-1][:, :COMPONENTS]
    components = (vectors.T @ pairs.reshape(len(pairs), -1)).reshape(COMPONENTS, -1, 3)
    sign = np.sign(components.reshape(COMPONENTS, -1)[np.arange(COMPONENTS), np.abs(components).reshape(
        COMPONENTS, -1).argmax(axis=1)])  # fmt: skip
    return Identity(
        mean=registration.vertices,
        components=components * sign[:, None, None],
        explained=np.cumsum(values) / (flat**2).sum(),
    )


def further_generators(head: AnnyHead, registration: Registration) -> np.ndarray:
    """(G, V, 3) mm, variation beyond ICT's: the package's, and smooth free forms."""
    return np.concatenate([package_generators(head, registration), free_form_generators(head, registration)])


def face_region(head: AnnyHead) -> np.ndarray:
    """(V,) bool: the skin of the face, without the inside of the mouth."""
    return (head.part == 0) & (head.mask("face") > 0.5) & (head.mask("inside-mouth") < 0.5)


def _neck(head: AnnyHead, vertices: np.ndarray) -> np.ndarray:
    """(V,) 0 on the head, rising to 1 at the lower end of the neck."""
    _, y, z = vertices.T
    below = np.clip((-55.0 - 0.45 * (z + 30.0) - y) / 60.0, 0.0, 1.0)
    return np.where(
        head.part == 0, below * below * (3.0 - 2.0 * below) * (1.0 - np.clip(head.mask("face"), 0, 1)), 0.0
    )


def importance(head: AnnyHead) -> np.ndarray:
    """(V,) weight of each vertex in the PCA: the face counts most, ears, cranium and neck little."""
    return np.where(face_region(head) | np.isin(head.part, (1, 2)), 1.0, 0.12)


def ict_generators(head, ict, registration, modes=None) -> np.ndarray:
    """(M, V, 3) ICT's modes on our topology."""
    chosen = np.arange(len(ict.identity)) if modes is None else np.sort(modes)
    variance = (ict.identity.astype(np.float64) ** 2).sum(axis=(1, 2))
    gain = np.sqrt(variance.sum() / variance[chosen].sum())
    return gain * transfer(ict.identity[chosen], ict, registration, head)


def package_generators(head: AnnyHead, registration: Registration, count: int = 60) -> np.ndarray:
    """(count + N, V, 3) the package's people, as their principal axes, and its local targets."""
    region = face_region(head)
    scale, rotation, _ = similarity(head.rest[region], registration.vertices[region])
    people = head.people.astype(np.float64)
    people = without_pose(people - people.mean(axis=0), head.rest, region)
    flat = people.reshape(len(people), -1) * PEOPLE_STRENGTH / np.sqrt(len(people))
    _, vectors = np.linalg.eigh(flat @ flat.T)
    generators = [(vectors[:, ::-1][:, :count].T @ flat).reshape(count, -1, 3)]
    for name, (more, less) in zip(head.target_names, head.targets, strict=True):
        plain = name.removeprefix("l-").removeprefix("r-")
        strength = next((std for start, std in TARGET_STD if plain.startswith(start)), 0.0)
        if strength:
            generators.append(0.5 * strength * (more - less).astype(np.float64)[None])
    moved = scale * np.concatenate(generators) @ rotation.T
    return _rigid_parts(moved, head, registration)


def free_form_generators(head: AnnyHead, registration: Registration) -> np.ndarray:
    """(3 modes, V, 3) low eigenfunctions of the skin's Laplacian along each axis, of falling strength."""
    skin = np.flatnonzero(head.part == 0)
    triangles = head.triangles[(head.part[head.triangles] == 0).all(axis=1)]
    stiffness, area = cotangent_laplacian(registration.vertices, triangles)
    inverse_root = 1.0 / np.sqrt(area[skin])
    operator = stiffness[skin][:, skin].multiply(inverse_root[:, None]).multiply(inverse_root[None]).tocsc()
    start = np.ones(len(skin))
    _, vectors = eigsh(operator, k=FREE_FORM_MODES + 1, sigma=-1e-6, v0=start)
    functions = np.zeros((FREE_FORM_MODES, len(head.part)))
    functions[:, skin] = (vectors * inverse_root[:, None]).T[1:]
    region = face_region(head)
    functions /= np.sqrt((functions[:, region] ** 2).mean(axis=1, keepdims=True))
    functions = np.clip(functions, -2.5, 2.5)
    strength = FREE_FORM_MM / (1.0 + np.arange(FREE_FORM_MODES) / FREE_FORM_DECAY)
    fields = (functions * strength[:, None])[:, None, :, None] * np.eye(3)[None, :, None, :]
    return _rigid_parts(fields.reshape(-1, len(head.part), 3), head, registration)


def without_pose(fields: np.ndarray, points: np.ndarray, region: np.ndarray) -> np.ndarray:
    """(K, V, 3) displacements less the similarity (linearised) that moves the region most nearly alike."""
    centre = points[region].mean(axis=0)
    basis = similarity_fields(points, centre)
    system = basis[:, region].reshape(7, -1).T
    parameters = np.linalg.lstsq(system, fields[:, region].reshape(len(fields), -1).T, rcond=None)[0]
    return fields - np.tensordot(parameters.T, basis, 1)


def _rigid_parts(fields: np.ndarray, head: AnnyHead, registration: Registration) -> np.ndarray:
    """Eyeballs, teeth and tongue moved as a whole with the skin around them."""
    fields = fields.copy()
    v = registration.vertices
    skin = np.flatnonzero((head.part == 0) & (head.mask("inside-mouth") < 0.5))
    for index in range(1, len(PART_NAMES)):
        here = head.part == index
        centre = v[here].mean(axis=0)
        distance = np.linalg.norm(v[skin] - centre, axis=1)
        near = np.exp(-0.5 * (distance / 12.0) ** 2) + 1e-12
        mean = np.tensordot(fields[:, skin], near / near.sum(), axes=([1], [0]))
        fields[:, here] = mean[:, None]
    return fields
