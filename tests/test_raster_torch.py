"""The rasteriser's torch body equals its numba body in every bit, and the renderer runs through it."""

import math

import numpy as np
import pytest
import torch

from mien import raster, raster_torch
from mien.facecode import FaceCode
from mien.raster import NEAR_MM, rasterize
from mien.render import render
from test_raster import random_soup
from tiny_face import tiny_code, tiny_face


def assert_same(points, triangles, height, width, cull=True):
    """Draws through both bodies; returns the triangle numbers, to see that there are some."""
    kernel = rasterize(points, triangles, height, width, cull)
    flat = torch.from_numpy(points.reshape(math.prod(points.shape[:-2]), *points.shape[-2:]))
    tensors = raster_torch.rasterize_tensors(flat, torch.from_numpy(triangles), height, width, cull)
    for tensor, name in zip(tensors, ("triangle", "barycentric", "depth"), strict=True):
        expected = getattr(kernel, name)
        assert tensor.numpy().dtype == expected.dtype
        np.testing.assert_array_equal(tensor.numpy().reshape(expected.shape), expected, err_msg=name)
    return kernel.triangle


def sheet(step, count):
    """A sheet of `count`² squares of `step` px in two triangles each; its corners may be pixel centres."""
    x, y = np.meshgrid(np.arange(count + 1) * step + 0.5, np.arange(count + 1) * step + 0.5)
    depth = 500 + 20 * np.sin(x) * np.cos(y)
    points = np.stack([x, y, depth], axis=-1).reshape(-1, 3).astype(np.float32)
    i, j = np.meshgrid(np.arange(count), np.arange(count), indexing="ij")
    a = (i * (count + 1) + j).ravel()
    b, c, d = a + 1, a + count + 1, a + count + 2
    return points, np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)]).astype(np.int32)


@pytest.mark.parametrize(
    ("count", "size_px"), [(4000, 0.15), (2000, 0.5), (500, 1.0), (200, 3.0), (60, 30.0), (30, 400.0)]
)
@pytest.mark.parametrize("cull", [True, False])
def test_random_triangles_of_every_size(count, size_px, cull):
    points, triangles = random_soup(count, count, size_px)
    assert (assert_same(points, triangles, 40, 37, cull) >= 0).sum() > 20


@pytest.mark.parametrize("step", [5.0, 3.0, 1.0, 0.77, 0.25])
@pytest.mark.parametrize("cull", [True, False])
def test_shared_edges(step, cull):
    points, triangles = sheet(step, math.ceil(20 / step))
    both_ways = np.concatenate([triangles, triangles[:, ::-1]])
    assert (assert_same(points, both_ways, 24, 23, cull)[:19, :19] >= 0).all()


@pytest.mark.parametrize("cull", [True, False])
def test_of_equal_triangles_the_first_is_seen(cull):
    points, triangles = random_soup(8, 100, 4.0)
    points[:, 2] = 500
    again = np.concatenate([triangles, triangles[::-1], triangles])
    assert assert_same(points, again, 40, 40, cull).max() < 100


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38, -3e38, 1e6, 16383.99, NEAR_MM, 0.0, -300.0])
@pytest.mark.parametrize("cull", [True, False])
def test_unusable_vertices_and_those_behind_the_camera(bad, cull):
    points, triangles = random_soup(5, 90, 4.0)
    for vertex, axis in ((7, 0), (31, 1), (80, 2), (120, 2)):
        points[vertex, axis] = bad
    assert_same(points, triangles, 40, 40, cull)


def test_degenerate_triangles():
    points = np.array([[1, 1, 500], [5, 5, 500], [9, 9, 500], [5, 5, 500], [1, 1.0004, 500]], np.float32)
    triangles = np.array([[0, 1, 2], [0, 0, 0], [1, 3, 2], [0, 0, 2], [0, 4, 2], [4, 0, 2]], np.int32)
    for cull in (True, False):
        assert_same(points, triangles, 10, 10, cull)


