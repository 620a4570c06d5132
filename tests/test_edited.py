"""Portraits whose faces do something else: what moves, what is known of it, and who is learned from."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mien
from mien.cli import main
from mien.detect import detect_faces
from mien.errors import BadTraining
from mien.expressions.recognition import mirrored
from mien.facecode import ARKIT_NAMES
from mien.synthesis import BLOCK, Recipe
from mien.synthesis.corpus import open_corpus
from mien.synthesis.edited import (
    FEWEST,
    PORTRAITS,
    SHARE,
    SHOTS,
    EditedPortraits,
    Portraits,
    alike,
    edited,
    held_out,
    mirror_image,
    read_portraits,
)
from mien.training.config import TrainingConfig, read_config

ASTRONAUT = Path(__file__).parents[1] / "examples" / "astronaut.jpg"
SIZE = 112


def doing(**coefficients):
    return np.array([coefficients.get(name, 0.0) for name in ARKIT_NAMES])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("portraits")
    for number in range(FEWEST):
        shutil.copy(ASTRONAUT, folder / f"{number:02d}.jpg")
    return folder


@pytest.fixture(scope="module")
def portraits(folder):
    """The same photograph again and again, by other names."""
    return read_portraits(mien.load_model(), sorted(folder.glob("*.jpg")), SIZE)


@pytest.fixture(scope="module")
def kept(portraits, tmp_path_factory):
    """A file of them in which those held out are black."""
    images = np.where(held_out(portraits.names)[:, None, None, None], 0, portraits.images)
    file = tmp_path_factory.mktemp("kept") / "portraits.npz"
    file.write_bytes(replace(portraits, images=images).to_bytes())
    return file


def test_a_portrait_is_what_reconstruct_reads_around_the_face(portraits):
    model = mien.load_model()
    (face,) = mien.reconstruct(ASTRONAUT, max_faces=1)
    code, side = portraits.codes[0], portraits.images.shape[1]
    np.testing.assert_allclose(code.expression, face.code.expression, atol=1e-6)
    # in the portrait's own camera, the mesh lies where the detector sees the face
    from mien.synthesis.codes import landmarks_in_crops

    apart = landmarks_in_crops(model, portraits.codes[:1], side)[0] - portraits.landmarks_px[0]
    assert np.linalg.norm(apart, axis=1).mean() < 0.02 * side
    (found,) = detect_faces(portraits.images[0].astype(np.float32) / 255, max_faces=1)
    assert np.abs(found.landmarks_px[:, :2] - portraits.landmarks_px[0]).mean() < 0.01 * side


def test_portraits_come_back_from_their_file(portraits, tmp_path):
    file = tmp_path / "portraits.npz"
    file.write_bytes(portraits.to_bytes())
    back = Portraits.of_file(file, mien.load_model())
    assert back.names == portraits.names and back.codes.model == portraits.codes.model
    np.testing.assert_array_equal(back.images, portraits.images)
    np.testing.assert_array_equal(back.landmarks_px, portraits.landmarks_px)
    np.testing.assert_array_equal(back.codes.to_vector(), portraits.codes.to_vector())


def test_a_damaged_file_of_portraits_is_said(portraits, tmp_path):
    file = tmp_path / "portraits.npz"
    for data in (portraits.to_bytes()[:-5000], b"no archive"):
        file.write_bytes(data)
        with pytest.raises(BadTraining, match=r"portraits\.npz: damaged"):
            Portraits.of_file(file, mien.load_model())


def test_what_it_does_already_changes_nothing(portraits):
    one = portraits[[0]]
    made = edited(mien.load_model(), np.random.default_rng(0), one, one.codes.expression[0])
    np.testing.assert_array_equal(made.images, one.images)
    np.testing.assert_allclose(made.landmarks_px, one.landmarks_px, atol=1e-4)
    np.testing.assert_array_equal(made.codes.to_vector(), one.codes.to_vector())


def test_the_detector_sees_what_the_code_says(portraits):
    one, shown = portraits[[0]], doing(jawOpen=0.7, browInnerUp=0.8)
    made = edited(mien.load_model(), np.random.default_rng(0), one, shown)
    gaze = np.char.startswith(ARKIT_NAMES, "eyeLook")
    np.testing.assert_array_equal(made.codes.expression[0, ~gaze], shown[~gaze])
    np.testing.assert_array_equal(made.codes.expression[0, gaze], one.codes.expression[0, gaze])
    (found,) = detect_faces(made.images[0].astype(np.float32) / 255, max_faces=1)
    seen = found.landmarks_px[:, :2], made.landmarks_px[0]
    moved, expected = (points - one.landmarks_px[0] for points in seen)
    chin = 152
    assert expected[chin, 1] > 8 and abs(moved[chin, 1] - expected[chin, 1]) < 0.4 * expected[chin, 1]
    assert np.corrcoef(moved.ravel(), expected.ravel())[0, 1] > 0.8


def test_a_reshaped_head_does_the_same(portraits):
    model, one, shown = mien.load_model(), portraits[[0]], doing(jawOpen=0.3)
    reshaped = 1.5 * np.random.default_rng(0).normal(size=model.layout.identity)
    plain, made = (edited(model, np.random.default_rng(0), one, shown, by) for by in (0.0, reshaped))
    np.testing.assert_array_equal(made.codes.expression, plain.codes.expression)
    np.testing.assert_allclose(made.codes.identity[0] - one.codes.identity[0], reshaped, atol=1e-6)
    seen = [detect_faces(one.images[0].astype(np.float32) / 255, max_faces=1)[0] for one in (plain, made)]
    moved = seen[1].landmarks_px[:, :2] - seen[0].landmarks_px[:, :2]
    expected = made.landmarks_px[0] - plain.landmarks_px[0]
    assert np.corrcoef(moved.ravel(), expected.ravel())[0, 1] > 0.5


def test_of_edited_portraits_the_expression_alone_is_known(kept):
    model, recipe = mien.load_model(), Recipe()
    block = EditedPortraits(kept)(model, recipe, 5, 0)
    count = round(SHARE * BLOCK)
    assert block.images.shape == (BLOCK, SIZE, SIZE, 3) and block.images.dtype == np.uint8
    assert np.isfinite(block.landmarks_px).all() and np.isfinite(block.codes.expression).all()
    for name in ("identity", "albedo", "rotation", "translation", "illumination", "focal_px"):
        unknown = np.isnan(getattr(block.codes, name).reshape(BLOCK, -1))
        assert unknown[:count].all() and not unknown[count:].any(), name
    # nobody who is held out: those are black
    assert block.images[:count].mean((1, 2, 3)).min() > 20
    again = EditedPortraits(kept)(model, recipe, 5, 0)
    np.testing.assert_array_equal(again.images, block.images)
    assert (EditedPortraits(kept)(model, recipe, 5, 1).images != block.images).any()


def test_two_pictures_are_taken_of_each_edit_some_in_a_mirror(kept):
    block = EditedPortraits(kept)(mien.load_model(), Recipe(), 5, 0)
    shown = np.asarray(block.codes.expression)[: round(SHARE * BLOCK)].reshape(-1, SHOTS, len(ARKIT_NAMES))
    plain = np.isclose(shown[:, 0], shown[:, 1]).all(1)
    flipped = np.isclose(shown[:, 0], shown[:, 1][:, mirrored(len(ARKIT_NAMES))]).all(1)
    assert (plain | flipped).all() and plain.any() and flipped.any()


def test_the_detector_sees_the_mirror_image_where_it_is_said_to_be(portraits):
    model = mien.load_model()
    one = edited(
        model, np.random.default_rng(0), portraits[[0]], doing(mouthSmileLeft=0.8, eyeBlinkRight=0.9)
    )
    flipped = mirror_image(model, one)
    left, right = (ARKIT_NAMES.index(f"mouthSmile{side}") for side in ("Left", "Right"))
    assert flipped.codes.expression[0, right] == one.codes.expression[0, left] > 0.5
    (found,) = detect_faces(flipped.images[0].astype(np.float32) / 255, max_faces=1)
    apart = np.linalg.norm(found.landmarks_px[:, :2] - flipped.landmarks_px[0], axis=1)
    assert apart.mean() < 0.02 * SIZE
    back = mirror_image(model, flipped)
    np.testing.assert_array_equal(back.images, one.images)
    np.testing.assert_allclose(back.landmarks_px, one.landmarks_px, atol=1e-4)
    np.testing.assert_array_equal(back.codes.to_vector(), one.codes.to_vector())


def test_a_corpus_of_edited_portraits_is_made_and_learned_from(folder, tmp_path, capsys):
    corpus = tmp_path / "corpus"
    made = ["synthesize", str(corpus), "--edited", str(folder), "--size", "48", "--jobs", "1", "-n"]
    assert main([*made, "70"]) == 0
    assert f"{FEWEST} portraits, " in capsys.readouterr().out
    kept = (corpus / PORTRAITS).stat().st_mtime_ns
    assert main([*made, "128"]) == 0
    assert (corpus / PORTRAITS).stat().st_mtime_ns == kept
    block = EditedPortraits(corpus / PORTRAITS)(mien.load_model(), Recipe(size=48), 0, 1)
    read = open_corpus(corpus)[BLOCK:]
    np.testing.assert_array_equal(read.images, block.images)
    np.testing.assert_array_equal(read.codes.to_vector(), block.codes.to_vector())
    run = ["train", str(tmp_path / "run"), "--corpus", str(corpus), "--backbone", "test_efficientnet"]
    assert main([*run, "--pictures", "64", "--workers", "0"]) == 0
    assert "nan" not in capsys.readouterr().out
    assert main(["synthesize", str(corpus), "-n", "128", "--size", "48"]) == 4
    assert f"a corpus of edited {folder}, not None" in capsys.readouterr().err


def test_a_corpus_without_portraits_leaves_no_folder(tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["synthesize", str(tmp_path / "corpus"), "-n", "64", "--edited", str(empty)]) == 4
    assert "give at least 20" in capsys.readouterr().err
    assert not (tmp_path / "corpus").exists()


def test_who_smiles_is_chosen_for_smiles():
    model, rng = mien.load_model(), np.random.default_rng(0)
    smiles = np.linspace(0, 1, 50)
    read = smiles[:, None] * doing(mouthSmileLeft=1.0, mouthSmileRight=1.0)
    for smile in (0.0, 0.5, 1.0):
        shown = smile * doing(mouthSmileLeft=1.0, mouthSmileRight=1.0)
        chosen = smiles[[alike(model, rng, read, shown) for _ in range(60)]]
        assert np.abs(chosen - smile).max() < 0.21 and len(set(chosen)) > 5


def test_too_few_faces_are_said(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    said = []
    with pytest.raises(BadTraining, match=f"0 of 1 photographs have a face; give at least {FEWEST}"):
        read_portraits(mien.load_model(), [tmp_path / "broken.jpg"], SIZE, say=said.append)
    assert len(said) == 1 and "broken.jpg" in said[0]


def test_a_model_without_these_expressions_is_refused():
    model = mien.load_model()
    other = replace(model, expression_names=tuple(f"E{i}" for i in range(len(ARKIT_NAMES))))
    with pytest.raises(BadTraining, match="has not ARKit's expressions"):
        read_portraits(other, [ASTRONAUT], SIZE)


def test_a_run_without_portraits_leaves_no_folder(tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["train", str(tmp_path / "run"), "--edited", str(empty), "--pictures", "64"]) == 4
    said = capsys.readouterr().err
    assert "empty: no pictures in this folder" in said and "give at least 20" in said
    assert not (tmp_path / "run").exists()


def test_a_run_reads_its_portraits_once_and_goes_on(folder, tmp_path, capsys):
    arguments = ["train", str(tmp_path / "run"), "--edited", str(folder), "--size", "48", "--workers", "0"]
    arguments += ["--backbone", "test_efficientnet"]
    assert main([*arguments, "--pictures", "64"]) == 0
    assert f"{FEWEST} portraits, " in capsys.readouterr().out
    assert read_config(tmp_path / "run")["edited"] == str(folder)
    kept = (tmp_path / "run" / "portraits.npz").stat().st_mtime_ns
    capsys.readouterr()
    assert main([*arguments, "--pictures", "64"]) == 0
    assert (tmp_path / "run" / "portraits.npz").stat().st_mtime_ns == kept
    assert main(["train", str(tmp_path / "run"), "--size", "48", "--backbone", "test_efficientnet"]) == 4
    assert "another run" in capsys.readouterr().err


def test_what_cannot_be_edited_is_refused(tmp_path):
    for settings in ({"recipe": Recipe(preset="thesis")}, {"recipe": Recipe(), "corpus": tmp_path}):
        with pytest.raises(BadTraining, match="edited portraits join pictures of the preset mien"):
            TrainingConfig(folder=tmp_path / "run", edited=tmp_path, **settings)
