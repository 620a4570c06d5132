"""`mien models add` on a small file: landmarks, expressions, the data folder, and `mien convert`."""

import json
from pathlib import Path

import numpy as np
import pytest

from mien import edit
from mien.adoption.adopt import adopt
from mien.cli import main
from mien.conversion import convert
from mien.detect import Detector
from mien.evaluation.ict import LANDMARKS68
from mien.expressions.prototypes import EXPRESSIONS
from mien.facecode import FaceCode
from mien.facefile import Face, load_face, save_face
from mien.model_files.formats import FORMATS
from mien.model_files.store import added_names, data_folder
from mien.morphable import MorphableModel, load_model
from mien.surface import similarity
from published_files import face, write_bfm_h5


@pytest.fixture(scope="module")
def added(tmp_path_factory) -> MorphableModel:
    """A Basel model's file of the default model's own face, added as `small` to a data folder of its own."""
    home = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(home))
        file = write_bfm_h5(home / "model2017-1_bfm_nomouth.h5", face(60, 52, 20))
        assert main(["models", "add", "bfm2017", str(file), "--name", "small"]) == 0
        assert added_names() == ["small"]
        yield load_model("small")


def test_its_landmarks_are_the_default_models(added):
    default = load_model()
    for name in ("landmarks478", "landmarks68"):
        inner = np.setdiff1d(np.arange(len(getattr(default, name).vertices)), getattr(default, name).contour)
        own = getattr(added, name)(added.identity_mean)[inner]  # the cut face may end before the contour
        there = getattr(default, name)(default.identity_mean)[inner]
        scale, rotation, shift = similarity(own, there)  # it was laid on the default model by detected points
        apart = np.linalg.norm(scale * own @ rotation.T + shift - there, axis=1)
        assert np.median(apart) < 1.5 and np.quantile(apart, 0.95) < 4.0


def test_each_place_is_found_where_it_was_cut_from(added):
    default, on = load_model(), added.correspondence
    trusted = np.asarray(on.weight) > 0.05
    assert trusted.sum() > 1900
    own = on(added.identity_mean.astype(np.float64))[trusted]
    there = default.identity_mean.astype(np.float64)[trusted]
    scale, rotation, shift = similarity(own, there)
    apart = np.linalg.norm(scale * own @ rotation.T + shift - there, axis=1)
    assert np.median(apart) < 0.8 and np.quantile(apart, 0.99) < 2.5


def test_its_expressions_do_what_arkit_says(added):
    default = load_model()
    on = added.correspondence
    trusted = np.asarray(on.weight) > 0.5
    assert trusted.sum() > 1500
    made = np.tensordot(on.from_arkit.T, on(added.expression_components), 1)[:, trusted]
    wanted = default.expression_components[:, trusted]
    missed, size = (np.sqrt((d**2).sum(axis=(1, 2))) for d in (made - wanted, wanted))
    assert np.sqrt((missed**2).sum() / (size**2).sum()) < 0.06


def test_info_and_list_tell_of_it(added, capsys):
    assert main(["models", "info", "small"]) == 0
    told = capsys.readouterr().out
    assert "Basel Face Model 2017" in told and "non-commercial" in told
    assert main(["models", "list"]) == 0
    assert "small" in capsys.readouterr().out


def test_name_that_is_taken(added, tmp_path, capsys):
    for name in ("small", "anny"):
        assert main(["models", "add", "bfm2017", str(tmp_path), "--name", name]) == 4
        assert name in capsys.readouterr().err
    assert main(["models", "add", "bfm2017", str(tmp_path), "--name", "../evil"]) == 4
    assert main(["models", "add", "bfm2016", str(tmp_path)]) == 2
    assert "did you mean bfm201" in capsys.readouterr().err


def test_what_is_no_face_leaves_nothing(added, tmp_path, capsys):
    small = face(60, 52, 20)
    turned = type(small)(**{**vars(small), "mean": small.mean[:, [0, 2, 1]]})
    file = write_bfm_h5(tmp_path / "model2017-1_bfm_nomouth.h5", turned)
    assert main(["models", "add", "bfm2017", str(file), "--name", "turned"]) == 4
    assert "turned" in capsys.readouterr().err
    assert sorted(path.name for path in data_folder().iterdir()) == ["small.safetensors"]


def random_code(model: MorphableModel, seed: int = 0) -> FaceCode:
    """A person of the default model who does something, turned a little."""
    rng = np.random.default_rng(seed)
    return FaceCode(
        identity=rng.normal(size=100),
        expression=0.5 * (rng.random(52) < 0.1),
        albedo=rng.normal(size=60),
        rotation=np.array([0.0, 0.3, 0.0]),
        translation=np.array([0.0, 0.0, 700.0]),
        illumination=np.eye(9, 3),
        focal_px=np.float64(600.0),
        model=model.id,
    )


def test_convert_command(added, tmp_path, capsys):
    before = Face(
        random_code(load_model()),
        np.array([50.0, 50.0]),
        (100, 100),
        "a.jpg",
        np.array([1.0, 2, 90, 95]),
        np.zeros((68, 2)),
    )
    save_face(before, tmp_path / "a.face.json")
    assert main(["convert", str(tmp_path / "a.face.json"), "--model", "small"]) == 0
    said = capsys.readouterr()
    assert "median" in said.err and " mm" in said.err
    after = load_face(Path(said.out.strip()), added)
    assert after.code.model == "small/1" and after.source_file == "a.jpg"
    assert float(said.err.split("median ")[1].split(" mm")[0]) < 1.0


