"""Edits of codes: what they change, what they leave, and what they refuse."""

import numpy as np
import pytest

from mien import edit
from mien.camera import to_camera
from mien.expressions.prototypes import EXPRESSIONS, prototypes
from mien.facecode import ARKIT_NAMES
from mien.lighting import shading
from mien.morphable import load_model
from mien.traits import TRAITS, direction
from tiny_face import tiny_code, tiny_face

GAZE = np.array([name.startswith("eyeLook") for name in ARKIT_NAMES])


def code_of(seed: int = 3):
    return tiny_code(seed)


def test_an_expression_takes_the_place_of_the_old_and_leaves_the_gaze():
    code = code_of()
    changed = edit.with_expression(tiny_face(), code, {"fear": 0.5})
    np.testing.assert_allclose(
        changed.expression[~GAZE], 0.5 * prototypes()[EXPRESSIONS.index("fear")][~GAZE], atol=1e-7
    )
    np.testing.assert_array_equal(changed.expression[GAZE], code.expression[GAZE])
    np.testing.assert_array_equal(changed.identity, code.identity)


def test_expressions_together_stay_within_bounds_unless_exaggerated():
    both = {"fear": 1.0, "surprise": 1.0}
    assert edit.with_expression(tiny_face(), code_of(), both).expression.max() == 1
    assert edit.with_expression(tiny_face(), code_of(), both, exaggerate=True).expression.max() > 1.5


def test_at_rest_only_looks():
    code = code_of()
    rest = edit.at_rest(tiny_face(), code).expression
    assert not rest[~GAZE].any()
    np.testing.assert_array_equal(rest[GAZE], code.expression[GAZE])


def test_transfer_adds_what_goes_beyond_rest():
    model = tiny_face()
    source, target = code_of(1), code_of(2)
    rest = source.with_(expression=0.3 * np.ones(52))
    own = target.with_(expression=0.1 * np.ones(52))
    plain = edit.with_expression_of(model, target, source)
    np.testing.assert_allclose(plain.expression[~GAZE], np.asarray(source.expression)[~GAZE], atol=1e-7)
    read = edit.with_expression_of(model, target, source, rest, own)
    wanted = np.clip(0.1 + np.asarray(source.expression, float) - 0.3, 0, 1)
    np.testing.assert_allclose(read.expression[~GAZE], wanted[~GAZE], atol=1e-7)
    still = edit.with_expression_of(model, target, rest, rest, own)
    np.testing.assert_allclose(still.expression[~GAZE], 0.1, atol=1e-7)


def test_shape_between_and_beyond():
    a, b = code_of(1), code_of(2)
    np.testing.assert_allclose(edit.mixed(a, b, 0.0).identity, a.identity)
    np.testing.assert_allclose(edit.mixed(a, b, 1.0).identity, b.identity)
    np.testing.assert_allclose(edit.mixed(a, b, 0.5).identity, edit.mixed(b, a, 0.5).identity)
    assert not edit.exaggerated(a, 0.0).identity.any()
    np.testing.assert_allclose(edit.exaggerated(edit.exaggerated(a, 2.0), 0.5).identity, a.identity)


def test_turning_keeps_the_neck_and_can_be_undone():
    code = code_of().with_(rotation=np.array([0.1, -0.2, 0.05]), translation=np.array([5.0, 9.0, 800.0]))
    neck = np.array([[0.0, -75.0, -75.0]])
    turned = edit.turned(code, 25, -10, 5)
    np.testing.assert_allclose(
        to_camera(neck, turned.rotation, turned.translation),
        to_camera(neck, code.rotation, code.translation),
    )
    back = edit.with_pose_of(turned, code)
    np.testing.assert_allclose(back.rotation, code.rotation, atol=1e-12)
    np.testing.assert_allclose(back.translation, code.translation, atol=1e-9)
    straight = edit.turned(code.with_(rotation=np.zeros(3)), yaw_degrees=20)
    np.testing.assert_allclose(straight.rotation, [0, np.radians(20), 0], atol=1e-12)


@pytest.mark.parametrize("name", edit.LIGHTS)
def test_lights_come_from_where_they_say_and_keep_brightness_and_tint(name):
    code = code_of()
    light = edit.lit(code, name).illumination
    towards = np.array(edit.LIGHTS[name]) / np.linalg.norm(edit.LIGHTS[name])
    lit, unlit = shading(np.stack([towards, -towards]), light)
    assert (lit > 2 * unlit).all()
    again = edit.lit(edit.lit(code, "left"), name).illumination
    np.testing.assert_allclose(again, light, atol=1e-6)


def test_the_softest_light_is_the_same_from_everywhere():
    light = edit.softened(code_of(), 1.0).illumination
    assert not light[1:].any() and (light[0] > 0).all()
    np.testing.assert_allclose(edit.softened(code_of(), 0.0).illumination, code_of().illumination, rtol=1e-6)


def test_traits_are_unit_directions_that_leave_the_tone():
    model = load_model()
    for name in TRAITS:
        along = direction(model, name)
        np.testing.assert_allclose(np.linalg.norm(along), 1)
        assert name == "tone" or not along[:3].any()
    code = np.zeros(60)
    skin = np.asarray(model.refinement.part) == 0
    lighter, plain = (model.albedo(code + a * direction(model, "tone"))[skin].mean() for a in (1, 0))
    assert lighter > 1.2 * plain


def test_stubble_darkens_the_chin_and_not_the_cheeks():
    model = load_model()
    chin, cheek = model.landmarks478(np.asarray(model.identity_mean))[[199, 50]]
    points = model.refinement(np.asarray(model.identity_mean))
    near = [np.linalg.norm(points - p, axis=1) < 12 for p in (chin, cheek)]
    plain, stubbly = (model.albedo(a * direction(model, "stubble")) for a in (0, 2))
    fall = [stubbly[n].mean() / plain[n].mean() for n in near]
    assert fall[0] < 0.9 and fall[0] < 0.9 * fall[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, c: edit.with_expression(m, c, {"suprise": 1}), "no expression; did you mean surprise"),
        (lambda m, c: edit.with_expression(m, c, {"joy": 1}), "there is anger, disgust"),
        (lambda m, c: edit.with_expression(m, c, {"fear": 1.2}), r"fear is 1.2, must be in \[0, 1\]"),
        (lambda m, c: edit.with_expression(m, c, {"fear": np.nan}, exaggerate=True), "must be a number"),
        (lambda m, c: edit.with_coefficients(m, c, {"jawOpn": 1}), "did you mean jawOpen"),
        (lambda m, c: edit.with_coefficients(m, c, {"jawOpen": -0.1}), "jawOpen is -0.1"),
        (lambda m, c: edit.with_traits(m, c, {"stuble": 1}), "did you mean stubble"),
        (lambda m, c: edit.lit(c, "lft"), "did you mean left"),
    ],
)
def test_wrong_names_and_numbers_say_what_is_right(change, message):
    with pytest.raises(ValueError, match=message):
        change(tiny_face(), code_of())
