"""The rasteriser: the fast kernel against a plain one, the rule for shared edges, and every odd input."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from mien.raster import GRID, NEAR_MM, Fragments, barycentric, interpolate, rasterize


def rasterize_plain(points, triangles, height, width, cull_backfaces=True) -> Fragments:
    """`mien.raster.rasterize` for one picture: each triangle over the whole picture, in float64."""
    triangle = np.full((height, width), -1, np.int32)
    weights = np.zeros((height, width, 3), np.float32)
    depth = np.full((height, width), np.inf, np.float32)
    nearest = np.zeros((height, width), np.float32)
    py, px = np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij")
    for number, corners in enumerate(triangles):
        corner = points[corners].astype(np.float64)
        if not (np.isfinite(corner).all() and (corner[:, 2] > NEAR_MM).all()):
            continue
        xy, inverse = np.floor(corner[:, :2] * GRID + 0.5) / GRID, 1 / corner[:, 2]
        area = np.linalg.det(np.stack([xy[1] - xy[0], xy[2] - xy[0]]))
        if abs(area) < 0.5 / GRID**2 or (area > 0 and cull_backfaces):
            continue
        order = [0, 1, 2] if area > 0 else [0, 2, 1]
        inside, edges = np.ones((height, width), bool), np.zeros((3, height, width))
        for opposite in range(3):
            a, b = (xy[order[(opposite + n) % 3]] for n in (1, 2))
            dx, dy = b - a
            edge = dx * (py - a[1]) - dy * (px - a[0])
            inside &= (edge > 0) | ((edge == 0) & (dy < 0 or (dy == 0 and dx > 0)))
            edges[order[opposite]] = edge
        perspective = edges * inverse[:, None, None]
        here = perspective.sum(axis=0) / abs(area)
        seen = inside & (here > nearest * (1 + 1e-6))
        nearest[seen], depth[seen], triangle[seen] = here[seen], 1 / here[seen], number
        weights[seen] = np.moveaxis(perspective / perspective.sum(axis=0), 0, -1)[seen]
    return Fragments(triangle, weights, depth)


def random_soup(seed, count, size_px, picture=40):
    """Triangles of about `size_px` strewn over a picture, some beyond its border, facing either way."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(-5, picture + 5, (count, 1, 2))
    xy = centre + size_px * rng.normal(size=(count, 3, 2))
    depth = rng.uniform(300, 900, (count, 3, 1))
    points = np.concatenate([xy, depth], axis=-1).reshape(-1, 3).astype(np.float32)
    return points, np.arange(3 * count, dtype=np.int32).reshape(-1, 3)


@pytest.mark.parametrize(("count", "size_px"), [(300, 0.3), (100, 3.0), (30, 30.0), (20, 300.0)])
@pytest.mark.parametrize("cull", [True, False])
def test_fast_equals_plain(count, size_px, cull):
    points, triangles = random_soup(count, count, size_px)
    fast = rasterize(points, triangles, 40, 37, cull)
    plain = rasterize_plain(points, triangles, 40, 37, cull)
    np.testing.assert_array_equal(fast.triangle, plain.triangle)
    np.testing.assert_allclose(fast.depth, plain.depth, rtol=2e-5)
    np.testing.assert_allclose(fast.barycentric, plain.barycentric, atol=2e-3)
    assert (fast.triangle >= 0).any()


@pytest.mark.parametrize("step", [3.0, 1.0, 0.77])
def test_a_sheet_covers_every_pixel_once(step):
    """Each pixel centre of a sheet of triangles lies in one of them, also where edges run through centres."""
    n = int(24 / step) + 1
    x, y = np.meshgrid(np.arange(n) * step + 0.5, np.arange(n) * step + 0.5)
    points = np.stack([x, y, np.full_like(x, 500.0)], axis=-1).reshape(-1, 3).astype(np.float32)
    i, j = np.meshgrid(np.arange(n - 1), np.arange(n - 1), indexing="ij")
    a, b, c, d = (
        (i * n + j).ravel(),
        (i * n + j + 1).ravel(),
        ((i + 1) * n + j).ravel(),
        ((i + 1) * n + j + 1).ravel(),
    )
    triangles = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)]).astype(np.int32)
    covered = sum(
        (rasterize(points, part, 26, 26).triangle >= 0).astype(int) for part in triangles[:, None, :]
    )
    last = int(np.ceil((n - 1) * step))
    expected = np.zeros((26, 26), int)
    expected[:last, :last] = 1
    np.testing.assert_array_equal(covered, expected)


