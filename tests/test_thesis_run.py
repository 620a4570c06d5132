"""The thesis's preset from a Basel model's file to recognised expressions, by the commands."""

import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import cv2
import numpy as np
import pytest
from PIL import Image

from mien.align import align
from mien.camera import Camera, project, to_camera
from mien.cli import main
from mien.evaluation.encoders import LoadedEncoder
from mien.evaluation.expressions import Confusion
from mien.evaluation.one_face import SHOWN_PX, drawn
from mien.expressions.prototypes import EXPRESSIONS
from mien.facefile import Face, save_face
from mien.image import load_image, to_uint8
from mien.morphable import MorphableModel, load_model
from mien.synthesis import BLOCK, Recipe
from mien.synthesis.corpus import open_corpus
from mien.thesis.expressions import BaseExpressions
from mien.thesis.pictures import draw
from mien.thesis.preset import model_name, recipe
from mien.thesis.reader import thesis_reading
from mien.thesis.vectors import SIZE, from_vector, read_vector, to_vector, write_vector
from mien.training.bootstrap import crop_faces, judge
from mien.training.config import TrainingConfig, read_config
from mien.training.crop_code import CropCode
from mien.training.train import train
from published_files import write_bfm_h5
from thesis_face import COUNTS, thesis_face
from training_stub import BACKBONE

PX = "48"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A data folder with a Basel model's file added as `bfm2017`."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(home))
        load_model.cache_clear()
        file = write_bfm_h5(home / "model2017-1_bfm_nomouth.h5", thesis_face())
        assert main(["models", "add", "bfm2017", str(file)]) == 0
        yield home
        load_model.cache_clear()


@pytest.fixture(scope="module")
def model(home) -> MorphableModel:
    return load_model(model_name("bfm2017"))


@pytest.fixture(scope="module")
def bases(model) -> BaseExpressions:
    return BaseExpressions.of(model)


class Known:
    """Both detectors, for pictures whose landmarks are known: by what the picture holds."""

    faces: ClassVar[dict[str, SimpleNamespace]] = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def look(self, image):
        face = self.faces.get(hashlib.sha256(to_uint8(image).tobytes()).hexdigest())
        return [] if face is None else [face]


class KnownHull(Known):
    def detect(self, image, max_faces=1):
        return [face.landmarks68_px for face in self.look(image) if face.landmarks68_px is not None]


class KnownMediapipe(Known):
    def detect(self, image, max_faces=8):
        return self.look(image)


