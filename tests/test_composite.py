"""The photograph with another face in it, against pictures whose truth is known."""

import cv2
import numpy as np
import pytest

from mien import edit
from mien.camera import Camera, project, to_camera
from mien.composite import composite
from mien.composite.head import Head
from mien.composite.mouth import INNER_LIPS
from mien.composite.registration import offsets_px
from mien.composite.warp import spread
from mien.facecode import FaceCode
from mien.image import srgb_to_linear
from mien.lighting import studio_light
from mien.morphable import load_model
from mien.render import render

SIZE = (300, 340)
CAMERA = Camera(np.float64(900.0), np.array([150.0, 170.0]), SIZE)


def face(**expression: float) -> FaceCode:
    """A head of the packaged model before the camera."""
    model, rng = load_model(), np.random.default_rng(4)
    layout = model.layout
    code = FaceCode(
        identity=0.5 * rng.normal(size=layout.identity),
        expression=np.zeros(layout.expression),
        albedo=0.5 * rng.normal(size=layout.albedo),
        rotation=np.array([0.02, 0.15, 0.0]),
        translation=np.array([0.0, -20.0, 900.0]),
        illumination=studio_light().astype(np.float64),
        focal_px=CAMERA.focal_px,
        model=model.id,
    )
    return edit.with_coefficients(model, code, expression)


def picture(code: FaceCode) -> np.ndarray:
    """Rendered before a background of waves, so that whatever moves there shows."""
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]] / 9.0
    waves = 0.5 + 0.3 * np.stack([np.sin(rows), np.cos(columns), np.sin(rows + columns)], axis=-1)
    return render(load_model(), code, SIZE, supersample=2, background=waves.astype(np.float32)).image


def landmarks(code: FaceCode) -> np.ndarray:
    model = load_model()
    points = to_camera(model.vertices(code.identity, code.expression), code.rotation, code.translation)
    return project(model.landmarks478(points), CAMERA)[:, :2]


def around(points: np.ndarray, margin: float) -> tuple[slice, slice]:
    (left, top), (right, bottom) = points.min(axis=0) - margin, points.max(axis=0) + margin
    return slice(int(top), int(bottom)), slice(int(left), int(right))


def test_no_edit_no_change():
    code = face(mouthSmileLeft=0.5, jawOpen=0.3)
    photo = picture(code).astype(np.float32)
    np.testing.assert_array_equal(composite(load_model(), code, code, photo, CAMERA), photo)


SMILE = {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "cheekSquintLeft": 0.5, "cheekSquintRight": 0.5}


@pytest.mark.parametrize("before", [{}, {"jawOpen": 0.5}, {"browInnerUp": 0.8, "eyeWideLeft": 0.5}])
@pytest.mark.parametrize("after", [SMILE, {"browDownLeft": 1, "browDownRight": 1}, {}])
def test_the_face_becomes_what_the_model_would_show(before, after):
    if before == after:
        return
    codes = face(**before), face(**after)
    photo, truth = map(picture, codes)
    result = composite(load_model(), *codes, photo, CAMERA)
    rows, columns = around(landmarks(codes[1]), -4)

    def error(image: np.ndarray) -> float:
        return float(np.sqrt(((image - truth)[rows, columns] ** 2).mean()))

    assert error(result) < 0.7 * error(photo)
    assert error(result) < 0.035


def test_a_laugh_that_ends_leaves_no_teeth_between_the_lips():
    laugh = face(jawOpen=0.4, mouthUpperUpLeft=0.8, mouthUpperUpRight=0.8, **SMILE)
    rest = face()
    photo, truth = picture(laugh), picture(rest)
    result = composite(load_model(), laugh, rest, photo, CAMERA)
    lips = landmarks(rest)[[61, 291, 0, 17]]
    teeth = photo[around(landmarks(laugh)[[13, 14, 81, 311]], -2)]
    rows, columns = around(lips, 0)
    assert teeth[..., 2].max() > truth[rows, columns, 2].max() + 0.1
    assert result[rows, columns, 2].max() < truth[rows, columns, 2].max() + 0.06


def test_a_mouth_that_opens_is_dark_inside():
    shut, open_ = face(), face(jawOpen=0.8)
    photo = picture(shut)
    result = srgb_to_linear(composite(load_model(), shut, open_, photo, CAMERA))
    cheek = srgb_to_linear(photo)[around(landmarks(shut)[[205]], 3)].mean()
    lips = np.zeros(result.shape[:2], np.uint8)
    cv2.fillPoly(lips, [landmarks(open_)[INNER_LIPS].astype(np.int32)], 1)
    inside = result.mean(-1)[cv2.erode(lips, np.ones((3, 3))) > 0]
    assert np.median(inside) < 0.12 * cheek
    assert np.percentile(inside, 95) < 0.32 * cheek


