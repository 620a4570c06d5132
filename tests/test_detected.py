"""Random pictures whose landmarks the detector itself finds."""

from dataclasses import replace

import numpy as np
import pytest

import mien
from mien.errors import BadTraining
from mien.evaluation.photos import landmark_error
from mien.fit.landmark_response import landmark_response
from mien.landmarks import LandmarkPoints
from mien.synthesis import BLOCK, Recipe, generate, picture
from mien.synthesis.codes import mean_error_in_crops, random_codes
from mien.synthesis.detected import as_detected
from mien.training.config import TrainingConfig

CENTRE = np.full(2, 56.0)


@pytest.fixture(scope="module")
def blocks():
    model = mien.load_model()
    return {share: generate(model, Recipe(detected=share), 3, 0) for share in (0.0, 1.0)}


def distances(block):
    """Of the model's landmarks from the given ones, in eye-corner distances."""
    model = mien.load_model()
    points = LandmarkPoints.of(model.landmarks478, model.identity_mean, sliding=False)
    return np.array(
        [
            landmark_error(
                model, block.codes[i], points, CENTRE, block.landmarks_px[i], block.landmarks_px[i]
            )
            for i in range(BLOCK)
        ]
    )


def test_codes_follow_the_crop_that_the_detector_gives(blocks):
    found = blocks[1.0]
    assert found.images.shape == (BLOCK, 112, 112, 3) and found.images.dtype == np.uint8
    errors = distances(found)
    # the true face lies where the detector's points are, but for its error and a few faces that it misses
    assert np.median(errors) < 0.05 and errors.max() < 0.4
    # upright and central by the detected points
    low, high = found.landmarks_px.min(1), found.landmarks_px.max(1)
    np.testing.assert_allclose((low + high) / 2, np.broadcast_to(CENTRE, low.shape), atol=1e-3)


def test_faces_are_the_same_and_points_are_others(blocks):
    simulated, found = blocks[0.0], blocks[1.0]
    np.testing.assert_allclose(found.codes.identity, simulated.codes.identity, atol=1e-6)
    np.testing.assert_allclose(found.codes.expression, simulated.codes.expression, atol=1e-6)
    apart = np.linalg.norm(found.landmarks_px - simulated.landmarks_px, axis=2).mean(1)
    assert np.median(apart) > 0.2


def test_a_mean_error_is_taken_back():
    model, side = mien.load_model(), 224
    rng = np.random.default_rng(5)
    resting = random_codes(model, rng, 64)
    resting = resting.with_(expression=0 * resting.expression)
    drawn = picture(model, Recipe(side, world=False), resting, rng)
    errors = []
    for share in (0.0, 1.0):
        error_px = share * mean_error_in_crops(model, drawn.codes)
        errors.append(np.median(distances(as_detected(drawn, 112, error_px))))
    assert errors[1] < errors[0]


def test_the_mean_error_is_that_of_an_upright_face_turned_and_scaled():
    model = mien.load_model()
    codes = random_codes(model, np.random.default_rng(6), 2)
    upright = codes.with_(rotation=np.zeros((2, 3)), focal_px=np.array([500.0, 900.0]))
    moved = mean_error_in_crops(model, upright)
    expected = landmark_response(model).bias.T
    for i in range(2):
        scale = upright.focal_px[i] / upright.translation[i, 2]
        np.testing.assert_allclose(moved[i], expected * scale, atol=1e-9)
    rolled = mean_error_in_crops(model, upright.with_(rotation=np.tile([0.0, 0.0, np.pi / 2], (2, 1))))
    # a quarter turn to the model's left, in a picture whose y goes down
    np.testing.assert_allclose(rolled, moved[..., ::-1] * [1.0, -1.0], atol=1e-9)


def test_a_share_of_each_block_is_detected(monkeypatch, blocks):
    seen = []

    def spied(pictures, size, error_px):
        seen.append(pictures.images.shape[:2])
        return as_detected(pictures, size, error_px)

    monkeypatch.setattr("mien.synthesis.detected.as_detected", spied)
    block = generate(mien.load_model(), Recipe(detected=0.25), 3, 0)
    assert seen == [(16, 224)] and block.images.shape == (BLOCK, 112, 112, 3)
    np.testing.assert_allclose(block.codes.identity, blocks[0.0].codes.identity, atol=1e-6)
    # the others are simulated and have, unlike detected ones, no exact place in the crop
    low, high = block.landmarks_px.min(1), block.landmarks_px.max(1)
    off = np.abs((low + high) / 2 - CENTRE).max(1)
    assert (off[:16] < 1e-3).all() and np.median(off[16:]) > 0.5


def test_what_cannot_be_detected_is_refused(tmp_path):
    with pytest.raises(BadTraining, match=r"detected is 1\.5; give 0 to 1"):
        TrainingConfig(tmp_path, Recipe(detected=1.5))
    with pytest.raises(BadTraining, match="made by processors, only"):
        TrainingConfig(tmp_path, Recipe(detected=0.5), on_device=True)
    plain, other = (TrainingConfig(tmp_path, Recipe(detected=share)) for share in (0.0, 0.5))
    assert plain.what != other.what and "detected" not in plain.what["recipe"]
    assert replace(plain, workers=0).what == plain.what
