"""A face in another model's numbers: the code of that model whose face lies nearest, point by point."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mien.camera import rotation_matrix, rotation_vector
from mien.facecode import ARKIT_NAMES, FaceCode
from mien.image import linear_to_srgb
from mien.morphable import MorphableModel, load_model
from mien.surface import similarity_fields

_FLIP = np.array([1.0, -1.0, -1.0])
_ERROR_MM = 0.3
"""How far faces of different models that mean the same are apart: what priors are weighed against."""
_ALBEDO_ERROR = 0.05
"""The same of what albedo components add up to."""
_CORRELATION = 60.0
"""How many of the corresponding points err together."""
_ROUNDS = 3


@dataclass(frozen=True, eq=False)
class Converted:
    """A face in another model.

    Attributes:
        code: of that model; light and focal length are the same, the pose is what lays it on the old face.
        distance_mm: (N,) between corresponding points of the two faces, over the part that both models have.
    """

    code: FaceCode
    distance_mm: np.ndarray


def convert(code: FaceCode, source: MorphableModel, target: MorphableModel) -> Converted:
    """A face re-expressed in another model.

    Identity is fitted to the face at rest, expression to the movement from rest; both with the target's
    priors. Coefficients of ARKit's actions become the target's by deformation transfer, where the source is
    the default model.

    Args:
        code: one face (no batch axes) of the source.
        source, target: models, NumPy.

    Raises:
        ValueError: the code is not of the source, or an added model has no correspondence.
    """
    if code.model != source.id:
        raise ValueError(f"the code is of {code.model}, not of {source.id}")
    if source.id == target.id:
        return Converted(code, np.zeros(0))
    bridge = _bridge(source, target)
    own, shown = np.asarray(code.identity, np.float32), np.asarray(code.expression, np.float32)
    rest = _at(source, source.vertices(own, np.zeros_like(shown)), bridge)
    posed = _at(source, source.vertices(own, shown), bridge)
    identity, turn = bridge.fit_identity(rest)
    if source.correspondence is None:
        expression = np.clip(from_arkit(code.expression, target), *target.expression_bounds)
    else:
        expression = bridge.fit_expression((posed - rest) @ turn.T)
    new = bridge.shape(identity) + np.tensordot(expression, bridge.expression, 1)
    rotation, shift = _motion(new, posed, bridge.weight)
    old = rotation_matrix(np.asarray(code.rotation, np.float64))
    converted = FaceCode(
        identity=identity,
        expression=expression,
        albedo=bridge.fit_albedo(code),
        rotation=rotation_vector(old @ rotation),
        translation=code.translation + _FLIP * (old @ shift),
        illumination=code.illumination,
        focal_px=code.focal_px,
        model=target.id,
    )
    return Converted(converted, np.linalg.norm(new @ rotation.T + shift - posed, axis=1))


def from_arkit(actions: np.ndarray, model: MorphableModel) -> np.ndarray:
    """(E,) a model's expression that does what ARKit's coefficients (52,) say; it may be outside the bounds.

    Raises:
        ValueError: the model's expressions are others than ARKit's, and it has no correspondence.
    """
    if tuple(model.expression_names) == ARKIT_NAMES:
        return np.array(actions, np.float64)
    if model.correspondence is None:
        raise ValueError(f"{model.id} has no ARKit coefficients; expressions by name need a model that does")
    return np.asarray(model.correspondence.from_arkit, np.float64) @ actions


def in_default_model(code: FaceCode, model: MorphableModel) -> FaceCode:
    """A code of `model` in the default model's numbers, ARKit's coefficients among them.

    The code itself, where the model has no correspondence: it is the default model, or knows nothing of it.
    """
    return code if model.correspondence is None else convert(code, model, load_model()).code


@dataclass(frozen=True, eq=False)
class _Bridge:
    """What two models have in common, and the target's least-squares systems there.

    Attributes:
        source, target: models.
        points: (P,) the default model's base vertices that both have. weight: (P,) trust, of mean 1.
        mean: (P, 3) the target's. identity: (K, P, 3), expression: (E, P, 3) its components there.
        solve_identity: (K + 6, 3 P) least squares with prior, by identity and a motion.
        form: (E, E) normal equations by expression, with prior.
        albedo: (A, P * 3) least squares with prior, by albedo.
    """

    source: MorphableModel
    target: MorphableModel
    points: np.ndarray
    weight: np.ndarray
    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    solve_identity: np.ndarray
    form: np.ndarray
    albedo: np.ndarray

    def shape(self, identity: np.ndarray) -> np.ndarray:
        """(P, 3) the target's face at rest."""
        return self.mean + np.tensordot(identity, self.identity, 1)

    def fit_identity(self, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(K,) identity of a face at rest (P, 3), and the rotation (3, 3) to the target's frame."""
        turn, shift = np.eye(3), np.zeros(3)
        for _ in range(_ROUNDS):
            there = rest @ turn.T + shift
            found = self.solve_identity @ (there - self.mean).ravel()
            identity = found[:-6]
            step, move = _motion(there, self.shape(identity), self.weight)
            turn, shift = step @ turn, step @ shift + move
        return identity, turn

    def fit_expression(self, movement: np.ndarray) -> np.ndarray:
        """(E,) coefficients within bounds that move the face at rest by (P, 3)."""
        from scipy.optimize import lsq_linear

        goal = np.einsum("epc,pc,p->e", self.expression, movement, self.weight)
        if np.isinf(self.target.expression_bounds[1]):
            return np.linalg.solve(self.form, goal)
        root = np.linalg.cholesky(self.form)
        return lsq_linear(root.T, np.linalg.solve(root, goal), self.target.expression_bounds).x

    def fit_albedo(self, code: FaceCode) -> np.ndarray:
        """(A,) coefficients of the source's colours."""
        colour = self.source.albedo(np.asarray(code.albedo, np.float32))[: len(self.source.identity_mean)]
        colour = np.maximum(_at(self.source, colour, self), 1e-3)
        mean = _at(self.target, self.target.albedo_mean[: len(self.target.identity_mean)], self)
        return self.albedo @ (_as_target(self.target, colour) - mean).ravel()


@lru_cache(maxsize=4)
def _bridge(source: MorphableModel, target: MorphableModel) -> _Bridge:
    counts = {len(m.correspondence.weight) for m in (source, target) if m.correspondence is not None}
    default = next((m for m in (source, target) if m.correspondence is None), None)
    if default is not None:
        counts.add(len(default.identity_mean))
    if len(counts) != 1:
        raise ValueError(
            f"{source.id} and {target.id} correspond to different default models; add them again"
        )
    weight = np.ones(counts.pop())
    for model in (source, target):
        if model.correspondence is not None:
            weight = weight * model.correspondence.weight
    points = np.flatnonzero(weight > 0.05)
    weight = weight[points] / weight[points].mean()
    mean, identity, expression = (
        np.ascontiguousarray(_of(target, array, points), np.float64)
        for array in (target.identity_mean, target.identity_components, target.expression_components)
    )
    precision = _CORRELATION * _ERROR_MM**2
    fields = np.concatenate([identity, similarity_fields(mean, mean.mean(axis=0))[[0, 1, 2, 4, 5, 6]]])
    weighted = fields * weight[:, None]
    prior = np.diag(np.repeat([precision, 1e-6], [len(identity), 6]))
    form = np.tensordot(weighted, fields, ([1, 2], [1, 2])) + prior
    bent = np.tensordot(expression * weight[:, None], expression, ([1, 2], [1, 2]))
    colour = _of(target, target.albedo_components[:, : len(target.identity_mean)], points).astype(np.float64)
    bright = colour * weight[:, None]
    tones = np.tensordot(bright, colour, ([1, 2], [1, 2])) + _CORRELATION * _ALBEDO_ERROR**2 * np.eye(
        len(colour)
    )
    return _Bridge(
        source, target, points, weight, mean, identity, expression,
        solve_identity=np.linalg.solve(form, weighted.reshape(len(weighted), -1)),
        form=bent + precision * np.eye(len(expression)),
        albedo=np.linalg.solve(tones, bright.reshape(len(bright), -1)),
    )  # fmt: skip


def _of(model: MorphableModel, attribute: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(..., P, C) of a base mesh's attribute (..., V, C) at the default model's vertices `points`."""
    if model.correspondence is None:
        return attribute[..., points, :]
    on = model.correspondence
    corners, weights = on.vertices[points], on.barycentric[points]
    return sum(attribute[..., corners[:, k], :] * weights[:, k, None] for k in range(3))


def _at(model: MorphableModel, attribute: np.ndarray, bridge: _Bridge) -> np.ndarray:
    return _of(model, attribute, bridge.points).astype(np.float64)


def _as_target(model: MorphableModel, linear: np.ndarray) -> np.ndarray:
    """Linear RGB as the quantity that the model's albedo components add up to."""
    if model.albedo_is_srgb:
        return linear_to_srgb(linear)
    return np.log(linear) if model.albedo_is_log else linear


def _motion(source: np.ndarray, target: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rotation (3, 3) and translation (3,) that lay points (P, 3) on others, weighted least squares."""
    share = weight / weight.sum()
    a, b = share @ source, share @ target
    u, _, vt = np.linalg.svd(((target - b) * share[:, None]).T @ (source - a))
    rotation = (u * [1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    return rotation, b - rotation @ a
