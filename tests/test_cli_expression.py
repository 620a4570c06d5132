"""`mien expression` and `mien evaluate` on good and bad input."""

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

from mien.cli import main
from mien.evaluation.expressions import Confusion
from mien.export.arkit import arkit_csv, eye_angles, head_angles
from mien.expressions.prototypes import EXPRESSIONS, prototypes
from mien.expressions.recognition import Recogniser
from mien.facecode import ARKIT_NAMES
from test_cli import folder, photo  # noqa: F401
from tiny_face import tiny_code, tiny_face


@pytest.fixture
def tiny(folder, monkeypatch) -> Path:  # noqa: F811
    """The tiny model, with a recogniser of its codes that scores by likeness to the prototypes."""
    first = np.vstack([prototypes().T, np.zeros(7)])
    layers = (first, np.zeros(7)), (np.eye(7), np.zeros(7)), (np.eye(7), -0.01 * np.eye(7)[4])
    recogniser = Recogniser("tiny/1", prototypes().astype(float), np.zeros(52), layers)
    monkeypatch.setattr("mien.expressions.recognition.packaged_recogniser", lambda: recogniser)
    monkeypatch.setattr("mien.facefile.load_model", tiny_face)
    monkeypatch.setattr("mien.morphable.load_model", lambda *name: tiny_face())
    return folder


def run(capsys, *arguments: str) -> tuple[int, str, list[str]]:
    """Exit status, standard output, and lines on standard error."""
    status = main(list(arguments))
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    return status, output.out, output.err.splitlines()


def test_one_row_a_face(tiny, capsys):
    status, out, err = run(
        capsys, "expression", photo("a.png", faces=2), photo("b.png"), "--format", "csv", "--blendshapes"
    )
    assert (status, err) == (0, [])
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["file"], row["face"]) for row in rows] == [("a.png", "0"), ("a.png", "1"), ("b.png", "0")]
    head = ["file", "face", "label", "confidence", "intensity", *EXPRESSIONS]
    assert list(rows[0]) == [*head, *ARKIT_NAMES]
    for row in rows:
        assert row["confidence"] == row[row["label"]] == max(row[name] for name in EXPRESSIONS)
        assert 0 <= float(row["intensity"]) <= 5


def test_formats_say_the_same(tiny, capsys):
    photo("a.png")
    _, table, _ = run(capsys, "expression", "a.png")
    _, text, _ = run(capsys, "expression", "a.png", "--format", "json")
    status, nothing, _ = run(capsys, "expression", "a.png", "--format", "json", "-o", "out.json")
    assert (status, nothing) == (0, "") and Path("out.json").read_text() == text
    for name, same in (("by_ending.json", text), ("by_ending.txt", table)):
        run(capsys, "expression", "a.png", "-o", name)
        assert Path(name).read_text() == same
    run(capsys, "expression", "a.png", "--format", "table", "-o", "forced.csv")
    assert Path("forced.csv").read_text() == table
    (row,) = json.loads(text)
    assert table.split("\n")[0].split() == list(row)
    assert table.split("\n")[1].split()[:3] == ["a.png", "0", row["label"]]


def test_codes_and_neutral(tiny, capsys):
    run(capsys, "reconstruct", photo("a.png"), "-o", "out")
    saved = json.loads(Path("out/a.face.json").read_text())["expression"]
    _, text, _ = run(capsys, "expression", "out/a.face.json", "--format", "json")
    (row,) = json.loads(text)
    assert row["label"] == saved["label"] and abs(row["intensity"] - saved["intensity"]) < 1e-3
    for neutral in ("out/a.face.json", "a.png"):
        status, text, _ = run(
            capsys, "expression", "out/a.face.json", "--neutral", neutral, "--format", "json"
        )
        assert status == 0 and json.loads(text)[0]["intensity"] < 1e-3


def test_bad_input_costs_one_line(tiny, capsys):
    photo("a.png"), photo("empty.png", faces=0), os.mkdir("nothing")
    status, out, err = run(
        capsys, "expression", "a.png", "empty.png", "none.jpg", "nothing", "--format", "csv"
    )
    assert status == 4 and len(out.splitlines()) == 2
    assert [line.split(":")[0] for line in err] == ["empty.png", "none.jpg", "nothing"]
    assert run(capsys, "expression", "empty.png")[0] == 3
    status, out, err = run(capsys, "expression", "a.png", "--neutral", "empty.png")
    assert (status, out, len(err)) == (3, "", 1) and "--neutral empty.png: no face" in err[0]
    assert run(capsys, "expression")[0] == 2
    assert run(capsys, "expression", "a.png", "--max-faces", "0")[0] == 2
    status, _, err = run(capsys, "expression", "a.png", "-o", "no/such/folder.csv")
    assert status == 4 and len(err) == 1
    status, _, err = run(capsys, "expression", "a.png", "--recogniser", "a.png")
    assert status == 4 and "is no recogniser" in err[0]