@pytest.fixture(scope="module")
def photos(model, bases, tmp_path_factory):
    """Pictures of 28 people with the base expressions, in labelled folders, on grey; and the detectors."""
    folder, rng, border = tmp_path_factory.mktemp("photos"), np.random.default_rng(3), 20
    vectors = 0.5 * rng.normal(size=(28, SIZE))
    vectors[:, 64:128] = np.tile(bases.prototypes, (4, 1))
    codes = from_vector(vectors, model, 90)
    drawn = draw(model, codes, 90)
    points = [place_marks(model, codes[i], 90) for i in range(28)]
    for i, image in enumerate(drawn.images):
        photo = np.full((130, 130, 3), 128, np.uint8)
        photo[border:-border, border:-border] = np.where(image.any(-1, keepdims=True), image, 128)
        file = folder / EXPRESSIONS[i % 7] / f"{i:02d}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(photo).save(file)
        digest = hashlib.sha256(to_uint8(load_image(file)).tobytes()).hexdigest()
        Known.faces[digest] = SimpleNamespace(
            landmarks68_px=points[i] + border, landmarks_px=drawn.landmarks_px[i] + border
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mien.thesis.detect.HaarDlibDetector", KnownHull)
        patch.setattr("mien.thesis.reader.HaarDlibDetector", KnownHull)
        patch.setattr("mien.detect.Detector", KnownMediapipe)
        yield folder


def place_marks(model, code, size):
    """(68, 2) pixels of a crop of `size` pixels."""
    points = model.landmarks68(model.vertices(code.identity, code.expression))
    camera = Camera(code.focal_px, np.full(2, size / 2), (size, size))
    return project(to_camera(points, code.rotation, code.translation), camera)[:, :2]


@pytest.fixture(scope="module")
def encoder(home, photos, tmp_path_factory):
    """What the commands make, one after the other: a corpus, a run, a round on photographs, an encoder."""
    folder = tmp_path_factory.mktemp("runs")
    preset = ["--preset", "thesis", "--size", PX]
    made = ["synthesize", str(folder / "corpus"), "-n", "80", "--jobs", "1", *preset]
    assert main(made) == 0
    run = ["--backbone", BACKBONE, "--pictures", "256", "--workers", "0", "--corpus", str(folder / "corpus")]
    assert main(["train", str(folder / "run"), "--preset", "thesis", *run]) == 0
    names = [str(place) for place in sorted(photos.iterdir())]
    out = str(folder / "real")
    rounds = ["--start", str(folder / "run"), "-o", out, "--rounds", "1", "--pictures", "128"]
    assert main(["bootstrap", *names, *rounds]) == 0
    assert main(["export-encoder", f"{out}/round1", "-o", str(folder / "thesis.onnx")]) == 0
    return folder / "thesis.onnx"


def test_the_model_has_the_thesis_components(model):
    assert load_model("bfm2017").layout.identity == COUNTS[0]
    assert model.id == "bfm2017:64,64,100/1" and model.albedo_is_srgb
    np.testing.assert_array_equal(model.identity_components, load_model("bfm2017").identity_components[:64])


def test_a_corpus_of_hulls(encoder, model):
    corpus = open_corpus(encoder.parent / "corpus")
    assert len(corpus) == 80 and corpus.settings.model == model.id
    pictures = corpus[:5]
    assert to_vector(pictures.codes).shape == (5, SIZE)
    assert (draw(model, pictures.codes, int(PX)).images == pictures.images).all()
    assert not pictures.images[:, [0, -1], [0, -1]].any() and pictures.images.any((1, 2, 3)).all()


def test_the_runs_are_the_presets(encoder):
    for run in ("run", "real/round1"):
        config = read_config(encoder.parent / run)
        assert (config["optimiser"], config["weight_decay"], config["learning_rate"]) == ("adadelta", 0, 1)
        assert config["recipe"] == {"size": int(PX), "world": False, "preset": "thesis", "detected": 0.0}
    table = json.loads((encoder.parent / "real" / "bootstrap.json").read_text())
    assert table["photographs"] == 28 and len(table["stages"]) == 2
    assert all(0 < stage["nme478"] < 1 and 0 < stage["rmse"] < 1 for stage in table["stages"])


def test_the_runs_are_evaluated(encoder, tmp_path, capsys):
    run, real = encoder.parent / "run", encoder.parent / "real"
    assert main(["evaluate", "bootstrap", str(real)]) == 0
    assert "after round 1" in capsys.readouterr().out
    sources = [str(run), str(real / "round1"), str(encoder)]
    assert main(["evaluate", "encoders", *sources, "--pictures", "64", "-o", str(tmp_path)]) == 0
    assert "thesis.onnx" in capsys.readouterr().out
    found = json.loads((tmp_path / "encoders.json").read_text())["encoders"]
    assert all(0 < score["parameter_loss"] < 3 and score["size"] == int(PX) for score in found.values())
    assert found["round1"]["vertex_mm"] == pytest.approx(found["thesis.onnx"]["vertex_mm"], rel=0.01)


def test_the_confusion_matrix_counts_what_is_read(encoder, photos, tmp_path, capsys):
    arguments = ["--preset", "thesis", "--encoder", str(encoder)]
    out = tmp_path / "out"
    assert main(["evaluate", "expression", str(photos), *arguments, "-o", str(out)]) == 0
    assert "as the thesis reads them" in capsys.readouterr().out
    places = [str(photos / name) for name in EXPRESSIONS]
    assert main(["expression", *places, *arguments, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    expected = Confusion.of([Path(row["file"]).parent.name for row in rows], [row["label"] for row in rows])
    found = json.loads((out / "expression.json").read_text())["counts"]
    assert [found[name] for name in EXPRESSIONS] == expected.counts.tolist() and expected.counts.sum() == 28


def test_a_face_against_itself_is_neutral(encoder, photos, tmp_path, capsys):
    photo = next((photos / "surprise").iterdir())
    for name in ("neutral/ann_0.png", "fear/ann_1.png"):
        (tmp_path / "set" / name).parent.mkdir(parents=True)
        shutil.copy(photo, tmp_path / "set" / name)
    arguments = [str(tmp_path / "set"), "--own-neutral", "-o", str(tmp_path), "--preset", "thesis"]
    assert main(["evaluate", "expression", *arguments, "--encoder", str(encoder)]) == 0
    counts = json.loads((tmp_path / "expression.json").read_text())["counts"]
    assert list(counts) == ["fear"] and counts["fear"][EXPRESSIONS.index("neutral")] == 1


def test_networks_are_judged_on_their_own_crops(encoder, photos, tmp_path, capsys):
    """Two of the thesis and one of mien, on the photographs in which both kinds of detectors find a face."""
    folder, out, ours = tmp_path / "all", tmp_path / "out", tmp_path / "ours"
    short = {"backbone": BACKBONE, "pictures": BLOCK, "validation_blocks": 1, "workers": 0}
    train(TrainingConfig(folder=ours, recipe=Recipe(size=int(PX)), **short))
    capsys.readouterr()
    folder.mkdir()
    for photo in photos.glob("*/*.png"):
        shutil.copy(photo, folder / photo.name)
    pixels = np.asarray(Image.open(folder / "00.png"))[::-1]
    Image.fromarray(pixels).save(folder / "hidden.png")
    face = next(iter(Known.faces.values()))
    digest = hashlib.sha256(to_uint8(load_image(folder / "hidden.png")).tobytes()).hexdigest()
    Known.faces[digest] = SimpleNamespace(landmarks68_px=None, landmarks_px=face.landmarks_px)
    sources = [encoder.parent / "run", encoder, ours]
    arguments = [*map(str, sources), "--photos", str(folder), "--pictures", "16", "-o", str(out)]
    assert main(["evaluate", "encoders", *arguments]) == 0
    said = capsys.readouterr()
    assert "28 photographs of all" in " ".join(said.out.split())
    assert said.err.splitlines() == [f"{folder / 'hidden.png'}: no face found; left out"]
    scores = list(json.loads((out / "encoders.json").read_text())["encoders"].values())
    for source, score in zip(sources, scores, strict=True):
        loaded = LoadedEncoder.of(source)
        size, preset = loaded.crop_kind
        crops = crop_faces(sorted(folder.glob("??.png")), size, preset=preset)
        expected = judge(loaded.network, loaded.model, crops)
        assert score["nme478"] == pytest.approx(expected["nme478"])
        assert score["rmse"] == (None if preset == "thesis" else pytest.approx(expected["rmse"]))
    with Image.open(out / "encoders.png") as figure:
        assert 1.0 < figure.width / figure.height < 4 / 3  # the photograph and three networks; three rows


def test_stages_are_shown_on_faces(encoder, photos, tmp_path):
    arguments = ["--photos", str(photos / "fear"), "-o", str(tmp_path)]
    assert main(["evaluate", "bootstrap", str(encoder.parent / "real"), *arguments]) == 0
    with Image.open(tmp_path / "bootstrap.faces.png") as figure:
        assert 0.8 < figure.width / figure.height < 1.0  # the photograph and two networks; three rows


def test_what_is_read_is_drawn_over_the_photograph(model):
    """A network that reads the truth in a hull crop draws the photograph's own pixels."""
    vector = 0.5 * np.random.default_rng(8).normal(size=SIZE)
    border, size = 40, 48

    class Knows:
        def eval(self):
            pass

        def __call__(self, pixels, landmarks):
            truth = from_vector(vector[None], model, size)
            expected = draw(model, truth, size).images[0] / 255
            assert np.abs(pixels[0].permute(1, 2, 0).numpy() - expected).mean() < 0.02
            return CropCode.from_code(truth, size)

    code = from_vector(vector[None], model, 180)
    pictures = draw(model, code, 180)
    image = np.pad(pictures.images[0] / np.float32(255), ((border, border), (60, 10), (0, 0)))
    shift = np.array([60, border])
    landmarks68_px = place_marks(model, code[0], 180) + shift
    landmarks_px = pictures.landmarks_px[0] + shift
    encoder = LoadedEncoder(Path(), Knows(), model, recipe(size))
    shown = drawn(image, landmarks68_px, landmarks_px, encoder)
    photograph = align(landmarks_px, SHOWN_PX).warp(image)
    covered = cv2.erode(photograph.all(-1).astype(np.uint8), np.ones((9, 9))) > 0
    assert covered.mean() > 0.2
    assert np.abs(shown - photograph)[covered].mean() < 0.02


def test_expressions_of_photographs(encoder, photos, tmp_path, capsys):
    out, vectors = tmp_path / "faces.csv", tmp_path / "vectors"
    arguments = ["expression", str(photos / "anger"), str(photos / "fear"), "--preset", "thesis", "--format"]
    arguments += ["csv", "-o", str(out), "--encoder", str(encoder), "--vectors", str(vectors)]
    assert main(arguments) == 0
    assert len(out.read_text().splitlines()) == 9
    assert sorted(file.name for file in vectors.iterdir()) == [f"x_{n:06d}.txt" for n in range(1, 9)]
    reader, _ = thesis_reading(encoder)
    first = sorted((photos / "anger").iterdir())[0]
    np.testing.assert_allclose(read_vector(vectors / "x_000001.txt"), to_vector(reader(first, 1)[0]))
    Image.new("RGB", (60, 60)).save(tmp_path / "empty.png")
    arguments = ["--preset", "thesis", "--encoder", str(encoder)]
    assert main(["expression", str(tmp_path / "empty.png"), *arguments]) == 3
    assert "upright and frontal" in capsys.readouterr().err


def test_expressions_of_vectors_and_face_files(home, model, bases, tmp_path, capsys):
    """Codes that are known are recognised all: the confusion matrix is the identity."""
    bases.write(tmp_path / "expression.csv")
    vectors = 0.5 * np.random.default_rng(0).normal(size=(7, SIZE))
    vectors[:, 64:128] = 0.9 * bases.prototypes + 0.05 * vectors[:, 64:128]
    for i, vector in enumerate(vectors):
        write_vector(tmp_path / f"x_{i:06d}.txt", vector)
    code = from_vector(vectors[3], model)
    face = Face(code, np.full(2, 112.0), (224, 224), "a.png", np.array([0.0, 0, 224, 224]), np.zeros((68, 2)))
    save_face(face, tmp_path / "a.face.json")
    inputs = [*(str(tmp_path / f"x_{i:06d}.txt") for i in range(7)), str(tmp_path / "a.face.json")]
    arguments = ["--preset", "thesis", "--prototypes", str(tmp_path / "expression.csv"), "--format", "json"]
    assert main(["expression", *inputs, *arguments, "--blendshapes"]) == 0
    rows = json.loads(capsys.readouterr().out)
    confusion = Confusion.of(EXPRESSIONS, [row["label"] for row in rows[:7]])
    assert confusion.mean_class_accuracy == 1.0 and rows[7]["label"] == "happiness"
    assert all(4 < row["intensity"] <= 5 for row in rows if row["label"] != "neutral")
    assert abs(rows[0]["expression063"] - vectors[0, 127]) < 1e-4
    assert main(["expression", inputs[0], "--neutral", inputs[0], *arguments]) == 0
    assert json.loads(capsys.readouterr().out)[0]["label"] == "neutral"


def test_wrong_usage(home, encoder, photos, tmp_path, capsys):
    photo = str(sorted((photos / "anger").iterdir())[0])
    thesis = ["--preset", "thesis"]
    labelled = ["evaluate", "expression", str(photos)]
    corpus = ["synthesize", str(tmp_path / "c"), "-n", "1", *thesis]
    for status, arguments, said in [
        (2, [*corpus, "--model", "bfm"], "did you mean bfm2017?"),
        (4, [*corpus, "--model", "anny"], "52 expression components, 64 are asked for"),
        (4, ["train", str(tmp_path / "t"), *thesis, "--model", "bfm"], "did you mean bfm2017?"),
        (2, ["expression", photo, "--prototypes", "expression.csv"], "add --preset thesis"),
        (2, ["expression", photo, "--vectors", "v"], "add --preset thesis"),
        (2, ["expression", photo, *thesis, "--arkit", "a.csv"], "leave it out"),
        (2, [*labelled, *thesis], "name one (--encoder)"),
        (
            2,
            [*labelled, *thesis, "--encoder", "e", "--recogniser", "r"],
            "leave it",
        ),
        (4, [*labelled, "--encoder", str(encoder)], "is of the preset thesis"),
        (4, ["reconstruct", photo, "--encoder", str(encoder)], "is of the preset thesis"),
        (4, [*labelled, *thesis, "--encoder", photo], "no encoder of mien's"),
        (4, ["expression", photo, *thesis], "needs an encoder"),
        (4, ["expression", photo, *thesis, "--encoder", photo], "no encoder of mien's"),
        (4, ["expression", photo, *thesis, "--prototypes", "lost.csv"], "lost.csv: cannot be read"),
    ]:
        assert main(arguments) == status
        err = capsys.readouterr().err
        assert said in err and len(err.splitlines()) == 1, err
    assert not any(tmp_path.iterdir())
