"""Edits of a face code: each takes a code and gives another, of which the photograph knows nothing yet."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from functools import lru_cache

import numpy as np

from mien.camera import rotation_matrix, rotation_vector
from mien.conversion import from_arkit
from mien.expressions.prototypes import EXPRESSIONS, prototypes
from mien.facecode import FaceCode
from mien.lighting import directional_light, shading, uniform_light
from mien.morphable import MorphableModel
from mien.traits import TRAITS, direction

LIGHTS: dict[str, tuple[float, float, float]] = {
    "front": (0.0, 0.3, 1.0),
    "left": (-1.0, 0.25, 0.45),
    "right": (1.0, 0.25, 0.45),
    "above": (0.0, 1.0, 0.45),
    "below": (0.0, -1.0, 0.6),
}
"""Where the lamp of each preset stands, as the picture's viewer sees it: x to the right, y up, z near."""

_MOST_NAMES = 60  # that an error lists
_FILL = 0.3  # share of a preset's light that comes from everywhere
_NECK_MM = np.array([0.0, -75.0, -75.0])  # what a head turns about: between skull and spine, model frame
_GAZE = ("eyeLook", "eye_left_", "eye_right_")  # how expressions that turn the eyes begin: ARKit's, FLAME's


def with_expression(
    model: MorphableModel, code: FaceCode, strengths: Mapping[str, float], exaggerate: bool = False
) -> FaceCode:
    """The face with expressions by name in place of its own; it keeps looking where it looks.

    Args:
        model: of the code.
        code: one face.
        strengths: of some of `EXPRESSIONS`, in [0, 1]; where two move the same, they add up.
        exaggerate: whether to allow strengths and coefficients outside their bounds.

    Raises:
        ValueError: no such expression, or a strength outside [0, 1].
    """
    _check(strengths, EXPRESSIONS, "expression", exaggerate)
    actions = sum((prototypes()[EXPRESSIONS.index(n)] * s for n, s in strengths.items()), 0.0)
    if exaggerate:
        total = from_arkit(actions, model)
    else:
        total = np.clip(from_arkit(np.clip(actions, 0, 1), model), *model.expression_bounds)
    return code.with_(expression=_as_seen(model, code, total))


def with_coefficients(
    model: MorphableModel, code: FaceCode, coefficients: Mapping[str, float], exaggerate: bool = False
) -> FaceCode:
    """The face with some coefficients replaced; all others stay.

    Args:
        exaggerate: whether to allow coefficients outside the model's bounds.

    Raises:
        ValueError: the model has no such coefficient, or it is outside its bounds.
    """
    _check(
        coefficients, model.expression_names, f"expression of {model.id}", exaggerate, model.expression_bounds
    )
    expression = np.array(code.expression, np.float64)
    for name, value in coefficients.items():
        expression[model.expression_names.index(name)] = value
    return code.with_(expression=expression)


def at_rest(model: MorphableModel, code: FaceCode) -> FaceCode:
    """The face doing nothing but look where it looks."""
    return code.with_(expression=_as_seen(model, code, np.zeros(code.expression.shape)))


def with_expression_of(
    model: MorphableModel,
    code: FaceCode,
    source: FaceCode,
    source_neutral: FaceCode | None = None,
    neutral: FaceCode | None = None,
) -> FaceCode:
    """The face with another's expression: what the other does beyond its rest, added to this one's rest.

    Args:
        model: of all codes; `mien.conversion.convert` brings a code of another model.
        code: whose expression is replaced, except of where it looks.
        source: whose expression is taken.
        source_neutral, neutral: the source and the face itself at rest; without these, rest is 0 everywhere.
    """
    rest = [0.0 if c is None else np.asarray(c.expression) for c in (source_neutral, neutral)]
    low, high = model.expression_bounds
    moved = np.clip(rest[1] + np.asarray(source.expression) - rest[0], low, high)
    return code.with_(expression=_as_seen(model, code, moved))


def exaggerated(code: FaceCode, factor: float) -> FaceCode:
    """The same person as a caricature (above 1), or nearer to the average (0 is the average head)."""
    return code.with_(identity=factor * np.asarray(code.identity))


def mixed(code: FaceCode, other: FaceCode, share: float) -> FaceCode:
    """A head between two: 0 is the first's, 1 the other's, 0.5 their average."""
    return code.with_(identity=(1 - share) * np.asarray(code.identity) + share * np.asarray(other.identity))


