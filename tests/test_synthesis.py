"""Random codes and pictures: what they promise to the encoder."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mien.expressions.prototypes import ACTION_UNITS, EXPRESSIONS, VARIANTS, arkit_vector, prototypes
from mien.facecode import ARKIT_NAMES
from mien.fit.landmark_response import landmark_response
from mien.morphable import load_model
from mien.synthesis import BLOCK, Recipe, generate, picture
from mien.synthesis.codes import landmarks_in_crops, random_codes, random_light, seen_in_crops
from mien.synthesis.expressions import EMOTIONS, KINDS, random_expressions
from mien.synthesis.textures import grain, strands, surfaces
from mien.synthesis.world import SMALLEST_FACE_PX, World, _softened
from mien.synthesis.world_kernel import develop, lay_over
from tiny_face import tiny_face

MANY = 4000


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture(scope="module")
def expressions():
    return random_expressions(np.random.default_rng(6), MANY)


def column(name):
    return ARKIT_NAMES.index(name)


def test_a_block_depends_on_its_seed_and_number_alone():
    model = tiny_face()
    first, again = (generate(model, Recipe(size=48), 3, 1) for _ in range(2))
    assert (first.images == again.images).all() and (first.landmarks_px == again.landmarks_px).all()
    assert (first.codes.to_vector() == again.codes.to_vector()).all()
    for seed, block in ((3, 2), (4, 1)):
        assert (generate(model, Recipe(size=48), seed, block).images != first.images).mean() > 0.5


def test_a_block_has_the_shapes_it_states():
    block = generate(tiny_face(), Recipe(size=40), 0, 0)
    assert block.images.shape == (BLOCK, 40, 40, 3) and block.images.dtype == np.uint8
    assert block.landmarks_px.shape == (BLOCK, 478, 2) and block.landmarks_px.dtype == np.float32
    assert block.codes.to_vector().dtype == np.float32 and np.isfinite(block.codes.to_vector()).all()


def test_without_a_world_a_picture_is_what_its_code_renders(rng):
    from mien.render import render

    model = load_model()
    drawn = picture(model, Recipe(size=64, world=False), random_codes(model, rng, 3), rng)
    again = render(model, drawn.codes, (64, 64), detail=False, supersample=2).image_uint8
    assert (drawn.images == again).all()
    assert drawn.images.reshape(3, -1).any(1).all()


def test_faces_fill_their_crops_upright(rng):
    model = load_model()
    codes, detected = seen_in_crops(model, rng, random_codes(model, rng, 200), 100)
    exact = landmarks_in_crops(model, codes, 100)
    extent = (exact.max(1) - exact.min(1)).max(1)
    assert 74 < np.median(extent) < 86 and (extent > 60).all()
    across = exact[:, 263] - exact[:, 33]
    down = exact[:, 152] - exact[:, 168]
    assert (down[:, 1] > 0).all() and np.abs(np.median(across[:, 1] / across[:, 0])) < 0.05
    unit = np.median(np.linalg.norm(across, axis=1))
    error = np.linalg.norm(detected - exact, axis=-1).mean() / unit
    assert 0.005 < error < 0.05


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_landmarks_answer_expressions_as_the_detector_does(share, monkeypatch):
    """Where nothing errs they are those of the expression, or wholly those of the answered one."""
    model, response = load_model(), landmark_response(load_model())

    class Still(np.random.Generator):
        def normal(self, size=()):
            return np.zeros(size)

        def random(self, size=()):
            return np.full(size, share)

    plain = replace(response, besides=0 * response.besides, bias=0 * response.bias)
    monkeypatch.setattr("mien.synthesis.codes.landmark_response", lambda model: plain)
    codes = random_codes(model, np.random.default_rng(3), 20)
    seen, detected = seen_in_crops(model, Still(np.random.PCG64(0)), codes, 100)
    answered = seen.with_(expression=seen.expression @ response.answer.T)
    near, far = (seen, answered) if share == 0 else (answered, seen)
    # the crop is turned and scaled, its camera is tilted too: a difference in perspective
    off, apart = (np.abs(detected - landmarks_in_crops(model, c, 100)).mean() for c in (near, far))
    assert off < apart / 3 < 0.1


def test_the_detector_follows_an_open_jaw_further_than_a_frown():
    follows = dict(zip(ARKIT_NAMES, np.diag(landmark_response(load_model()).answer), strict=True))
    assert 0.1 < follows["mouthFrownLeft"] < follows["jawOpen"] < 1
    assert follows["mouthFrownLeft"] == pytest.approx(follows["mouthFrownRight"], abs=2e-3)


def test_a_model_that_was_not_measured_is_followed_wholly():
    model = tiny_face()
    response = landmark_response(model)
    assert (response.answer == np.eye(model.layout.expression)).all() and not response.noise.variance.any()


def test_distance_and_pose_survive_the_crop(rng):
    model = tiny_face()
    codes = random_codes(model, rng, 50)
    seen, _ = seen_in_crops(model, rng, codes, 64)
    assert_allclose(
        np.linalg.norm(seen.translation, axis=1), np.linalg.norm(codes.translation, axis=1), rtol=1e-6
    )
    for part in ("identity", "expression", "albedo"):
        assert (getattr(seen, part) == getattr(codes, part)).all()


def test_expressions_are_sparse_bounded_and_cover_every_action(expressions):
    assert expressions.min() >= 0 and expressions.max() <= 1
    assert np.median((expressions > 0.1).sum(1)) < 12
    assert (expressions.max(0) > 0.5).all()
    assert (expressions[:, column("mouthClose")] <= expressions[:, column("jawOpen")]).all()


def test_sides_act_together_and_now_and_then_apart(expressions):
    left, right = expressions[:, column("mouthSmileLeft")], expressions[:, column("mouthSmileRight")]
    assert np.corrcoef(left, right)[0, 1] > 0.8
    assert (np.abs(left - right) > 0.3).any()


def test_both_eyes_look_the_same_way(expressions):
    away = expressions[:, column("eyeLookOutLeft")] > 0
    assert (expressions[away, column("eyeLookInLeft")] == 0).all()
    assert_allclose(expressions[away, column("eyeLookOutLeft")], expressions[away, column("eyeLookInRight")])


def test_shares_are_shares():
    assert_allclose([sum(KINDS.values()), sum(EMOTIONS.values())], 1.0)


def test_prototypes_follow_their_action_units():
    assert prototypes().shape == (7, 52)
    assert not prototypes()[EXPRESSIONS.index("neutral")].any()
    assert prototypes()[EXPRESSIONS.index("happiness"), column("mouthSmileLeft")] == 1
    assert prototypes()[EXPRESSIONS.index("disgust"), column("noseSneerRight")] == 1
    for ways in VARIANTS.values():
        for units in ways:
            vector = arkit_vector(units)
            assert vector.max() <= 1
            for unit, strength in units.items():
                for name, amount in ACTION_UNITS[unit].items():
                    assert vector[column(name)] >= np.float32(strength * amount)


def test_light_is_neither_night_nor_glare(rng):
    light = random_light(rng, 500, "anny")
    level = light[:, 0].mean(-1) * 0.282095
    assert level.min() > 0.05 and np.quantile(level, 0.99) < 3.0
    sideways = np.abs(light[:, 3].mean(-1))
    assert (sideways > 0.3).mean() > 0.2


def test_textures_differ_and_stay_in_range():
    assert len({surface.tobytes() for surface in surfaces()}) == len(surfaces())
    assert abs(float(strands().mean()) - 128) < 6
    assert abs(float(grain().std()) - 32) < 2 and abs(float(grain().mean())) < 0.5


def test_laying_over_is_a_weighted_mean(rng):
    image, colour = rng.integers(0, 256, (2, 9, 7, 3)).astype(np.uint8)
    alpha = rng.integers(0, 256, (9, 7)).astype(np.uint8)
    exact = image + (colour.astype(float) - image) * alpha[..., None] / 255 * 100 / 256
    lay_over(image, colour, alpha, 100)
    assert np.abs(image - exact).max() <= 0.5 + 1e-9


def test_laying_over_changes_a_piece_of_a_picture(rng):
    image = rng.integers(0, 256, (9, 7, 3)).astype(np.uint8)
    before = image.copy()
    lay_over(image[2:5, 1:4], np.broadcast_to(np.uint8(7), (3, 3, 3)), np.full((3, 3), 255, np.uint8), 256)
    assert (image[2:5, 1:4] == 7).all()
    image[2:5, 1:4] = before[2:5, 1:4]
    assert (image == before).all()


def test_developing_is_curve_and_grain(rng):
    image = rng.integers(0, 256, (9, 7, 3)).astype(np.uint8)
    curve = rng.integers(0, 256, (256, 3)).astype(np.uint8)
    noise = rng.integers(-127, 128, (20, 20, 3)).astype(np.int8)[3:12, 5:12]
    toned = np.stack([curve[image[..., c], c] for c in range(3)], -1).astype(float)
    assert (develop(image, curve, noise, 0) == toned).all()
    grainy = np.clip(toned + noise * (77 / 256), 0, 255)
    assert np.abs(develop(image, curve, noise, 77) - grainy).max() <= 0.5


@pytest.mark.parametrize("sigma_px", [0.9, 1.3, 2.0, 3.1, 4.4])
def test_softening_spreads_a_point_by_the_asked_deviation(sigma_px):
    points = np.zeros((64, 64), np.float32)
    points[32, 32] = 1
    spread = _softened(points, sigma_px)
    assert_allclose(spread.sum(), 1, rtol=1e-4)
    variance = (spread.sum(0) * (np.arange(64) - 32) ** 2).sum()
    assert_allclose(np.sqrt(variance), sigma_px, rtol=0.12)


def test_pictures_may_be_smaller_than_the_smallest_face():
    block = generate(tiny_face(), Recipe(size=SMALLEST_FACE_PX), 0, 0)
    assert block.images.shape == (BLOCK, SMALLEST_FACE_PX, SMALLEST_FACE_PX, 3)


def test_the_world_leaves_most_of_the_face_and_changes_most_pictures(rng):
    model = load_model()
    codes, detected = seen_in_crops(model, rng, random_codes(model, rng, 64), 96)
    exact = landmarks_in_crops(model, codes, 96)
    plain = np.full((64, 96, 96, 3), 128, np.uint8)
    pictures, landmarks = World(rng, exact, 96).photographed(plain.copy(), detected)
    changed = (np.abs(pictures.astype(int) - 128).max(-1) > 60).mean((1, 2))
    assert (changed > 0).mean() > 0.5 and np.median(changed) < 0.6
    assert landmarks.shape == detected.shape and np.abs(landmarks - detected).max() < 12
