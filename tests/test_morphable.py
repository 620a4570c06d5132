"""The morphable model: linearity, symmetry, landmarks, torch, and the model file's round trip."""

import json
from dataclasses import fields

import numpy as np
import pytest
import torch
from safetensors import safe_open

from mien.errors import BadAsset
from mien.facecode import ARKIT_NAMES
from mien.model_files.packaged import read_model_file, write_model_file
from mien.morphable import Embedding, load_model
from tiny_face import tiny_code, tiny_face


def test_vertices_are_linear_in_the_code():
    model, code = tiny_face(), tiny_code(0)
    expected = (
        model.identity_mean
        + np.einsum("k,kvc->vc", code.identity, model.identity_components)
        + np.einsum("e,evc->vc", code.expression, model.expression_components)
    )
    np.testing.assert_allclose(model.vertices(code.identity, code.expression), expected, atol=1e-4)


def test_fewer_identity_components_are_the_first_ones():
    model, code = tiny_face(), tiny_code(0)
    cut = np.where(np.arange(6) < 2, code.identity, 0).astype(np.float32)
    np.testing.assert_allclose(
        model.vertices(code.identity[:2], code.expression), model.vertices(cut, code.expression), atol=1e-5
    )


def test_too_many_coefficients_are_an_error():
    with pytest.raises(ValueError, match="7 coefficients for a model with 6 components"):
        tiny_face().vertices(np.zeros(7, np.float32), np.zeros(52, np.float32))


def test_batches_are_free():
    model, codes = tiny_face(), tiny_code(1, (2, 3))
    vertices, albedo = model.vertices(codes.identity, codes.expression), model.albedo(codes.albedo)
    one = codes[1, 2]
    np.testing.assert_allclose(vertices[1, 2], model.vertices(one.identity, one.expression), atol=1e-4)
    np.testing.assert_allclose(albedo[1, 2], model.albedo(one.albedo), atol=1e-6)


def test_albedo_is_the_exponential_of_a_linear_model_and_a_colour():
    model = tiny_face()
    coefficients = np.float32([1, -2, 0.5, 0, 3])
    log = model.albedo_mean + np.einsum("a,avc->vc", coefficients, model.albedo_components)
    np.testing.assert_allclose(model.albedo(coefficients), np.minimum(np.exp(log), 1), rtol=1e-5)
    extreme = model.albedo(np.float32([50, -50, 50, 50, -50]))
    assert extreme.min() >= 0
    assert extreme.max() <= 1


def test_left_and_right_expressions_are_mirror_images():
    model = tiny_face()
    for name in ARKIT_NAMES:
        other = name.replace("Left", "#").replace("Right", "Left").replace("#", "Right")
        if name.startswith(("jaw", "mouthLeft", "mouthRight")) and name != other:
            continue
        component = model.expression_components[ARKIT_NAMES.index(name)]
        partner = model.expression_components[ARKIT_NAMES.index(other)]
        np.testing.assert_allclose(component[model.mirror] * [-1, 1, 1], partner, atol=1e-5)


def test_refinement_keeps_vertices_and_adds_midpoints_on_a_closed_surface():
    model = tiny_face()
    fine, count = model.refinement(model.identity_mean), len(model.identity_mean)
    np.testing.assert_array_equal(fine[:count], model.identity_mean)
    pairs = model.refinement.levels[0]
    np.testing.assert_allclose(fine[count:], model.identity_mean[pairs].mean(axis=1), atol=1e-4)
    for triangles in (model.triangles, model.refinement.triangles):
        edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
        forward, backward = ({tuple(edge) for edge in e.tolist()} for e in (edges, edges[:, ::-1]))
        assert forward == backward
        assert len(forward) == len(edges)


