"""The losses: zero at the truth, gradients to every head, known answers."""

import numpy as np
import pytest
import torch

from mien.landmarks import MEDIAPIPE68
from mien.lighting import shading
from mien.mesh import vertex_normals
from mien.render import render
from mien.training.crop_code import CropCode
from mien.training.losses import Losses, LossWeights, region_weights
from tiny_face import tiny_code, tiny_face


@pytest.fixture(scope="module")
def losses():
    return Losses(tiny_face(), LossWeights(photometric=1.0))


@pytest.fixture(scope="module")
def plain():
    return Losses(tiny_face(), LossWeights())


@pytest.fixture(scope="module")
def code():
    return tiny_code(0, (4,))


@pytest.fixture(scope="module")
def true(code):
    return CropCode.from_code(code, 96)


@pytest.fixture(scope="module")
def images(code):
    return torch.from_numpy(render(tiny_face(), code, (96, 96), detail=False).image).permute(0, 3, 1, 2)


def test_nothing_to_punish_at_the_truth(losses, true, images):
    total, at_truth = losses(true, true, images)
    assert set(at_truth) == set(LossWeights.__dataclass_fields__)
    assert total < 1e-3
    for name, value in at_truth.items():
        assert value < 1e-4, name


def test_every_head_learns_from_every_term_that_it_matters_to(losses, true, images):
    torch.manual_seed(0)
    heard = {
        "identity": {"parameters", "identity", "geometry", "landmarks", "photometric"},
        "expression": {"parameters", "blendshapes", "expression", "geometry", "landmarks", "photometric"},
        "albedo": {"parameters", "albedo", "radiance", "photometric"},
        "rotation": {"landmarks", "rotation", "photometric"},
        "position": {"landmarks", "place", "photometric"},
        "log_scale": {"landmarks", "place", "photometric"},
        "log_distance": {"landmarks", "place", "photometric"},
        "illumination": {"radiance", "illumination", "photometric"},
    }
    predicted = CropCode(*((part + 0.02 * torch.randn_like(part)).requires_grad_() for part in true))
    for name, term in losses(predicted, true, images)[1].items():
        gradients = torch.autograd.grad(term, list(predicted), retain_graph=True, allow_unused=True)
        for head, gradient in zip(CropCode._fields, gradients, strict=True):
            reached = gradient is not None and bool((gradient.reshape(4, -1).norm(dim=1) > 0).all())
            assert reached == (name in heard[head]), (name, head)


def test_what_is_not_known_is_not_learned(plain, true):
    torch.manual_seed(1)
    said = CropCode(*(part + 0.1 * torch.randn_like(part) for part in true))
    said = CropCode(*(part.requires_grad_() for part in said))
    unknown = CropCode(*(torch.full_like(part, torch.nan) for part in true))._replace(
        expression=true.expression
    )
    total, terms = plain(said, unknown)
    total.backward()
    known = terms["blendshapes"], plain(said, true)[1]["blendshapes"]
    assert torch.isfinite(total) and torch.equal(*known)
    assert said.expression.grad.abs().max() > 0
    for name in ("identity", "albedo", "rotation", "position", "log_scale", "log_distance", "illumination"):
        assert not getattr(said, name).grad.any(), name
    # one face of a batch that is known in full counts as it does alone
    mixed = CropCode(*(torch.cat([t[:1], u[1:]]) for t, u in zip(true, unknown, strict=True)))
    alone = plain(CropCode(*(part[:1] for part in said)), CropCode(*(part[:1] for part in true)))[1]
    torch.testing.assert_close(plain(said, mixed)[1]["identity"], alone["identity"] / len(true.identity))


def test_gradients_are_those_of_finite_differences(true, images):
    losses = Losses(tiny_face(), LossWeights()).double()
    torch.manual_seed(1)
    exact = true.to(torch.float64)
    start = [part + 0.05 * torch.randn_like(part) for part in exact]
    torch.autograd.gradcheck(
        lambda *parts: losses(CropCode(*parts), exact)[0],
        [part.requires_grad_() for part in start],
        fast_mode=True,
        atol=1e-4,
    )


