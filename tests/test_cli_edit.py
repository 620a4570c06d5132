"""`mien edit` and `mien transfer` on good and bad input: results, exit status, one line an error."""

import json
from pathlib import Path

import numpy as np
import pytest

from mien.cli import main
from mien.image import load_image
from test_cli import folder, photo  # noqa: F401 (a fixture)

pytestmark = pytest.mark.usefixtures("folder")


def run(capsys, *arguments: str) -> tuple[int, list[str], list[str]]:
    status = main(list(arguments))
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    return status, output.out.splitlines(), output.err.splitlines()


def code_in(path: str) -> dict:
    return json.loads(Path(path).read_text())["code"]


def test_results_by_suffix(capsys):
    photo("a.png")
    results = ["out/a.png", "out/a.jpg", "out/a.glb", "out/a.face.json"]
    status, out, err = run(capsys, "edit", "a.png", "--blendshape", "jawOpen=0.7", "-o", *results)
    assert (status, err) == (0, [])
    assert out == results
    assert load_image("out/a.png").shape == load_image("out/a.jpg").shape == load_image("a.png").shape
    assert Path("out/a.glb").read_bytes()[:4] == b"glTF"
    assert 0.7 in code_in("out/a.face.json")["expression"]


def test_an_edited_code_names_no_photograph_because_none_shows_it(capsys):
    photo("a.png")
    assert run(capsys, "edit", "a.png", "--neutral", "-o", "a.face.json")[0] == 0
    assert json.loads(Path("a.face.json").read_text())["source"]["file"] == ""
    status, _, err = run(capsys, "edit", "a.face.json", "--rotate", "5", "0", "0", "-o", "b.png")
    assert status == 4 and len(err) == 1 and "photo is not here" in err[0] and "--alone" in err[0]
    assert run(capsys, "edit", "a.face.json", "--alone", "-o", "b.png", "b.jpg")[0] == 0


def test_alone_is_transparent_around_the_head(capsys):
    from PIL import Image

    photo("a.png")
    assert run(capsys, "edit", "a.png", "--light", "left", "--alone", "-o", "b.png", "b.jpg")[0] == 0
    opacity = np.asarray(Image.open("b.png"))[..., 3]
    assert opacity.min() == 0 and opacity.max() == 255
    assert Image.open("b.jpg").mode == "RGB"


def test_edits_add_up(capsys):
    photo("a.png")
    photo("other.png", faces=2)
    edits = "--expression happiness=0.5 --blendshape jawOpen=0.9 --identity 1.5 --mix other.png=0.5"
    edits += " --light other.png --softness 0.5 --rotate 10 0 0"
    assert run(capsys, "edit", "a.png", *edits.split(), "-o", "b.face.json")[0] == 0
    run(capsys, "edit", "a.png", "-o", "a.face.json")
    before, after = code_in("a.face.json"), code_in("b.face.json")
    assert {part for part in before if before[part] != after[part]} >= {
        "identity", "expression", "rotation", "translation", "illumination",
    }  # fmt: skip
    assert before["albedo"] == after["albedo"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("--expression hapiness=1", 2, "did you mean happiness"),
        ("--expression happiness", 2, "must be NAME=NUMBER"),
        ("--expression happiness=nan", 2, "must be NAME=NUMBER"),
        ("--expression happiness=1.5", 2, "--exaggerate"),
        ("--blendshape jawOpn=1", 2, "did you mean jawOpen"),
        ("--blendshape jawOpen=-1", 2, "[0, 1]; --exaggerate"),
        ("--albedo tune=1", 2, "did you mean tone"),
        ("--light lft", 2, "did you mean left"),
        ("--light missing.jpg", 4, "missing.jpg: no such file"),
        ("--light none.png", 3, "none.png: no face found"),
        ("--mix other.png", 2, "FACE=SHARE"),
        ("--rotate nan 0 0", 2, "finite"),
        ("--mix missing.png=0.5", 4, "missing.png: no such file"),
        ("--neutral -o b.tiff", 2, ".png, .jpg"),
        ("--sheet -o b.glb", 2, "--sheet makes a picture"),
    ],
)
def test_wrong_usage_writes_nothing(capsys, arguments, status, message):
    photo("a.png")
    photo("none.png", faces=0)
    out = [] if "-o" in arguments else ["-o", "b.png"]
    found, lines, err = run(capsys, "edit", "a.png", *arguments.split(), *out)
    assert (found, lines, len(err)) == (status, [], 1)
    assert message in err[0]
    assert not list(Path().glob("b.*"))