def test_live_link_face_layout(tiny, capsys):
    for command in ("expression", "reconstruct"):
        arguments = [command, photo("a.png", faces=2), "--arkit", f"{command}.csv"]
        assert run(capsys, *arguments)[0] == 0
    assert Path("expression.csv").read_bytes() == Path("reconstruct.csv").read_bytes()
    assert run(capsys, *arguments)[0] == 0  # results are there; the table is written all the same
    assert Path("expression.csv").read_bytes() == Path("reconstruct.csv").read_bytes()
    header, *rows = csv.reader(io.StringIO(Path("expression.csv").read_text()))
    assert header[:4] == ["Timecode", "BlendShapeCount", "EyeBlinkLeft", "EyeLookDownLeft"]
    assert header[16:20] == ["JawForward", "JawRight", "JawLeft", "JawOpen"]
    assert header[-10:-6] == ["TongueOut", "HeadYaw", "HeadPitch", "HeadRoll"]
    assert {name[0].lower() + name[1:] for name in header[2:54]} == set(ARKIT_NAMES)
    assert [row[:2] for row in rows] == [["00:00:00:00.000", "61"], ["00:00:00:01.000", "61"]]
    assert {len(row) for row in rows} == {63}


def test_arkit_values_and_angles():
    code = tiny_code(0).with_(expression=np.arange(52) / 100)
    header, *rows = csv.reader(io.StringIO(arkit_csv([code] * 62).decode()))
    shown = dict(zip(header, rows[-1], strict=True))
    assert shown["Timecode"] == "00:00:01:01.000"
    for name, value in zip(ARKIT_NAMES, code.expression, strict=True):
        assert float(shown[name[0].upper() + name[1:]]) == pytest.approx(value)
    assert head_angles(code.with_(rotation=np.array([0, 0.3, 0]))) == pytest.approx([0.3, 0, 0])
    assert head_angles(code.with_(rotation=np.array([0.2, 0, 0]))) == pytest.approx([0, 0.2, 0])
    to_own_left = {name: 0.0 for name in ARKIT_NAMES} | {"eyeLookOutLeft": 0.5, "eyeLookInRight": 0.5}
    left, _, _, right, _, _ = eye_angles(to_own_left)
    assert left == right > 0


def test_confusion_counts_what_is_not_found_as_wrong():
    confusion = Confusion.of(["fear", "fear", "anger", "anger"], ["fear", None, "anger", "fear"])
    assert confusion.mean_class_accuracy == 0.5
    assert confusion.counts.sum() == 4 and confusion.counts[EXPRESSIONS.index("fear"), -1] == 1
    assert confusion.report("x").data["accuracy"] == {"anger": 0.5, "fear": 0.5}
    figure = confusion.figure()
    assert figure.dtype == np.uint8 and figure.shape[2] == 3 and figure.min() < 50


def test_evaluation_of_a_folder(tiny, capsys):
    photo("set/neutral/01_a.png"), photo("set/fear/01_b.png"), photo("set/fear/02_b.png", faces=0)
    status, _, err = run(capsys, "evaluate", "expression", "set", "-o", "figures")
    assert status == 3 and len(err) == 1
    assert {path.name for path in Path("figures").iterdir()} == {
        "expression.json",
        "expression.md",
        "expression.png",
    }
    counts = json.loads(Path("figures/expression.json").read_text())["counts"]
    assert sum(counts["fear"]) == 2 and counts["fear"][-1] == 1 and sum(counts["neutral"]) == 1
    status, _, _ = run(capsys, "evaluate", "expression", "set", "--own-neutral", "-o", "own")
    counts = json.loads(Path("own/expression.json").read_text())["counts"]
    assert set(counts) == {"fear"} and sum(counts["fear"]) == 1
    assert run(capsys, "evaluate", "rest", "set/neutral", "-o", "figures")[0] == 0
    assert len(json.loads(Path("figures/rest.json").read_text())["mean"]) == 52


def test_evaluation_of_wrong_folders(tiny, capsys):
    photo("set/fear/a.png"), photo("set/angry/a.png")
    status, _, err = run(capsys, "evaluate", "expression", "set")
    assert status == 4 and len(err) == 1 and "perhaps to anger" in err[0]
    for place in ("none", "set/fear"):
        status, out, err = run(capsys, "evaluate", "expression", place)
        assert (status, out, len(err)) == (4, "", 1)


def test_training_from_a_bad_table(tiny, capsys):
    Path("table.csv").write_text("anger,fears\n")
    status, _, err = run(capsys, "train-expression", "--prototypes", "table.csv", "--model", "x/1")
    assert status == 4 and len(err) == 1 and "did you mean fear" in err[0]
    assert run(capsys, "train-expression", "--prototypes", "table.csv")[0] == 2
