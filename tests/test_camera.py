"""Pose and perspective: the frames of docs/conventions.md, laws of rotations, gradients at zero."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from mien.camera import Camera, project, rotate, rotation_matrix, rotation_vector, to_camera

ANGLES = [0.0, 1e-9, 1e-4, 0.0316, 0.0317, 0.5, 2.0, 3.1, np.pi]


@pytest.mark.parametrize("angle", ANGLES)
def test_rotation_matrix_is_the_exponential(angle):
    rotvec = angle * np.array([2.0, -1.0, 2.0]) / 3
    matrix = rotation_matrix(rotvec)
    np.testing.assert_allclose(matrix, Rotation.from_rotvec(rotvec).as_matrix(), atol=1e-14)
    np.testing.assert_allclose(matrix @ rotvec, rotvec, atol=1e-14)


@pytest.mark.parametrize("angle", ANGLES[:-1])
def test_rotation_vector_inverts_rotation_matrix(angle):
    rotvec = angle * np.random.default_rng(0).normal(size=(4, 2, 3))
    rotvec *= angle / np.maximum(np.linalg.norm(rotvec, axis=-1, keepdims=True), 1e-300)
    np.testing.assert_allclose(rotation_vector(rotation_matrix(rotvec)), rotvec, atol=1e-7)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-5, 0.0316, 1.0])
def test_rotation_gradients(angle):
    """Right up to second order, also at zero, where the derivative is the cross product."""
    rotvec = torch.tensor([0.6, 0.0, -0.8], dtype=torch.float64) * angle
    torch.autograd.gradcheck(rotation_matrix, rotvec.requires_grad_())
    torch.autograd.gradgradcheck(rotation_matrix, rotvec)
    if angle == 0:
        jacobian = torch.autograd.functional.jacobian(rotation_matrix, rotvec)
        np.testing.assert_array_equal(jacobian[..., 2], [[0, -1, 0], [1, 0, 0], [0, 0, 0]])


def test_zero_pose_looks_into_the_camera():
    """Nose before the eyes, crown up, the subject's left at the picture's right."""
    points = np.array([[0, 0, 0], [10, 0, 0], [0, 10, 0], [0, 0, 10]], float)
    seen = to_camera(points, np.zeros(3), np.array([1.0, 2.0, 600.0]))
    np.testing.assert_array_equal(seen, [[1, 2, 600], [11, 2, 600], [1, -8, 600], [1, 2, 590]])


@pytest.mark.parametrize(
    ("rotation", "point", "moves"),
    [
        ((0, 0.1, 0), (0, 0, 100), (1, 0)),
        ((0.1, 0, 0), (0, 0, 100), (0, 1)),
        ((0, 0, 0.1), (0, 100, 0), (-1, 0)),
    ],
    ids=["left", "bow", "tip"],
)
def test_directions_of_rotation(rotation, point, moves):
    """+y moves the nose to the picture's right, +x bows it down, +z tips the crown to the left."""
    camera = Camera(500.0, np.zeros(2), (10, 10))
    vertices, away = np.array([point], float), np.array([0, 0, 600.0])
    before = project(to_camera(vertices, np.zeros(3), away), camera)[0, :2]
    after = project(to_camera(vertices, np.array(rotation), away), camera)[0, :2]
    assert np.array_equal(np.sign(np.round(after - before, 0)), moves)


def test_projection_by_hand():
    camera = Camera(np.float64(800.0), np.array([320.0, 240.0]), (640, 480))
    np.testing.assert_allclose(
        project(np.array([[0, 0, 500], [50, -25, 1000]], float), camera), [[320, 240, 500], [360, 220, 1000]]
    )


def test_normals_in_the_light_frame_are_the_flipped_camera_frame():
    rng = np.random.default_rng(1)
    vectors, rotation = rng.normal(size=(7, 3)), rng.normal(size=3)
    in_camera = to_camera(vectors, rotation, np.zeros(3))
    np.testing.assert_allclose(rotate(vectors, rotation), in_camera * [1, -1, -1], atol=1e-14)


def test_batches_broadcast_and_torch_agrees():
    rng = np.random.default_rng(2)
    vertices, rotation = rng.normal(size=(3, 5, 3)), rng.normal(size=(3, 3))
    translation, focal = rng.normal(size=(3, 3)) + [0, 0, 600], rng.uniform(400, 900, 3)
    centre = np.array([5.0, 6.0])
    batch = project(to_camera(vertices, rotation, translation), Camera(focal, centre, (10, 12)))
    tensors = [torch.from_numpy(a) for a in (vertices, rotation, translation, focal, centre)]
    in_torch = project(to_camera(*tensors[:3]), Camera(tensors[3], tensors[4], (10, 12)))
    np.testing.assert_allclose(in_torch.numpy(), batch, rtol=1e-12)
    for i in range(3):
        one = project(to_camera(vertices[i], rotation[i], translation[i]), Camera(focal[i], centre, (10, 12)))
        np.testing.assert_allclose(batch[i], one, rtol=1e-12)
