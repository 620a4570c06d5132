"""MediaPipe's landmark network as the encoder has it: against its own answers, and never trained."""

import numpy as np
import pytest
import torch

import mien
from mien.align import SIDE as CROP_SIDE
from mien.align import align
from mien.detect import detect_faces
from mien.training.crop_code import landmarks_in_crop
from mien.training.face_features import FEATURES, INPUT, SIDE, FaceFeatures, _packaged_weights
from mien.training.network import _BY_FEATURES, EncoderNetwork
from tiny_face import tiny_face
from training_stub import BACKBONE, Recipe, generate

PHOTO = "examples/astronaut.jpg"


@pytest.fixture(scope="module")
def features():
    return FaceFeatures().eval()


@pytest.fixture(scope="module")
def pictures():
    return torch.rand(19, 3, 48, 48, generator=torch.Generator().manual_seed(0))


def test_mediapipes_landmarks_are_linear_in_them(features):
    image = mien.load_image(PHOTO).astype(np.float32)
    landmarks_px = detect_faces(image, max_faces=1)[0].landmarks_px[:, :2]
    size = 224
    alignment = align(landmarks_px, size)
    crop = torch.from_numpy(alignment.warp(image)).permute(2, 0, 1)[None]
    weights, biases = (torch.from_numpy(array) for array in _packaged_weights()[-1])
    said = features(crop) @ weights.flatten(1).T + biases
    seen = (said.reshape(478, 3)[:, :2].numpy() - INPUT / 2) * (SIDE * size / CROP_SIDE / INPUT) + size / 2
    expected = alignment.to_crop(landmarks_px)
    eyes = np.linalg.norm(expected[33] - expected[263])
    assert np.linalg.norm(seen - expected, axis=1).mean() < 0.02 * eyes


def test_a_picture_has_its_features_in_any_company(features, pictures):
    together = features(pictures)
    assert together.shape == (19, FEATURES)
    alone = torch.cat([features(picture[None]) for picture in pictures])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-3)


def test_training_leaves_them_as_they_are(pictures):
    network = EncoderNetwork(tiny_face(), BACKBONE, landmarks=False).train()
    before = {name: value.clone() for name, value in network.expression.features.state_dict().items()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.5)
    learned = network.expression.layers[0].weight.clone()
    network(pictures).expression.square().mean().backward()
    optimiser.step()
    assert not torch.equal(network.expression.layers[0].weight, learned)
    for name, value in network.expression.features.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_in_training_each_picture_is_read_by_one_of_two_and_then_by_both():
    torch.manual_seed(0)
    network = EncoderNetwork(tiny_face(), BACKBONE).eval()
    block = generate(tiny_face(), Recipe(), 0, 0)
    image = torch.from_numpy(block.images).permute(0, 3, 1, 2).float() / 255
    landmarks = torch.from_numpy(landmarks_in_crop(block.landmarks_px, 48))
    with torch.no_grad():
        both = torch.logit(network(image, landmarks).expression)
        branch = network.expression(image)
        network.train()
        for module in network.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()
        once = [torch.logit(network(image, landmarks).expression) for _ in range(8)]
    heads = (both - _BY_FEATURES * branch) / (1 - _BY_FEATURES)
    read = torch.stack(once)
    by_branch = (read - branch).abs().amax(2) < 1e-4
    by_heads = (read - heads).abs().amax(2) < 1e-4
    assert (by_branch ^ by_heads).all()
    assert by_branch.any(0).float().mean() > 0.9 and by_heads.any(0).float().mean() > 0.9