def test_fan_around_a_pixel_centre_draws_it_once():
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = np.stack([8.5 + 6 * np.cos(angle), 8.5 - 6 * np.sin(angle), np.full(12, 400.0)], axis=-1)
    points = np.concatenate([[[8.5, 8.5, 400.0]], ring]).astype(np.float32)
    fan = np.array([[0, 1 + i, 1 + (i + 1) % 12] for i in range(12)], np.int32)
    at_centre = [rasterize(points, one[None], 17, 17).triangle[8, 8] >= 0 for one in fan]
    assert sum(at_centre) == 1


def test_barycentric_is_perspective_correct():
    """Interpolated camera positions project back to the pixel centre, and their z is the depth."""
    camera = np.array([[-60.0, -50, 400], [10.0, 70, 900], [80.0, -40, 600]])
    points = np.stack(
        [100 * camera[:, 0] / camera[:, 2] + 16, 100 * camera[:, 1] / camera[:, 2] + 16, camera[:, 2]],
        axis=-1,
    )
    seen = rasterize(points.astype(np.float32), np.array([[0, 1, 2]], np.int32), 32, 32)
    rows, columns = np.nonzero(seen.triangle == 0)
    where = seen.barycentric[rows, columns] @ camera
    np.testing.assert_allclose(100 * where[:, 0] / where[:, 2] + 16, columns + 0.5, atol=2e-3)
    np.testing.assert_allclose(100 * where[:, 1] / where[:, 2] + 16, rows + 0.5, atol=2e-3)
    np.testing.assert_allclose(where[:, 2], seen.depth[rows, columns], rtol=1e-4)
    assert len(rows) > 100


def test_nearer_wins_and_backfaces_are_culled():
    square = np.array([[2, 2], [2, 12], [12, 12], [12, 2]], float)
    points = np.concatenate([np.c_[square, np.full(4, z)] for z in (500.0, 400.0)]).astype(np.float32)
    front = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    both = np.concatenate([front, front + 4])
    assert set(np.unique(rasterize(points, both, 14, 14).triangle)) == {-1, 2, 3}
    assert set(np.unique(rasterize(points, both[::-1], 14, 14).triangle)) == {-1, 0, 1}
    away = front[:, ::-1].copy()
    assert (rasterize(points, away, 14, 14).triangle == -1).all()
    assert (rasterize(points, away, 14, 14, cull_backfaces=False).triangle >= 0).sum() == 100


def test_of_equally_near_triangles_the_first_is_seen_whatever_their_sizes():
    points = np.array([[4, 4, 500], [4, 6, 500], [6, 4, 500], [1, 1, 500], [1, 13, 500], [13, 1, 500]], "f4")
    small, large = [0, 1, 2], [3, 4, 5]
    for pair in ([small, large], [large, small]):
        seen = rasterize(points, np.array(pair, np.int32), 14, 14).triangle
        assert seen[4, 4] == 0
        assert seen[8, 2] == pair.index(large)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38, -3e38, 1e6], ids=lambda value: f"{value:g}")
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_unusable_vertices_drop_their_triangles_only(bad, axis):
    points, triangles = random_soup(5, 60, 4.0)
    points[7, axis] = bad
    fast = rasterize(points, triangles, 40, 40)
    if not (axis == 2 and bad > 0 and np.isfinite(bad)):
        assert not (fast.triangle == 2).any()
    others = np.delete(triangles, 2, axis=0)
    expected = rasterize(points, others, 40, 40)
    rest = fast.triangle != 2
    np.testing.assert_array_equal(fast.depth[rest], expected.depth[rest])


@pytest.mark.parametrize("depth", [NEAR_MM, 0.0, -300.0])
def test_triangles_that_reach_behind_the_camera_are_dropped(depth):
    points = np.array([[1, 1, 500], [1, 20, 500], [20, 1, depth]], np.float32)
    assert (rasterize(points, np.array([[0, 1, 2]], np.int32), 20, 20).triangle == -1).all()


def test_degenerate_triangles_draw_nothing():
    points = np.array([[1, 1, 500], [5, 5, 500], [9, 9, 500], [5, 5, 500]], np.float32)
    triangles = np.array([[0, 1, 2], [0, 0, 0], [1, 3, 2], [0, 0, 2]], np.int32)
    assert (rasterize(points, triangles, 10, 10, cull_backfaces=False).triangle == -1).all()