def test_distances_in_millimetres_are_those_of_the_vertices(plain, true):
    moved = true._replace(identity=true.identity + torch.tensor([0.0, 2.0, 0, 0, 0, 0]))
    model = tiny_face()
    length = np.linalg.norm(2 * model.identity_components[1], axis=1)
    expected = (length * region_weights(model)).sum()
    measured = plain(moved, true)[1]
    assert measured["identity"].item() == pytest.approx(expected, rel=0.05)
    assert measured["geometry"].item() == pytest.approx(measured["identity"].item())
    assert measured["expression"].item() == 0


def test_known_answers(plain, true):
    def change(**parts):
        return {name: value.item() for name, value in plain(true._replace(**parts), true)[1].items()}

    turned = change(
        rotation=true.rotation @ torch.matrix_exp(torch.tensor([[0, -0.5, 0], [0.5, 0, 0], [0, 0, 0]]))
    )
    # beyond the Huber's knee of 0.2 it grows as the angle's chord 2 sin(angle / 2) does
    assert turned["rotation"] == pytest.approx(2**0.5 * 2 * np.sin(0.25) / 2**0.5 - 0.05 - 0.1, abs=0.02)
    expression = true.expression.clone()
    expression[:, :] += 0.2
    stronger = change(expression=expression)
    assert stronger["parameters"] == pytest.approx(1 / 3, rel=1e-3)
    assert stronger["blendshapes"] == pytest.approx(0.5, rel=1e-3)
    light = change(illumination=true.illumination + 0.25)
    assert light["illumination"] == pytest.approx(0.25)
    shifted = change(position=true.position + torch.tensor([0.1, 0.0]))
    model = tiny_face()
    points = model.landmarks478(model.vertices(true.identity.numpy(), true.expression.numpy()))
    eyes_mm = np.linalg.norm(points[:, 33] - points[:, 263], axis=1)
    eyes = eyes_mm * (2 * true.focal / true.translation[:, 2]).numpy()
    assert shifted["landmarks"] == pytest.approx(np.mean(0.1 / eyes), rel=0.15)


def test_radiance_is_albedo_times_shading_at_the_true_normals(plain, code, true):
    model = tiny_face()
    darker = true._replace(illumination=0.5 * true.illumination)
    vertices = model.vertices(code.identity, code.expression)
    normals = np.einsum("nij,nvj->nvi", true.rotation.numpy(), vertex_normals(vertices, model.triangles))
    albedo = model.albedo(code.albedo)[:, : vertices.shape[1]]
    face = np.flatnonzero(region_weights(model) > 0)
    lit = face[::3]
    expected = (
        0.5 * (albedo * shading(normals, code.illumination))[:, lit].mean(2) @ region_weights(model, lit)
    )
    assert plain(darker, true)[1]["radiance"].item() == pytest.approx(expected.mean(), rel=1e-3)


def test_small_regions_count_as_much_as_large_ones():
    from mien.morphable import load_model

    model = load_model()
    share = region_weights(model)
    points = model.landmarks478(model.identity_mean)
    assert share.sum() == pytest.approx(1)
    assert not share[model.identity_mean[:, 2] < -120].any()

    def around(numbers, reach=12.0):
        apart = np.linalg.norm(model.identity_mean[:, None] - points[MEDIAPIPE68[numbers]], axis=2).min(1)
        return share[apart < reach].sum()

    jaw, brows, lids = around(np.arange(17)), around(np.arange(17, 27)), around(np.arange(36, 48))
    corners, bridge = around(np.array([48, 54])), around(np.arange(27, 31))
    assert min(brows, lids, corners, bridge) > 0.8 * jaw
