"""The packaged encoder: what it reads in a photograph, and what is no encoder."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mien import assets
from mien.align import align
from mien.cli import main
from mien.crop_camera import encode_face
from mien.detect import detect_faces
from mien.encoder import PACKAGED, Encoder, packaged_encoder
from mien.errors import BadAsset
from mien.evaluation.photos import landmark_error
from mien.image import load_image, to_uint8
from mien.landmarks import LandmarkPoints
from mien.morphable import load_model
from mien.reconstruction import reconstruct
from mien.synthesis import Recipe, generate

ASTRONAUT = Path(__file__).parents[1] / "examples" / "astronaut.jpg"


@pytest.fixture(scope="module")
def encoder():
    return packaged_encoder()


@pytest.fixture(scope="module")
def image():
    return load_image(ASTRONAUT)


@pytest.fixture(scope="module")
def landmarks_px(image):
    return detect_faces(image, 1)[0].landmarks_px


def nme(code, image, landmarks_px):
    model = load_model()
    points = LandmarkPoints.of(model.landmarks478, model.identity_mean, sliding=False)
    return landmark_error(model, code, points, np.array(image.shape[1::-1]) / 2, landmarks_px, landmarks_px)


def test_it_belongs_to_the_default_model_and_is_small(encoder):
    assert encoder.model == load_model().id
    assert assets.path(PACKAGED).stat().st_size < 10e6


def test_it_sits_on_a_photograph_and_sees_the_smile(encoder, image, landmarks_px):
    code = encode_face(encoder, image, landmarks_px)
    assert nme(code, image, landmarks_px) < 0.03
    smile = [load_model().expression_names.index(f"mouthSmile{side}") for side in ("Left", "Right")]
    assert code.expression[smile].min() > 0.3
    assert code.expression.min() >= 0 and code.expression.max() <= 1


def test_a_turned_photograph_gives_the_same_face_turned(encoder, image, landmarks_px):
    turned = np.ascontiguousarray(np.rot90(image))
    x, y = landmarks_px[:, 0], landmarks_px[:, 1]
    points = np.stack([y, image.shape[1] - x], axis=1)
    upright, sideways = (encode_face(encoder, *given) for given in ((image, landmarks_px), (turned, points)))
    assert np.abs(upright.expression - sideways.expression).max() < 0.05
    assert np.abs(upright.identity - sideways.identity).max() < 0.2
    assert nme(sideways, turned, points) < 0.03


def test_a_known_focal_length_is_kept(encoder, image, landmarks_px):
    code = encode_face(encoder, image, landmarks_px, focal_px=2000.0)
    assert code.focal_px == pytest.approx(2000.0)
    assert nme(code, image, landmarks_px) < 0.03


def test_it_reads_random_faces_better_than_the_mean_explains_them(encoder):
    model = load_model()
    made = generate(model, Recipe(size=encoder.size), 123, 0)
    read = encoder(made.images, made.landmarks_px)
    for part in ("expression", "rotation", "illumination"):
        true, ours = (getattr(code, part).reshape(len(made.images), -1) for code in (made.codes, read))
        assert np.mean((ours - true) ** 2) < 0.7 * np.mean((true - true.mean(0)) ** 2), part


def test_without_refinement_its_word_is_final(encoder, image, landmarks_px):
    face = reconstruct(image, max_faces=1, refine=False)[0]
    assert np.array_equal(face.code.to_vector(), encode_face(encoder, image, landmarks_px).to_vector())


def test_an_encoder_of_ones_own_takes_its_place(encoder, image, capsys, tmp_path):
    class Silent(Encoder):
        def __call__(self, crops, landmarks_px):
            code = super().__call__(crops, landmarks_px)
            return code.with_(expression=0 * code.expression)

    silent, other = Silent(), Silent()
    face = reconstruct(image, max_faces=1, refine=False, encoder=silent)[0]
    assert not face.code.expression.any() and face.code.identity.any()
    other.preset = "thesis"
    with pytest.raises(ValueError, match="preset thesis"):
        reconstruct(image, encoder=other)
    arguments = ["reconstruct", str(ASTRONAUT), "-o", str(tmp_path), "--encoder"]
    assert main([*arguments, str(ASTRONAUT)]) == 4
    assert "is no encoder of mien's" in capsys.readouterr().err and not list(tmp_path.iterdir())
    assert main([*arguments, str(assets.path(PACKAGED))]) == 0


def test_it_runs_without_torch():
    script = (
        "import sys; from mien.reconstruction import reconstruct\n"
        "assert reconstruct(sys.argv[1], max_faces=1)\n"
        "assert 'torch' not in sys.modules and 'onnx' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script, str(ASTRONAUT)], check=True)


def test_crops_of_another_size_or_type(encoder, image, landmarks_px):
    alignment = align(landmarks_px, 64)
    for crop in (to_uint8(alignment.warp(image)), np.zeros((encoder.size, encoder.size, 3))):
        with pytest.raises(ValueError, match="uint8"):
            encoder(crop[None], landmarks_px[None, :, :2])


def test_what_is_no_encoder(tmp_path):
    with pytest.raises(BadAsset, match="cannot be read"):
        Encoder(tmp_path / "missing.onnx")
    (tmp_path / "text.onnx").write_text("not a network")
    with pytest.raises(BadAsset, match="no encoder"):
        Encoder(tmp_path / "text.onnx")
