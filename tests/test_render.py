"""Rendering: known pictures, supersampling, batches, NumPy against torch, gradients of the whole code."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mien.camera import Camera
from mien.facecode import FaceCode
from mien.image import linear_to_srgb, to_uint8
from mien.lighting import uniform_light
from mien.render import render, render_mesh
from tiny_face import tiny_code, tiny_face

SIZE = (48, 56)
PARTS = ("identity", "expression", "albedo", "rotation", "translation", "illumination", "focal_px")
SQUARE = np.array([[-50, -50, 500], [-50, 50, 500], [50, 50, 500], [50, -50, 500]], np.float32)
SQUARE_TRIANGLES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
TOWARD = np.tile(np.float32([0, 0, 1]), (4, 1))


def float64_torch():
    """The tiny model and one of its codes as float64 tensors, close enough to fill the picture."""
    model = tiny_face()
    names = (
        "identity_mean",
        "identity_components",
        "expression_components",
        "albedo_mean",
        "albedo_components",
    )
    wide = replace(model, **{name: getattr(model, name).astype(np.float64) for name in names})
    code = tiny_code(3)
    parts = {name: torch.from_numpy(np.asarray(getattr(code, name), np.float64)) for name in PARTS}
    return wide.to(parts["identity"]), FaceCode(**parts, model=model.id)


def draw_square(**options):
    camera = Camera(np.float32(100), np.float32([16, 16]), (32, 32))
    light = uniform_light(0.5)
    return render_mesh(
        SQUARE, TOWARD, np.float32([0.2, 0.4, 2.0]), SQUARE_TRIANGLES, camera, light, **options
    )


def test_a_square_before_the_camera():
    """100 mm at 500 mm by 100 px is 20 px; radiance is albedo times light, cut off at 1."""
    seen = draw_square(background=np.float32([0.1, 0.5, 0.9]))
    inside = np.zeros((32, 32), bool)
    inside[6:26, 6:26] = True
    np.testing.assert_array_equal(seen.mask, inside)
    np.testing.assert_allclose(
        seen.image[inside], np.tile(linear_to_srgb(np.array([0.1, 0.2, 1.0])), (400, 1)), atol=1e-5
    )
    np.testing.assert_allclose(seen.image[~inside], np.tile([0.1, 0.5, 0.9], (624, 1)), atol=1e-6)
    np.testing.assert_allclose(seen.depth, np.where(inside, 500, np.inf), rtol=1e-6)
    np.testing.assert_allclose(seen.normals, inside[..., None] * np.float32([0, 0, 1]), atol=1e-6)


def test_supersampled_edges_are_the_covered_share_in_linear_light():
    moved = SQUARE + np.float32([2.5, 0, 0])
    camera = Camera(np.float32(100), np.float32([16, 16]), (32, 32))
    seen = render_mesh(
        moved, TOWARD, np.float32([1, 1, 1]), SQUARE_TRIANGLES, camera, uniform_light(0.5), supersample=4
    )
    np.testing.assert_allclose(seen.mask[16, [5, 6, 7, 25, 26, 27]], [0, 0.5, 1, 1, 0.5, 0])
    np.testing.assert_allclose(
        seen.image[16, [6, 7, 26]], linear_to_srgb(np.array([[0.25] * 3, [0.5] * 3, [0.25] * 3])), atol=1e-5
    )
    np.testing.assert_allclose(seen.depth[16, [5, 6]], [np.inf, 500], rtol=1e-6)


def test_background_pictures_show_where_the_face_is_not():
    background = np.random.default_rng(0).random((SIZE[1], SIZE[0], 3)).astype(np.float32)
    seen = render(tiny_face(), tiny_code(), SIZE, background=background)
    empty = seen.mask == 0
    assert 0.1 < empty.mean() < 0.9
    np.testing.assert_allclose(seen.image[empty], background[empty], atol=1e-6)


@pytest.mark.parametrize("supersample", [1, 2, 3])
@pytest.mark.parametrize("plain", [True, False])
def test_bytes_are_the_picture(supersample, plain):
    """To 1 / 255: dark and overexposed skin, before a plain colour and before pictures, NumPy and torch."""
    code = tiny_code(3, (2, 2))
    code = code.with_(illumination=code.illumination * np.float32([[0.02], [3]])[..., None, None])
    background = np.random.default_rng(0).random((2, 1, 1, 1, 3) if plain else (SIZE[1], SIZE[0], 3), "f4")
    seen = render(tiny_face(), code, SIZE, supersample=supersample, background=background)
    exact = 255 * np.clip(seen.image, 0, 1)
    assert seen.image_uint8.dtype == np.uint8
    assert np.abs(seen.image_uint8 - exact).max() <= (1.45 if supersample > 1 else 0.95)
    assert np.mean(seen.image_uint8 != to_uint8(seen.image)) < 0.1
    assert (seen.image_uint8 == 255).mean() > 0.01
    empty = seen.mask == 0
    assert (seen.image_uint8[empty] == to_uint8(seen.image)[empty]).all()


def test_bytes_of_torch_and_of_no_face():
    model, code = float64_torch()
    seen = render(model, code, SIZE, background=torch.tensor([0.1, 0.5, 0.9]))
    np.testing.assert_array_equal(seen.image_uint8.numpy(), to_uint8(seen.image.numpy()))
    away = tiny_code().with_(translation=np.float32([0, 0, -500]))
    assert (render(tiny_face(), away, SIZE).image_uint8 == 0).all()


@pytest.mark.parametrize("batch", [(3,), (2, 2), (0,)])
@pytest.mark.parametrize("detail", [True, False])
def test_a_batch_is_its_pictures(batch, detail):
    code = tiny_code(4, batch)
    seen = render(tiny_face(), code, SIZE, detail=detail, supersample=2)
    assert seen.image.shape == (*batch, SIZE[1], SIZE[0], 3)
    assert seen.image.dtype == np.float32
    for index in np.ndindex(batch):
        one = render(tiny_face(), code[index], SIZE, detail=detail, supersample=2)
        for field in ("image", "mask", "depth", "normals"):
            np.testing.assert_allclose(getattr(seen, field)[index], getattr(one, field), rtol=1e-6, atol=2e-5)


def test_torch_is_numpy():
    """Float64 torch with its own weights against float32 NumPy with the kernel's."""
    model, code = float64_torch()
    seen = render(model, code.with_(identity=code.identity.requires_grad_()), SIZE, supersample=2)
    expected = render(tiny_face(), tiny_code(3), SIZE, supersample=2)
    assert np.mean(seen.mask.numpy() != expected.mask) < 0.003
    same = seen.mask.numpy() == expected.mask
    np.testing.assert_allclose(seen.image.detach().numpy()[same], expected.image[same], atol=2e-3)
    np.testing.assert_allclose(seen.normals.detach().numpy()[same], expected.normals[same], atol=5e-3)