@pytest.mark.parametrize(
    ("face", "status", "message"),
    [
        ("none.png", 3, "no face"),
        ("missing.png", 4, "no such file"),
        ("bad.face.json", 4, "not a JSON"),
    ],
)
def test_face_that_is_none(capsys, face, status, message):
    photo("none.png", faces=0)
    Path("bad.face.json").write_text("{")
    found, _, err = run(capsys, "edit", face, "--neutral", "-o", "b.png")
    assert found == status and len(err) == 1 and message in err[0]


def test_a_code_of_another_model_is_refused(capsys):
    photo("a.png")
    run(capsys, "edit", "a.png", "-o", "a.face.json")
    Path("b.face.json").write_text(Path("a.face.json").read_text().replace("tiny/1", "flame/1"))
    status, _, err = run(capsys, "transfer", "b.face.json", "a.png", "-o", "c.png")
    assert status == 4 and len(err) == 1 and "flame/1" in err[0]


def test_transfer_takes_the_expression_and_leaves_the_person(capsys):
    photo("source.png", faces=2)
    photo("target.png")
    run(capsys, "edit", "source.png", "--expression", "surprise=1", "-o", "source.face.json")
    run(capsys, "edit", "target.png", "-o", "target.face.json")
    status, out, _ = run(capsys, "transfer", "source.face.json", "target.png", "-o", "r.png", "r.face.json")
    assert status == 0 and out == ["r.png", "r.face.json"]
    source, target, result = (code_in(f"{n}.face.json") for n in ("source", "target", "r"))
    assert result["identity"] == target["identity"] and result["rotation"] == target["rotation"]
    assert sum(a == b for a, b in zip(result["expression"], source["expression"], strict=True)) >= 44


def test_pose_and_light_on_request(capsys):
    photo("source.png", faces=2)
    photo("target.png")
    run(capsys, "edit", "source.png", "--light", "left", "--rotate", "20", "0", "0", "-o", "s.face.json")
    assert (
        run(capsys, "transfer", "s.face.json", "target.png", "--pose", "--light", "-o", "r.face.json")[0] == 0
    )
    source, result = code_in("s.face.json"), code_in("r.face.json")
    assert source["illumination"] == result["illumination"]
    np.testing.assert_allclose(source["rotation"], result["rotation"], atol=1e-9)


def test_a_folder_of_targets_does_what_it_can(capsys):
    photo("people/a.png")
    photo("people/b.png", faces=0)
    Path("people/c.png").write_text("no picture")
    photo("people/d.png")
    photo("source.png")
    status, out, err = run(capsys, "transfer", "source.png", "people", "-o", "out")
    assert status == 4 and len(err) == 2
    assert sorted(out) == ["out/a.png", "out/d.png"]
    assert {p.name for p in Path("out").iterdir()} == {"a.png", "d.png"}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("none.png a.png -o r.png", 3, "none.png: no face"),
        ("a.png empty -o r", 4, "no pictures in this folder"),
        ("a.png a.png b.png -o r.png", 2, "need a folder"),
        ("a.png a.png -o r.bmp", 2, ".png, .jpg"),
        ("a.png a.png b.png -o r --target-neutral b.png", 2, "one target only"),
    ],
)
def test_transfer_refuses_in_one_line(capsys, arguments, status, message):
    photo("a.png")
    photo("b.png")
    photo("none.png", faces=0)
    Path("empty").mkdir()
    found, _, err = run(capsys, "transfer", *arguments.split())
    assert found == status and len(err) == 1 and message in err[0]
