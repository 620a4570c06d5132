"""Normals: known answers, the table of incident triangles, gradients."""

import numpy as np
import pytest
import torch

from mien.mesh import Mesh, incident_triangles, normalize, triangle_normals, vertex_normals
from tiny_face import tiny_face


def test_normals_of_a_sphere_point_outward():
    """On a sphere the vertex normal is the direction from the centre, here to the mesh's coarseness."""
    model = tiny_face()
    skin = model.triangles[(model.part[model.triangles] == 0).all(axis=1)]
    sphere = normalize(
        model.identity_mean[: skin.max() + 1] - model.identity_mean[: skin.max() + 1].mean(axis=0)
    )
    normals = vertex_normals(sphere, skin)
    assert np.sum(normals * sphere, axis=-1).min() > 0.97
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-6)


def test_triangle_normals_are_twice_the_area():
    vertices = np.array([[0, 0, 0], [3, 0, 0], [0, 5, 0]], float)
    np.testing.assert_array_equal(triangle_normals(vertices, np.array([[0, 1, 2]])), [[0, 0, 15]])


def test_normals_turn_with_the_mesh():
    model = tiny_face()
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    vertices = model.identity_mean.astype(np.float64)
    turned = vertex_normals(vertices @ turn.T, model.triangles)
    np.testing.assert_allclose(turned, vertex_normals(vertices, model.triangles) @ turn.T, atol=1e-12)


def test_normals_of_the_mirrored_head_are_mirrored():
    model = tiny_face()
    normals = vertex_normals(model.identity_mean.astype(np.float64), model.triangles)
    np.testing.assert_allclose(normals[model.mirror] * [-1, 1, 1], normals, atol=1e-6)


def test_every_triangle_is_incident_to_its_corners():
    triangles = tiny_face().triangles
    table = incident_triangles(triangles, tiny_face().identity_mean.shape[0])
    found = {(vertex, t) for vertex, row in enumerate(table) for t in row if t >= 0}
    assert found == {(vertex, t) for t, corners in enumerate(triangles) for vertex in corners}
    assert (table >= 0).sum() == triangles.size


def test_vertices_without_triangles_have_no_normal():
    mesh = Mesh(np.eye(4, 3), np.zeros((0, 3), np.int32))
    np.testing.assert_array_equal(vertex_normals(mesh.vertices, mesh.triangles), np.zeros((4, 3)))
    assert incident_triangles(mesh.triangles, 4).shape == (4, 1)


def test_numpy_and_torch_agree_and_batches_are_free():
    model = tiny_face()
    vertices = model.identity_mean + model.identity_components[:6].reshape(2, 3, -1, 3)
    table = incident_triangles(model.triangles, vertices.shape[-2])
    batch = vertex_normals(vertices, model.triangles, table)
    tensors = vertex_normals(torch.from_numpy(vertices), torch.from_numpy(model.triangles))
    np.testing.assert_allclose(tensors.numpy(), batch, atol=1e-6)
    np.testing.assert_allclose(batch[1, 2], vertex_normals(vertices[1, 2], model.triangles), atol=1e-6)


@pytest.mark.parametrize("batch", [(), (3,), (2, 2), (0,)])
def test_kernel_equals_the_array_code(batch):
    """Float32 by the kernel, float64 by gathering; zero at a flat triangle and at a vertex without any."""
    rng = np.random.default_rng(0)
    triangles = np.concatenate([rng.integers(0, 8, (12, 3)), [[8, 9, 9]]]).astype(np.int32)
    vertices = rng.normal(size=(*batch, 11, 3))
    fast = vertex_normals(vertices.astype(np.float32), triangles)
    assert fast.dtype == np.float32
    assert (fast[..., 8:, :] == 0).all()
    np.testing.assert_allclose(fast, vertex_normals(vertices, triangles), atol=2e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_missing_vertex_is_an_error(dtype):
    with pytest.raises(IndexError):
        vertex_normals(np.zeros((3, 3), dtype), np.array([[0, 1, 3]], np.int32))


def test_gradients():
    triangles = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
    vertices = torch.randn(2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.autograd.gradcheck(lambda v: vertex_normals(v, triangles), vertices.requires_grad_())