def test_base_and_detail_meshes_give_nearly_the_same_picture():
    base, detail = (render(tiny_face(), tiny_code(5), SIZE, detail=d) for d in (False, True))
    both = (base.mask == 1) & (detail.mask == 1)
    assert np.mean(both == (base.mask == 1)) > 0.98
    assert np.abs(base.image - detail.image)[both].mean() < 0.01


def test_given_albedo_and_light_are_used():
    model, code = tiny_face(), tiny_code(6)
    albedo = np.full((model.albedo_mean.shape[0], 3), 0.5, np.float32)
    seen = render(model, code, SIZE, albedo=albedo, illumination=uniform_light(0.5))
    inside = seen.mask == 1
    np.testing.assert_allclose(seen.image[inside], linear_to_srgb(np.array(0.25)), atol=1e-4)


def test_a_code_of_another_model_is_an_error():
    with pytest.raises(ValueError, match=r"the code belongs to model other/2, not to tiny/1"):
        render(tiny_face(), tiny_code().with_(model="other/2"), SIZE)


@pytest.mark.parametrize("detail", [True, False])
@pytest.mark.parametrize("part", PARTS)
def test_gradient_of_every_part_against_finite_differences(part, detail):
    """A random weighting of the pixels well inside the silhouette, along a random direction of the code."""
    model, code = float64_torch()
    generator = torch.Generator().manual_seed(7)
    mask = render(model, code, SIZE).mask[None]
    inside = -torch.nn.functional.max_pool2d(-mask, 7, stride=1, padding=3)[0]
    weights = inside[..., None] * torch.randn((*inside.shape, 3), generator=generator, dtype=torch.float64)
    value = getattr(code, part)
    direction = torch.randn(value.shape, generator=generator, dtype=torch.float64)

    def weighted(x):
        return torch.sum(weights * render(model, code.with_(**{part: x}), SIZE, detail=detail).image)

    x = value.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(weighted(x), x)
    step = 1e-5
    with torch.no_grad():
        ahead = (value + step * direction).requires_grad_()
        behind = (value - step * direction).requires_grad_()
    difference = (weighted(ahead) - weighted(behind)).detach() / (2 * step)
    assert inside.sum() > 300
    assert abs(difference) > 1e-4
    torch.testing.assert_close(torch.sum(gradient * direction), difference, rtol=2e-4, atol=1e-7)