def turned(
    code: FaceCode, yaw_degrees: float = 0.0, pitch_degrees: float = 0.0, roll_degrees: float = 0.0
) -> FaceCode:
    """The head turned about its neck, from where it is.

    Args:
        yaw_degrees: to its own left, the picture's right.
        pitch_degrees: down.
        roll_degrees: crown to the left of the picture.
    """
    x, y, z = np.radians([pitch_degrees, yaw_degrees, roll_degrees])
    turn = [rotation_matrix(np.array(axis)) for axis in ([0.0, 0, z], [0, y, 0.0], [x, 0.0, 0])]
    return _about_neck(code, turn[0] @ turn[1] @ turn[2] @ rotation_matrix(_rotation(code)))


def with_pose_of(code: FaceCode, other: FaceCode) -> FaceCode:
    """The head turned about its neck to look where another does."""
    return _about_neck(code, rotation_matrix(_rotation(other)))


def _rotation(code: FaceCode) -> np.ndarray:
    return np.asarray(code.rotation, np.float64)


def _about_neck(code: FaceCode, after: np.ndarray) -> FaceCode:
    """The head with a rotation (3, 3) in place of its own, its neck where it was."""
    before = rotation_matrix(_rotation(code))
    shift = (before - after) @ _NECK_MM * [1, -1, -1]
    return code.with_(rotation=rotation_vector(after), translation=np.asarray(code.translation) + shift)


def with_traits(model: MorphableModel, code: FaceCode, strengths: Mapping[str, float]) -> FaceCode:
    """Other colours: some of `mien.traits.TRAITS`, in standard deviations among faces; 0 leaves them.

    Raises:
        ValueError: no such trait, or the model's albedo is not the logarithmic one they are made for.
    """
    _check(strengths, TRAITS, "trait of albedo", exaggerate=True)
    albedo = np.array(code.albedo, np.float64)
    for name, strength in strengths.items():
        albedo += strength * direction(model, name)
    return code.with_(albedo=albedo)


def lit(code: FaceCode, name: str) -> FaceCode:
    """The face lit from one of `LIGHTS`, as bright and of the same tint as it was.

    Raises:
        ValueError: no such light.
    """
    _check_name(name, LIGHTS, "light")
    lamp = uniform_light(_FILL) + directional_light(LIGHTS[name], 1 - _FILL)
    return code.with_(illumination=_as_bright(lamp.astype(np.float64), code))


def softened(code: FaceCode, softness: float) -> FaceCode:
    """The light softer (1 comes from everywhere alike) or harder (below 0); 0 leaves it."""
    light = np.array(code.illumination, np.float64)
    light[1:] *= 1 - softness
    return code.with_(illumination=_as_bright(light, code))


def with_light_of(code: FaceCode, other: FaceCode) -> FaceCode:
    """The face in another's light."""
    return code.with_(illumination=np.array(other.illumination))


def _as_seen(model: MorphableModel, code: FaceCode, expression: np.ndarray) -> np.ndarray:
    """The expression with the code's own gaze, of a model that has expressions for it."""
    gaze = [name.startswith(_GAZE) for name in model.expression_names]
    return np.where(gaze, np.asarray(code.expression, np.float64), expression)


def _as_bright(light: np.ndarray, code: FaceCode) -> np.ndarray:
    """The light scaled to the brightness, in each colour, of the code's light on what faces the camera."""
    normals = _towards_camera()
    now, wanted = (shading(normals, i).mean(axis=0) for i in (light, np.asarray(code.illumination)))
    return light * (wanted / np.maximum(now, 1e-6))


@lru_cache(maxsize=1)
def _towards_camera() -> np.ndarray:
    """(N, 3) normals of the side of a ball that a camera sees, spread evenly over its picture."""
    x, y = np.meshgrid(np.linspace(-0.9, 0.9, 19), np.linspace(-0.9, 0.9, 19))
    within = x**2 + y**2 < 0.85
    return np.stack([x, y, np.sqrt(np.clip(1 - x**2 - y**2, 0, 1))], axis=-1)[within]


def _check(
    values: Mapping[str, float],
    names: Iterable[str],
    kind: str,
    exaggerate: bool,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> None:
    for name, value in values.items():
        _check_name(name, names, kind)
        if not np.isfinite(value):
            raise ValueError(f"{name} is {value}, must be a number")
        if not (exaggerate or bounds[0] <= value <= bounds[1]):
            raise ValueError(f"{name} is {value:g}, must be in [{bounds[0]:g}, {bounds[1]:g}]")


def _check_name(name: str, names: Iterable[str], kind: str) -> None:
    names = list(names)
    if name in names:
        return
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    known = ", ".join(names if len(names) <= _MOST_NAMES else [*names[:3], "...", names[-1]])
    advice = f"did you mean {' or '.join(near)}?" if near else f"there is {known}"
    raise ValueError(f"{name} is no {kind}; {advice}")