@pytest.mark.parametrize("batch", [(), (0,), (3,), (2, 2)])
@pytest.mark.parametrize(("height", "width"), [(0, 0), (0, 5), (5, 0), (4, 7)])
@pytest.mark.parametrize("count", [0, 3])
def test_empty_meshes_batches_and_pictures(batch, height, width, count):
    points = np.array([[1, 1, 500], [1, 9, 500], [9, 1, 500]], np.float32)[:count]
    triangles = np.arange(count, dtype=np.int32).reshape(-1, 3)
    assert_same(np.array(np.broadcast_to(points, (*batch, count, 3))), triangles, height, width)


def test_a_batch_does_not_depend_on_its_division(monkeypatch):
    points = np.stack([random_soup(seed, 60, size)[0] for seed, size in enumerate([0.4, 2, 9, 30, 200])])
    triangles = random_soup(0, 60, 1.0)[1]
    monkeypatch.setattr(raster_torch, "BLOCK", 2 * 32 * 32)
    monkeypatch.setattr(raster_torch, "CANDIDATES", 97)
    assert (assert_same(points, triangles, 32, 32) >= 0).any(axis=(1, 2)).all()


@pytest.mark.parametrize(("triangle", "named"), [([0, 1, 3], "0 to 3"), ([0, 1, -1], "-1 to 1")])
def test_a_missing_vertex_is_an_error(triangle, named):
    with pytest.raises(ValueError, match=f"triangles name vertices {named}, but there are 3 points"):
        raster_torch.rasterize_tensors(torch.zeros(1, 3, 3), torch.tensor([triangle]), 4, 4, True)


def test_the_device_chooses_the_body():
    assert raster._body(torch.zeros(1, 3, 3, device="meta")) is raster_torch.rasterize_tensors
    assert raster._body(torch.zeros(1, 3, 3)) is raster._body(np.zeros((1, 3, 3)))


def pictures_and_gradients(detail, supersample):
    """A batch of two tiny faces, and the gradient of the picture's brightness by every part of the code."""
    parts = [name for name in FaceCode.__dataclass_fields__ if name != "model"]
    code = tiny_code()
    tensors = {}
    for name in parts:
        value = torch.from_numpy(np.stack([np.asarray(getattr(code, name), np.float32)] * 2))
        value[1] += 0.01
        tensors[name] = value.requires_grad_()
    face = tiny_face().to(tensors["identity"])
    drawn = render(
        face, FaceCode(**tensors, model=code.model), (56, 48), detail=detail, supersample=supersample
    )
    (drawn.image**2).mean().backward()
    return drawn, {name: value.grad for name, value in tensors.items()}


@pytest.mark.parametrize(("detail", "supersample"), [(False, 1), (True, 2)])
def test_render_is_the_same_through_either_body(monkeypatch, detail, supersample):
    expected, gradients = pictures_and_gradients(detail, supersample)
    calls = []

    def counted(*arguments):
        calls.append(arguments[0].shape)
        return raster_torch.rasterize_tensors(*arguments)

    monkeypatch.setattr(raster, "_body", lambda points: counted)
    drawn, again = pictures_and_gradients(detail, supersample)
    assert len(calls) == 1
    for name in ("image", "mask", "depth", "normals", "image_uint8"):
        torch.testing.assert_close(getattr(drawn, name), getattr(expected, name), rtol=0, atol=0)
    for name, gradient in gradients.items():
        torch.testing.assert_close(again[name], gradient, rtol=0, atol=0)
        assert gradient.abs().max() > 0, name
    assert not torch.equal(drawn.image[0], drawn.image[1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_cuda_equals_the_kernel():
    points = np.stack([random_soup(seed, 200, size)[0] for seed, size in enumerate([0.4, 2, 9, 200])])
    triangles = random_soup(0, 200, 1.0)[1]
    kernel = rasterize(points, triangles, 64, 48)
    drawn = rasterize(torch.from_numpy(points).cuda(), torch.from_numpy(triangles).cuda(), 64, 48)
    for name in ("triangle", "barycentric", "depth"):
        assert getattr(drawn, name).is_cuda
        np.testing.assert_array_equal(getattr(drawn, name).cpu().numpy(), getattr(kernel, name))