def test_closed_eyes_open_but_not_on_sunglasses():
    asleep, awake = face(eyeBlinkLeft=1, eyeBlinkRight=1), face()
    photo, truth = picture(asleep), picture(awake)
    eye = landmarks(awake)[[33, 133, 159, 145]]
    seen, lens = around(eye, 0), around(eye, 14)
    opened = composite(load_model(), asleep, awake, photo, CAMERA)
    assert np.abs(opened - truth)[seen].mean() < 0.5 * np.abs(photo - truth)[seen].mean()
    photo[lens] = 0.05
    behind = composite(load_model(), asleep, awake, photo, CAMERA)
    assert behind[seen].max() < 0.2 < opened[seen].max()


def test_what_is_far_from_the_head_stays_to_the_bit():
    codes = face(), face(jawOpen=0.8)
    photo = picture(codes[0]).astype(np.float32)
    wide = np.pad(photo, ((0, 0), (200, 200), (0, 0)), mode="edge")
    camera = Camera(CAMERA.focal_px, CAMERA.principal_px + [200, 0], (SIZE[0] + 400, SIZE[1]))
    result = composite(load_model(), *codes, wide, camera)
    assert (result != wide).any()
    np.testing.assert_array_equal(result[:, :120], wide[:, :120])
    np.testing.assert_array_equal(result[:, -120:], wide[:, -120:])


def test_creases_darken_the_skin_where_they_lie():
    before, after = face(), face(browDownLeft=0.5, browDownRight=0.5)
    model, photo = load_model(), picture(before).astype(np.float32)
    brow, cheek = landmarks(after)[9], landmarks(after)[205]
    near = np.linalg.norm(model.identity_mean - model.landmarks478(model.identity_mean)[9], axis=1) < 6
    darker = np.where(near, 0.5, 0.0)[:, None] * np.ones(3)
    plain = composite(model, before, after, photo, CAMERA)
    creased = composite(model, before, after, photo, CAMERA, darker=darker)
    ratio = srgb_to_linear(creased) / np.maximum(srgb_to_linear(plain), 1e-4)
    x, y = brow.astype(int)
    np.testing.assert_allclose(np.log(ratio[y, x]), -0.5, atol=0.12)
    np.testing.assert_allclose(ratio[around(cheek[None], 4)], 1.0, atol=1e-3)


def test_light_from_the_left_brightens_the_left_of_the_face_and_not_the_background():
    code = face()
    photo = picture(code)
    result = composite(load_model(), code, edit.lit(code, "left"), photo, CAMERA)
    points = landmarks(code)
    left, right = points[[205, 425]]
    left, right = sorted((left, right), key=lambda p: p[0])
    gain = [result[around(p[None], 6)].mean() / photo[around(p[None], 6)].mean() for p in (left, right)]
    assert gain[0] > 1.05 * gain[1]
    assert np.abs(result - photo)[:60, :40].max() < 0.02


def test_landmarks_come_to_where_they_are_seen():
    model, code = load_model(), face()
    head = Head.of(model, code, CAMERA)
    wanted = landmarks(code)
    wanted = wanted + 1.5 * np.sin(wanted / 30)
    before, after = offsets_px(model, head, head, wanted)
    np.testing.assert_array_equal(before, after)
    front = model.landmarks478(head.facing[:, None])[:, 0] > 0.4
    missing = np.linalg.norm(model.landmarks478(head.points[:, :2] + before) - wanted, axis=1)[front]
    assert np.median(missing) < 0.25 and missing.max() < 1.5


def test_spread_keeps_what_is_known_and_stays_within_it():
    rng = np.random.default_rng(0)
    values = rng.uniform(size=(61, 47, 2)).astype(np.float32)
    weights = (rng.uniform(size=(61, 47)) < 0.05).astype(np.float32)
    filled = spread(values, weights)
    np.testing.assert_allclose(filled[weights == 1], values[weights == 1], atol=1e-6)
    assert filled.min() >= values.min() - 0.05 and filled.max() <= values.max() + 0.05
    np.testing.assert_allclose(spread(np.full_like(values, 0.3), weights), 0.3, atol=1e-5)
