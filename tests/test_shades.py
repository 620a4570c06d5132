"""Creases: on the side of what makes them, mirrors of each other, none without a cause; marks, mouths."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from mien.creases import CREASES, DEPTH, NARROW_MM, WIDE_MM, crease_shades, deepened
from mien.facecode import ARKIT_NAMES
from mien.morphable import load_model
from mien.synthesis.shades import MARKS, random_creases, random_depths, shaded, shades

SIDES = 2 * len(CREASES)


def _doing(**coefficients: float) -> np.ndarray:
    return np.array([[coefficients.get(name, 0.0) for name in ARKIT_NAMES]])


def _mean_depths(expression: np.ndarray) -> np.ndarray:
    """(2, C) of the creases, right before left, over many people."""
    depths = random_depths(np.random.default_rng(0), np.repeat(expression, 4000, axis=0))
    return depths[:, :SIDES].mean(0).reshape(2, -1)


def _kinds(*names: str) -> np.ndarray:
    """(V,) whether a vertex belongs to one of the parts."""
    model = load_model()
    return np.isin(model.part, [model.part_names.index(name) for name in names])


def test_left_creases_are_the_mirror_of_right_ones():
    model = load_model()
    right, left = np.split(shades(model)[:SIDES], 2)
    assert_array_equal(right[:, model.mirror], left)
    x = model.identity_mean[:, 0]
    assert all(shade[x < -3].max() > 0.3 and shade[x > 12].max() < 0.1 for shade in right)


def test_a_crease_darkens_a_line_and_lightens_its_flanks_and_leaves_the_eyes():
    creases = shades(load_model())[:SIDES]
    assert creases.max(1).min() > 0.3 and creases.min() < -0.05
    assert not creases[:, ~_kinds("skin")].any()


def test_a_crease_deepens_on_the_side_that_acts_and_where_that_action_makes_one():
    rest, sneer = _mean_depths(_doing()), _mean_depths(_doing(noseSneerRight=1.0))
    root, forehead = (list(CREASES).index(name) for name in ("root of the nose", "forehead"))
    assert sneer[0, root] > 3 * sneer[1, root]
    assert_allclose(sneer[:, forehead], rest[:, forehead], rtol=0.2)
    assert _mean_depths(_doing(browInnerUp=1.0))[:, forehead].min() > 3 * rest[:, forehead].max()


def test_creases_alone_are_as_deep_as_on_a_shaded_face_and_of_any_width():
    model, doing = load_model(), _doing(browDownRight=1.0, browDownLeft=1.0)[0]
    shares = []
    for seed in range(8):
        alone = random_creases(model, np.random.default_rng(seed), doing)
        depths = random_depths(np.random.default_rng(seed), doing[None])[0]
        narrow, wide = (
            np.tensordot(depths[:SIDES], crease_shades(model, mm), 1) for mm in (NARROW_MM, WIDE_MM)
        )
        shares.append(((alone - narrow) * (wide - narrow)).sum() / ((wide - narrow) ** 2).sum())
        assert_allclose(alone, narrow + shares[-1] * (wide - narrow), atol=1e-5)
    assert 0 <= min(shares) < 0.4 < 0.6 < max(shares) <= 1
    brows = np.linalg.norm(model.identity_mean - model.landmarks478(model.identity_mean)[8], axis=1) < 20
    assert alone[brows].max() > 1.5 * alone[~brows].max()


def test_an_edit_deepens_creases_and_smooths_none():
    model, rest, frown = load_model(), _doing()[0], _doing(mouthFrownLeft=0.8)[0]
    darker = deepened(model, rest, frown)
    depth = np.where(np.arange(SIDES) == len(CREASES) + list(CREASES).index("mouth to chin"), 0.8 * DEPTH, 0)
    assert_allclose(darker, np.tensordot(depth, crease_shades(model), 1), atol=1e-6)
    assert not deepened(model, frown, rest).any() and not deepened(model, frown, frown).any()


def test_people_differ():
    depths = random_depths(np.random.default_rng(1), np.repeat(_doing(browInnerUp=1.0), 500, axis=0))
    deepest = depths[:, :SIDES].max(1)
    assert np.quantile(deepest, 0.1) < 0.2 < 0.8 < np.quantile(deepest, 0.9)
    bearded = depths[:, SIDES + list(MARKS).index("beard")] > 0
    assert 0.1 < bearded.mean() < 0.3


def test_marks_lie_where_they_are_named_for_and_alike_on_both_sides():
    model = load_model()
    landmarks = model.landmarks478(model.identity_mean)
    marks = dict(zip([*MARKS, "lips"], shades(model)[SIDES:-1], strict=True))
    inside = {"brow": 105, "core of the brow": 105, "beard": 150, "moustache": 165, "lips": 16}
    for name, shade in marks.items():
        assert_allclose(shade, shade[model.mirror], atol=0.02)
        assert shade.min() == 0 and not shade[~_kinds("skin")].any()
        if name in inside:
            nearest = np.linalg.norm(model.identity_mean - landmarks[inside[name]], axis=1).argmin()
            assert shade[nearest].max() > 0.3, name
    lips, rest = marks["lips"].max(1) > 0.1, [name for name in marks if name != "lips"]
    cheek = np.linalg.norm(model.identity_mean - landmarks[50], axis=1).argmin()
    assert not any(marks[name][cheek].max() > 0.05 for name in marks if name != "beard")
    assert not any((marks[name].max(1)[lips] > 0.9).any() for name in rest)


def test_the_mouth_is_darker_inside_than_at_the_front_teeth():
    model = load_model()
    hollow, inside = shades(model)[-1, :, 0], _kinds("teeth_upper", "teeth_lower", "tongue")
    assert (hollow[inside] > 0).all() and not hollow[_kinds("eye_left", "eye_right")].any()
    upper = _kinds("teeth_upper")
    z = model.identity_mean[upper, 2]
    front, back = hollow[upper][z > z.max() - 2], hollow[upper][z < z.min() + 2]
    assert back.min() > 3 * front.max()
    lips = np.linalg.norm(model.identity_mean - model.landmarks478(model.identity_mean)[17], axis=1).argmin()
    assert hollow[lips] < 1e-6
    dark = shaded(model, np.full((len(hollow), 3), 0.5, np.float32), np.eye(len(shades(model)))[-1])
    assert dark[_kinds("tongue")].max() < 0.2
