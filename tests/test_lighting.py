"""Spherical harmonics: orthonormality, known lights, gradients."""

import numpy as np
import torch

from mien.lighting import directional_light, sh_basis, shading, studio_light, uniform_light


def sphere(count=40_000):
    """Evenly spread unit vectors (Fibonacci's spiral)."""
    z = 1 - (2 * np.arange(count) + 1) / count
    angle = np.pi * (1 + 5**0.5) * np.arange(count)
    ring = np.sqrt(1 - z * z)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=-1)


def test_basis_is_orthonormal_on_the_sphere():
    values = sh_basis(sphere())
    np.testing.assert_allclose(4 * np.pi * values.T @ values / len(values), np.eye(9), atol=1e-4)


def test_order_and_constants_of_the_conventions():
    x, y, z = 2 / 7, 3 / 7, 6 / 7
    np.testing.assert_allclose(
        sh_basis(np.array([x, y, z])),
        [0.282095, 0.488603 * y, 0.488603 * z, 0.488603 * x, 1.092548 * x * y, 1.092548 * y * z,
         0.315392 * (3 * z * z - 1), 1.092548 * x * z, 0.546274 * (x * x - y * y)],
        rtol=1e-5,
    )  # fmt: skip


def test_uniform_light_is_the_same_from_everywhere():
    np.testing.assert_allclose(shading(sphere(50), uniform_light(0.7)), 0.7, rtol=1e-5)


def test_directional_light_is_the_clamped_cosine_to_degree_two():
    direction = np.array([1.0, 2.0, -2.0]) / 3
    normals = sphere()
    cosine = np.maximum(normals @ direction, 0)
    weights = np.linalg.lstsq(sh_basis(normals), cosine, rcond=None)[0]
    np.testing.assert_allclose(directional_light(tuple(direction))[:, 0], weights, atol=1e-3)


def test_shading_is_never_negative_and_studio_light_never_burns():
    normals = sphere(2000)
    assert shading(normals, directional_light((0, 0, 1))).min() == 0
    light = shading(normals, studio_light())
    assert light.min() >= 0
    assert 0.6 < light[normals[:, 2] > 0.9].min() < light.max() < 1.15


def test_numpy_and_torch_agree_with_gradients():
    normals = sphere(6).reshape(2, 3, 3)
    illumination = np.random.default_rng(0).normal(size=(2, 9, 3)) * 0.1 + uniform_light()
    tensors = torch.from_numpy(normals).requires_grad_(), torch.from_numpy(illumination).requires_grad_()
    np.testing.assert_allclose(shading(*tensors).detach().numpy(), shading(normals, illumination), rtol=1e-12)
    torch.autograd.gradcheck(shading, tensors)