@pytest.mark.parametrize("batch", [(), (0,), (3,), (2, 2)])
@pytest.mark.parametrize(("height", "width"), [(0, 0), (0, 5), (5, 0), (4, 7)])
@pytest.mark.parametrize("count", [0, 3])
def test_empty_meshes_batches_and_pictures(batch, height, width, count):
    points = np.broadcast_to(
        np.array([[1, 1, 500], [1, 9, 500], [9, 1, 500]], np.float32)[:count], (*batch, count, 3)
    )
    triangles = np.arange(count, dtype=np.int32).reshape(-1, 3)
    seen = rasterize(points, triangles, height, width)
    assert seen.triangle.shape == seen.depth.shape == (*batch, height, width)
    assert seen.barycentric.shape == (*batch, height, width, 3)
    assert (seen.triangle >= 0).any() == (count > 0 and seen.triangle.size > 0)
    assert np.isinf(seen.depth[seen.triangle < 0]).all()


def test_a_missing_vertex_is_an_error():
    with pytest.raises(ValueError, match=r"triangles name vertices 0 to 3, but there are 3 points"):
        rasterize(np.zeros((3, 3), np.float32), np.array([[0, 1, 3]], np.int32), 4, 4)
    with pytest.raises(ValueError, match=r"triangles name vertices -1 to 1, but there are 3 points"):
        rasterize(np.zeros((3, 3), np.float32), np.array([[0, 1, -1]], np.int32), 4, 4)
    with pytest.raises(ValueError, match=r"triangles name vertices 0 to 0, but there are 0 points"):
        rasterize(np.zeros((0, 3), np.float32), np.array([[0, 0, 0]], np.int32), 4, 4)


def test_a_batch_is_its_pictures_and_torch_is_numpy():
    soups = [random_soup(seed, 50, 5.0) for seed in range(5)]
    points, triangles = np.stack([soup[0] for soup in soups]), soups[0][1]
    batch = rasterize(points, triangles, 32, 32)
    tensors = rasterize(torch.from_numpy(points).requires_grad_(), torch.from_numpy(triangles), 32, 32)
    for i in range(5):
        single = rasterize(points[i], triangles, 32, 32)
        for field in ("triangle", "barycentric", "depth"):
            np.testing.assert_array_equal(getattr(batch, field)[i], getattr(single, field))
            np.testing.assert_array_equal(getattr(tensors, field)[i].numpy(), getattr(single, field))


def test_differentiable_weights_equal_those_of_the_kernel():
    points, triangles = random_soup(1, 40, 8.0)
    seen = rasterize(points, triangles, 40, 40)
    again = barycentric(points, triangles, seen)
    np.testing.assert_allclose(again, seen.barycentric, atol=5e-3)


@pytest.mark.parametrize("batch", [(), (3,), (2, 2), (0,)])
def test_interpolation_kernel_equals_the_array_code(batch):
    points, triangles = random_soup(2, 40, 8.0)
    seen = rasterize(np.broadcast_to(points, (*batch, *points.shape)), triangles, 30, 40)
    attributes = np.random.default_rng(0).normal(size=(*batch, len(points), 4))
    fast = interpolate(attributes.astype(np.float32), triangles, seen)
    np.testing.assert_allclose(fast, interpolate(attributes, triangles, seen), atol=1e-5)
    assert fast.shape == (*batch, 30, 40, 4)
    assert (fast[seen.triangle < 0] == 0).all()


def test_gradient_of_the_weights():
    points, triangles = random_soup(3, 12, 6.0, picture=8)
    points = torch.from_numpy(points.astype(np.float64))
    triangles = torch.from_numpy(triangles)
    seen = rasterize(points, triangles, 8, 8)
    assert (seen.triangle >= 0).sum() > 20
    torch.autograd.gradcheck(lambda p: barycentric(p, triangles, seen), points.requires_grad_())


def test_forked_workers_after_threads():
    """A process that has drawn a batch on threads can fork workers that draw, as data loaders do."""
    script = (
        "import os, numpy as np\n"
        "from mien.raster import rasterize\n"
        "p = np.tile(np.array([[1, 1, 500], [1, 9, 500], [9, 1, 500]], np.float32), (4, 1, 1))\n"
        "t = np.array([[0, 1, 2]], np.int32)\n"
        "first = rasterize(p, t, 9, 9).triangle\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    os._exit(int((rasterize(p, t, 9, 9).triangle != first).any()))\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2"}
    assert subprocess.run([sys.executable, "-c", script], env=environment, timeout=120).returncode == 0