def test_landmarks_are_barycentric_points():
    model = tiny_face()
    for embedding, count in ((model.landmarks478, 478), (model.landmarks68, 68)):
        points = embedding(model.identity_mean)
        assert points.shape == (count, 3)
        corners = model.identity_mean[embedding.vertices]
        assert (points >= corners.min(axis=1) - 1e-4).all()
        assert (points <= corners.max(axis=1) + 1e-4).all()
        np.testing.assert_allclose(
            embedding(np.ones((len(model.identity_mean), 1), np.float32)), 1, atol=1e-6
        )


def test_torch_is_numpy():
    code = tiny_code(2)
    like = torch.zeros(1)
    model = tiny_face().to(like)
    vertices = model.vertices(torch.from_numpy(code.identity), torch.from_numpy(code.expression))
    expected = tiny_face().vertices(code.identity, code.expression)
    np.testing.assert_allclose(vertices.numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(
        model.landmarks68(model.refinement(vertices)[: len(expected)]).numpy(),
        tiny_face().landmarks68(expected),
        atol=1e-4,
    )
    np.testing.assert_allclose(
        model.albedo(torch.from_numpy(code.albedo)).numpy(), tiny_face().albedo(code.albedo), atol=1e-6
    )


def test_model_file_round_trip(tmp_path):
    model, path = tiny_face(), tmp_path / "tiny.safetensors"
    write_model_file(model, path)
    again = read_model_file(path)
    halves = ("identity_components", "expression_components", "albedo_mean", "albedo_components")
    for field in fields(model):
        before, after = getattr(model, field.name), getattr(again, field.name)
        if field.name in halves:
            np.testing.assert_array_equal(after, before.astype(np.float16).astype(np.float32))
        elif isinstance(before, np.ndarray):
            np.testing.assert_array_equal(after, before)
            assert after.dtype == before.dtype
        elif isinstance(before, Embedding):
            for name in Embedding.__dataclass_fields__:
                np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
        elif field.name != "refinement":
            assert after == before
    np.testing.assert_array_equal(
        again.refinement(model.identity_mean), model.refinement(model.identity_mean)
    )
    for name in ("triangles", "part", "mirror"):
        np.testing.assert_array_equal(getattr(again.refinement, name), getattr(model.refinement, name))
    write_model_file(model, tmp_path / "again.safetensors")
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()


def test_model_file_is_plain_safetensors(tmp_path):
    write_model_file(tiny_face(), tmp_path / "tiny.safetensors")
    with safe_open(tmp_path / "tiny.safetensors", framework="np") as file:
        assert json.loads(file.metadata()["mien"])["expression_names"] == list(ARKIT_NAMES)
        np.testing.assert_array_equal(file.get_tensor("triangles"), tiny_face().triangles)


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "headless"])
def test_bad_model_files_are_named(tmp_path, damage):
    path = tmp_path / "tiny.safetensors"
    write_model_file(tiny_face(), path)
    if damage == "missing":
        path.unlink()
    elif damage == "headless":
        from safetensors.numpy import save_file

        save_file({"triangles": tiny_face().triangles}, path)
    else:
        path.write_bytes(path.read_bytes()[: 0 if damage == "empty" else 5000])
    with pytest.raises(BadAsset, match=r"tiny\.safetensors: not a mien model file .* reinstall mien"):
        read_model_file(path)


def test_no_model_of_that_name():
    with pytest.raises(BadAsset, match="there is no model nobody"):
        load_model("nobody")


def test_large_bases_are_summed_like_small_ones(monkeypatch):
    model, code = tiny_face(), tiny_code()
    plain = model.vertices(code.identity, code.expression), model.albedo(code.albedo)
    monkeypatch.setattr("mien.morphable._LARGE", 0)
    large = model.vertices(code.identity, code.expression), model.albedo(code.albedo)
    assert np.abs(large[0] - plain[0]).max() < 2e-3  # mm
    assert np.abs(large[1] - plain[1]).max() < 1e-4
    few = model.vertices(code.identity[:3], code.expression)
    assert (
        np.abs(few - model.vertices(np.r_[code.identity[:3], np.zeros(3, "f4")], code.expression)).max()
        < 2e-3
    )