def saved(folder: Path, code: FaceCode, name: str) -> str:
    face = Face(code, np.array([50.0, 50.0]), (100, 100), "", np.array([1.0, 2, 90, 95]), np.zeros((68, 2)))
    save_face(face, folder / name)
    return str(folder / name)


def movement(model: MorphableModel, code: FaceCode) -> np.ndarray:
    """(N, 3) mm from rest, at the default model's vertices."""
    moved = np.tensordot(np.asarray(code.expression, np.float32), model.expression_components, 1)
    return moved if model.correspondence is None else model.correspondence(moved)


def alike(first: np.ndarray, second: np.ndarray) -> float:
    """Share of the first movement that the second misses, root of mean square."""
    return float(np.sqrt(((first - second) ** 2).sum() / (first**2).sum()))


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_by_name_moves_the_other_model_as_the_default_one(added, name):
    default, trusted = load_model(), np.asarray(added.correspondence.weight) > 0.5
    code = random_code(default)
    there = edit.with_expression(added, convert(code, default, added).code, {name: 0.7})
    here = edit.with_expression(default, code.with_(expression=np.zeros(52)), {name: 0.7})
    wanted = movement(default, here)[trusted]
    if not wanted.any():
        assert not there.expression.any()
    else:
        assert alike(wanted, movement(added, there)[trusted]) < 0.15


def test_expressions_are_read_edited_and_transferred_in_any_model(added, tmp_path, capsys):
    default, trusted = load_model(), np.asarray(added.correspondence.weight) > 0.5
    happy = random_code(default, 1).with_(expression=np.zeros(52))
    happy = edit.with_expression(default, happy, {"happiness": 0.9})
    there = convert(happy, default, added).code
    files = saved(tmp_path, happy, "here.face.json"), saved(tmp_path, there, "there.face.json")
    assert main(["expression", *files, "--format", "json", "--blendshapes"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["label"] for row in rows] == ["happiness", "happiness"]
    assert abs(rows[0]["mouthSmileLeft"] - rows[1]["mouthSmileLeft"]) < 0.15

    out = tmp_path / "angry.face.json"
    assert main(["edit", files[1], "--expression", "anger=1", "-o", str(out)]) == 0
    assert load_face(out, added).code.model == "small/1"

    calm = random_code(default, 2).with_(expression=np.zeros(52))
    for target, model in ((calm, default), (convert(calm, default, added).code, added)):
        target = saved(tmp_path, target, "calm.face.json")
        for source in files:
            assert main(["transfer", source, target, "-o", str(out)]) == 0
            given = movement(model, load_face(out, model).code)[trusted]
            assert alike(movement(default, happy)[trusted], given) < 0.25
    assert main(["edit", files[1], "--model", "smal", "--neutral", "-o", str(out)]) == 2
    assert "did you mean small?" in capsys.readouterr().err


def test_convert_of_what_is_no_face(added, tmp_path, capsys):
    file = tmp_path / "b.face.json"
    for content in ("", "[]", json.dumps({"schema": "mien.face/1", "model": "lost/1"})):
        file.write_text(content)
        assert main(["convert", str(file), "--model", "small"]) == 4
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert main(["convert", str(file), "--model", "smal"]) == 2
    assert "did you mean small?" in capsys.readouterr().err


@pytest.fixture(scope="module")
def ict(photos) -> MorphableModel:
    """ICT-FaceKit as published, adopted."""
    archive = photos / "ict-facekit.tar.xz"
    if not archive.is_file():
        pytest.skip("ICT-FaceKit is not on this machine")
    with Detector() as detector:
        adopted = adopt(FORMATS["ict"].read(archive), "ict", load_model(), detector)
    assert adopted.surface_mm < 0.2 and adopted.expression_mm < 0.1 * adopted.arkit_mm
    return adopted.model


def test_ict_s_landmarks_are_those_of_its_makers(ict):
    corners = [27, 30, 33, 36, 39, 42, 45, 48, 51, 54, 57]  # where to mark brows and jaw is custom
    apart = ict.landmarks68(ict.identity_mean) - ict.identity_mean[LANDMARKS68]
    assert np.linalg.norm(apart, axis=1)[corners].max() < 4.0


def test_to_ict_and_back(ict):
    default = load_model()
    for seed in range(3):
        before = random_code(default, seed)
        there = convert(before, default, ict)
        back = convert(there.code, ict, default)
        assert np.median(there.distance_mm) < 1.5 and np.quantile(there.distance_mm, 0.95) < 3.5
        assert np.sqrt((there.code.identity**2).mean()) < 1.5
        assert np.median(back.distance_mm) < 0.9
        trusted = ict.correspondence.weight > 0.5
        vertices = (default.vertices(code.identity, code.expression) for code in (before, back.code))
        apart = np.linalg.norm(np.subtract(*vertices), axis=1)[trusted]
        assert np.median(apart) < 1.5
        assert np.abs(back.code.expression - before.expression).mean() < 0.03
