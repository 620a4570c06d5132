"""Placement: landmarks say exactly where a face stands, however wrong the first guess."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mien.camera import rotation_matrix
from mien.training.crop_code import CropCode
from mien.training.placement import Placement
from tiny_face import tiny_face


@pytest.fixture(scope="module")
def true():
    rng = np.random.default_rng(0)
    layout, count = tiny_face().layout, 8
    numbers = {
        "identity": rng.normal(size=(count, layout.identity)),
        "expression": rng.random((count, layout.expression)),
        "albedo": np.zeros((count, layout.albedo)),
        "rotation": rotation_matrix(rng.normal(size=(count, 3)) * 0.3),
        "position": rng.normal(size=(count, 2)) * 0.2,
        "log_scale": rng.normal(size=count) * 0.2,
        "log_distance": rng.normal(size=count) * 0.3,
        "illumination": np.zeros((count, 9, 3)),
    }
    return CropCode(**{name: torch.from_numpy(value.astype(np.float32)) for name, value in numbers.items()})


def landmarks_of(code: CropCode) -> torch.Tensor:
    model = tiny_face()
    moved = np.tensordot(code.identity.numpy(), model.landmarks478(model.identity_components), 1)
    moved = moved + np.tensordot(code.expression.numpy(), model.landmarks478(model.expression_components), 1)
    points = torch.from_numpy((model.landmarks478(model.identity_mean) + moved).astype(np.float32))
    return code.in_crop(points)


def test_place_size_and_roll_are_found_again(true):
    roll = torch.from_numpy(rotation_matrix(np.array([0.0, 0.0, 0.4])).astype(np.float32))
    guess = true._replace(
        rotation=roll @ true.rotation,
        position=torch.zeros_like(true.position),
        log_scale=torch.zeros_like(true.log_scale),
    )
    landmarks = landmarks_of(true)
    before = (landmarks_of(guess) - landmarks).norm(dim=2).mean()
    found = Placement(tiny_face())(guess, landmarks)
    assert before > 0.2
    assert (landmarks_of(found) - landmarks).norm(dim=2).max() < 2e-3
    torch.testing.assert_close(found.rotation, true.rotation, atol=5e-3, rtol=0)
    torch.testing.assert_close(found.position, true.position, atol=5e-3, rtol=0)
    torch.testing.assert_close(found.log_scale, true.log_scale, atol=5e-3, rtol=0)
    for part in ("identity", "expression", "log_distance", "illumination"):
        assert getattr(found, part) is getattr(guess, part)


def test_a_code_that_fits_stays_and_other_faces_end_where_the_points_are(true):
    placement, landmarks = Placement(tiny_face()), landmarks_of(true)
    stays = placement(true, landmarks)
    torch.testing.assert_close(stays.position, true.position, atol=1e-4, rtol=0)
    other = true._replace(identity=-true.identity)
    shift = torch.tensor([0.1, -0.2])
    moved = placement(other, 1.2 * landmarks + shift)
    centre = landmarks_of(moved)[:, ::3].mean(1)
    torch.testing.assert_close(centre, (1.2 * landmarks + shift)[:, ::3].mean(1), atol=2e-3, rtol=0)


def test_the_loss_reaches_shape_through_the_placement(true):
    identity = true.identity.clone().requires_grad_()
    found = Placement(tiny_face())(true._replace(identity=identity), landmarks_of(true) + 0.05)
    found.position.square().sum().backward()
    assert torch.isfinite(identity.grad).all() and identity.grad.abs().max() > 0


def angle_between(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return torch.arccos((((one * other).sum((1, 2)) - 1) / 2).clamp(-1, 1))


@pytest.mark.parametrize("axis", [[0.05, 0, 0], [0, 0.05, 0], [-0.03, 0.04, 0]])
def test_a_head_turned_wrongly_is_turned_back_part_of_the_way(true, axis, monkeypatch):
    monkeypatch.setattr("mien.training.placement._DAMPING_MM", 8.0)
    wrong = torch.from_numpy(rotation_matrix(np.array(axis)).astype(np.float32)) @ true.rotation
    found = Placement(tiny_face())(true._replace(rotation=wrong), landmarks_of(true))
    left = angle_between(found.rotation, true.rotation) / 0.05
    assert (left < 0.9).all() and left.median() < 0.7
    moved = angle_between(found.rotation, wrong)
    assert (moved < 0.05).all()


def test_without_damping_the_whole_turn_is_found(true, monkeypatch):
    monkeypatch.setattr("mien.training.placement._DAMPING_MM", 0.01)
    turn = torch.from_numpy(rotation_matrix(np.array([0.02, -0.03, 0.0])).astype(np.float32))
    found = Placement(tiny_face())(true._replace(rotation=turn @ true.rotation), landmarks_of(true))
    left = angle_between(found.rotation, true.rotation) / 0.036
    assert left.max() < 0.3 and left.median() < 0.1
