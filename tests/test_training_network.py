"""The encoder network: what it says by construction, its landmark branch, and its ONNX file."""

import json
from copy import deepcopy

import numpy as np
import onnx
import pytest
import torch

from mien.camera import Camera, project, rotation_matrix, to_camera
from mien.encoder import Encoder
from mien.errors import BadTraining
from mien.training.backbone import create_backbone
from mien.training.checkpoint import save_checkpoint
from mien.training.crop_code import CropCode, landmarks_in_crop, rotation_from_6d
from mien.training.export import export_encoder, load_trained
from mien.training.network import EncoderNetwork, LandmarkBranch
from tiny_face import tiny_code, tiny_face
from training_stub import BACKBONE, BLOCK, Recipe, generate, tiny_config


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return EncoderNetwork(tiny_face(), BACKBONE).eval()


@pytest.fixture(scope="module")
def block():
    return generate(tiny_face(), Recipe(), 0, 0)


def read(network, block):
    images = torch.from_numpy(block.images).permute(0, 3, 1, 2).float() / 255
    return network(images, torch.from_numpy(landmarks_in_crop(block.landmarks_px, 48)))


def test_crop_code_and_face_code_are_inverses():
    code = tiny_code(3, (5,))
    back = CropCode.from_code(code, 96).to_code(96, code.model)
    np.testing.assert_allclose(back.to_vector(), code.to_vector(), rtol=2e-5, atol=2e-5)


def test_crop_code_projects_as_the_camera_does():
    code, model = tiny_code(4, (3,)), tiny_face()
    points = model.vertices(code.identity, code.expression)
    camera = Camera(code.focal_px, np.array([48.0, 48.0], np.float32), (96, 96))
    expected = project(to_camera(points, code.rotation, code.translation), camera)[..., :2]
    seen = CropCode.from_code(code, 96).in_crop(torch.from_numpy(points)).numpy()
    np.testing.assert_allclose((seen + 1) * 48, expected, atol=1e-3)


def test_six_numbers_give_rotations_and_rotations_are_reached():
    rotation = rotation_from_6d(torch.randn(50, 6, generator=torch.Generator().manual_seed(0)).double())
    identity = torch.eye(3, dtype=torch.float64).expand(50, 3, 3)
    torch.testing.assert_close(rotation @ rotation.mT, identity)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(50, dtype=torch.float64))
    columns = torch.cat([2 * rotation[:, :, 0], rotation[:, :, 1] + 3 * rotation[:, :, 0]], dim=1)
    torch.testing.assert_close(rotation_from_6d(columns), rotation)


def test_a_new_network_says_the_mean_face_at_rest_and_straight_ahead(network, block, monkeypatch):
    monkeypatch.setattr(network, "placement", None)
    with torch.no_grad():
        code = read(network, block)
    assert code.identity.shape == (BLOCK, 6) and code.albedo.shape == (BLOCK, 5)
    assert (code.expression - 0.05).abs().max() < 0.02
    assert (code.rotation - torch.eye(3)).abs().max() < 0.1
    assert (code.illumination - network.mean_light).abs().max() < 0.2


def test_expression_stays_within_its_bounds(network, block):
    torch.manual_seed(1)
    wild = EncoderNetwork(tiny_face(), BACKBONE, landmarks=False).eval()
    wild.heads.weight.data.mul_(1e4)
    with torch.no_grad():
        expression = read(wild, block).expression
    assert expression.min() >= 0 and expression.max() <= 1 and expression.std() > 0.2


def test_landmark_branch_sees_no_place_turn_or_size_but_by_its_own_inputs(block):
    branch = LandmarkBranch(tiny_face()).double()
    points = torch.from_numpy(landmarks_in_crop(block.landmarks_px, 48)).double()
    seen = []
    branch.layers.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    turn = torch.from_numpy(rotation_matrix(np.array([0.0, 0.0, 0.4]))[:2, :2])
    branch(points), branch(1.7 * points @ turn.T + 0.3)
    whitened, moved = (numbers[:, :-5] for numbers in seen)
    torch.testing.assert_close(moved, whitened)
    size = seen[1][:, -3] - seen[0][:, -3]
    torch.testing.assert_close(size, torch.full_like(size, float(np.log(1.7))))


def test_batch_norms_amplify_tenfold_at_most(network):
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(norms) > 10
    for norm in norms:
        silent = deepcopy(norm)
        silent.running_var.zero_()
        one = torch.full((1, norm.num_features, 1, 1), 0.1)
        assert silent(one + norm.running_mean[:, None, None]).abs().max() <= 1.001


def test_unknown_backbone_names_its_neighbours():
    with pytest.raises(BadTraining, match=r"'mobilenetv4_small'.*mobilenetv4_conv_small"):
        create_backbone("mobilenetv4_small")


@pytest.mark.parametrize("landmarks", [True, False])
def test_export_agrees_with_torch_and_the_run_time_reads_it(tmp_path, block, landmarks):
    config = tiny_config(tmp_path / "run", landmarks=landmarks, initial=tmp_path / "before")
    config.claim_folder()
    torch.manual_seed(2)
    network = EncoderNetwork(tiny_face(), BACKBONE, landmarks).eval()
    save_checkpoint(config.folder, {}, network)
    file = tmp_path / "encoder.onnx"
    report = export_encoder(config.folder, file, block.images, block.landmarks_px, load=tiny_face, half=False)
    assert max(report.worst.values()) < 1e-4
    with torch.no_grad():
        expected = read(network, block).to_code(48, "tiny/1")
    encoder = Encoder(file)
    assert encoder.model == "tiny/1" and encoder.size == 48
    for count in (1, BLOCK):
        code = encoder(block.images[:count], block.landmarks_px[:count])
        np.testing.assert_allclose(code.to_vector(), expected.to_vector()[:count], rtol=1e-3, atol=1e-4)
    again, settings = load_trained(file, tiny_face)
    assert settings["backbone"] == BACKBONE
    for name, value in again.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, network.state_dict()[name])
    facts = {prop.key: prop.value for prop in onnx.load(file).metadata_props}
    stored = json.loads(facts["config"])
    assert stored["backbone"] == BACKBONE and stored["initial"] == "before" and "folder" not in stored
    assert int(facts["identity"]) == 6 and len(facts["weights_sha256"]) == 64

    smaller = tmp_path / "half.onnx"
    half = export_encoder(config.folder, smaller, block.images, block.landmarks_px, load=tiny_face)
    assert half.size_bytes < 0.65 * report.size_bytes
    assert 1e-5 < max(half.worst.values()) < 0.02


def test_export_that_disagrees_or_has_nothing_to_export_writes_nothing(tmp_path, block):
    config = tiny_config(tmp_path)
    given = (tmp_path / "encoder.onnx", block.images, block.landmarks_px)
    with pytest.raises(BadTraining, match=r"config\.json: no training run"):
        export_encoder(tmp_path, *given, load=tiny_face)
    config.claim_folder()
    with pytest.raises(BadTraining, match=r"weights\.safetensors: not the weights"):
        export_encoder(tmp_path, *given, load=tiny_face)
    save_checkpoint(tmp_path, {}, EncoderNetwork(tiny_face(), BACKBONE))
    with pytest.raises(BadTraining, match="ONNX Runtime differs from torch"):
        export_encoder(tmp_path, *given, load=tiny_face, tolerance=1e-7)
    with pytest.raises(BadTraining, match=r"must be uint8 \(N, 48, 48, 3\)"):
        export_encoder(tmp_path, given[0], block.images[:, :40], block.landmarks_px, load=tiny_face)
    assert not given[0].exists()
