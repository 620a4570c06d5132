"""Crops: their inverse, their pixels, and codes seen from the crop's camera."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mien.align import Alignment, align
from mien.camera import Camera, project, rotation_matrix, to_camera
from mien.crop_camera import to_crop_camera, to_photo_camera
from mien.lighting import rotate_light, shading
from tiny_face import tiny_code, tiny_face


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def face_points(rng, angle=0.0):
    """478 points with eyes and mouth where a face has them, turned by `angle` about the origin."""
    points = rng.uniform(-1, 1, (478, 2)) * [70, 90]
    points[[33, 133, 362, 263, 61, 291]] = [[-45, -30], [-15, -30], [15, -30], [45, -30], [-25, 40], [25, 40]]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ turn.T + [310.0, 205.0]


@pytest.mark.parametrize("angle", [-2.5, 0.0, 0.7])
def test_the_crop_is_upright_and_holds_every_landmark(rng, angle):
    points = face_points(rng, angle)
    alignment = align(points, 112)
    assert_allclose(alignment.roll_radians, angle, atol=1e-9)
    inside = alignment.to_crop(points)
    extent = inside.max(0) - inside.min(0)
    assert_allclose(extent.max(), 112 / 1.25)
    assert_allclose((inside.max(0) + inside.min(0)) / 2, [56, 56])
    assert inside[33, 0] < inside[263, 0] and inside[33, 1] < inside[61, 1]
    assert_allclose(alignment.to_photo(inside), points)


def test_a_batch_is_its_faces(rng):
    points = np.stack([face_points(rng, 0.1), face_points(rng, -1.0)])
    both, first = align(points, 64), align(points[0], 64)
    assert_allclose(both.to_crop(points)[0], first.to_crop(points[0]))


@pytest.mark.parametrize("side", [20.0, 40.0, 130.0, 400.0])
def test_warping_agrees_with_the_map_of_points(side):
    """To OpenCV 4's grid of 1/32 of a pixel, of the crop or the photograph, and without a bias."""
    rows, columns = np.mgrid[:300, :300]
    ramp = np.stack([columns + 0.5, rows + 0.5, 0 * rows], -1).astype(np.float32)
    alignment = Alignment(np.array([150.0, 140.0]), np.array(side), np.array(0.4), 32)
    crop = alignment.warp(ramp)
    grid = np.stack(np.meshgrid(np.arange(32) + 0.5, np.arange(32) + 0.5), -1).reshape(-1, 2)
    inside = alignment.to_photo(grid)
    seen = ((inside > 14) & (inside < 286)).all(1)
    pixel = max(side / 32, 1.0)
    apart = (crop.reshape(-1, 3)[seen, :2] - inside[seen]) / pixel
    assert np.abs(apart).max() < 1 / 50
    assert np.abs(apart.mean(0)).max() < 1 / 500


def test_a_crop_beside_the_picture_is_black():
    alignment = Alignment(np.array([-500.0, -500.0]), np.array(50.0), np.array(0.0), 16)
    assert not alignment.warp(np.ones((20, 20, 3), np.float32)).any()


@pytest.mark.parametrize("points", [np.zeros((478, 2)), np.full((478, 2), np.nan), np.zeros((68, 2))])
def test_what_cannot_be_aligned(points):
    with pytest.raises(ValueError, match="landmarks"):
        align(points, 112)


def turned_code():
    return tiny_code().with_(
        rotation=np.array([0.2, -0.3, 0.5]),
        translation=np.array([90.0, -60.0, 700.0]),
        illumination=np.random.default_rng(1).normal(size=(9, 3)),
        focal_px=np.float64(900.0),
    )


@pytest.mark.parametrize("known", [False, True])
def test_the_crops_camera_has_an_inverse(known):
    code, principal = turned_code(), np.array([320.0, 240.0])
    alignment = Alignment(np.array([440.0, 150.0]), np.array(180.0), np.array(0.6), 112)
    seen = to_crop_camera(code, principal, alignment)
    back = to_photo_camera(seen, principal, alignment, focal_px=900.0 if known else None)
    assert_allclose(back.to_vector(), code.to_vector(), rtol=1e-6, atol=1e-6)


def test_the_crops_camera_sees_what_the_crop_shows():
    model, code, principal = tiny_face(), turned_code(), np.array([320.0, 240.0])
    vertices = model.vertices(code.identity, code.expression)

    def places(code, principal, size):
        points = to_camera(vertices, code.rotation, code.translation)
        return project(points, Camera(code.focal_px, principal, size))[:, :2]

    in_photo = places(code, principal, (640, 480))
    alignment = Alignment(in_photo.mean(0), np.array(np.ptp(in_photo, axis=0).max()), np.array(0.5), 100)
    in_crop = places(to_crop_camera(code, principal, alignment), np.array([50.0, 50.0]), (100, 100))
    # the homography's difference from a similarity: a few hundredths of the head
    assert np.abs(in_crop - alignment.to_crop(in_photo)).max() < 3.0


def test_a_known_focal_length_moves_the_head_not_its_picture():
    code, principal = turned_code(), np.array([320.0, 240.0])
    alignment = Alignment(np.array([320.0, 240.0]), np.array(180.0), np.array(0.0), 112)
    far = to_photo_camera(to_crop_camera(code, principal, alignment), principal, alignment, focal_px=1800.0)
    assert_allclose(far.translation[2] / code.translation[2], 2.0)
    assert_allclose(
        far.focal_px * far.translation[:2] / far.translation[2],
        code.focal_px * code.translation[:2] / code.translation[2],
    )


def test_light_turns_with_the_frame(rng):
    normals = rng.normal(size=(40, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    light = rng.normal(size=(2, 9, 3)) + [2.0]
    turn = rotation_matrix(rng.normal(size=(2, 3)))
    turned = shading(normals @ np.swapaxes(turn, -1, -2), rotate_light(light, turn))
    assert_allclose(turned, shading(np.broadcast_to(normals, (2, 40, 3)), light), atol=1e-5)
