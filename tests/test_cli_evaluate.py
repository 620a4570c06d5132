"""`mien evaluate`: results in full on good input, one line and the exit status on bad input."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from evaluation_sets import draw, points68, pts_text, random_code, write_now
from mien.cli import main
from mien.cli.evaluate.measured import evenly, read_each
from mien.errors import NoFace
from mien.image import save_png
from mien.morphable import load_model

SIZE = 300


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.fixture(scope="module")
def published(model, tmp_path_factory):
    """Two subjects in NoW's layout."""
    home = tmp_path_factory.mktemp("now")
    codes = {
        f"S{k}": random_code(model, seed, SIZE, yaw) for k, (seed, yaw) in enumerate([(0, 0.2), (1, -0.3)])
    }
    write_now(home, model, codes, SIZE)
    return home


@pytest.fixture
def home(published, tmp_path, monkeypatch):
    """A copy to spoil, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(published, "now")
    return Path("now")


def run(capsys, *arguments: str) -> tuple[int, str, list[str]]:
    """Exit status, standard output, and lines on standard error."""
    status = main(["evaluate", *arguments])
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    return status, output.out, output.err.splitlines()


def blank(path: str) -> None:
    """A picture without a face."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    save_png(path, np.full((64, 64, 3), 0.5, np.float32))


def test_help_teaches_the_measurement_that_is_asked_for(capsys):
    for arguments, shown, hidden in (
        (["--help"], "mien evaluate encoders run", "scans_lmks_onlypp"),
        (["geometry", "--help"], "scans_lmks_onlypp", "AFLW2000"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", *arguments])
        out = capsys.readouterr().out
        assert ended.value.code == 0 and shown in out and hidden not in out


def test_some_are_chosen_evenly():
    assert evenly(range(10), 5) == [0, 2, 4, 6, 8] and evenly("abc", 9) == ["a", "b", "c"]
    assert evenly(range(7), None) == list(range(7)) and len(evenly(range(1000), 333)) == 333


def test_failures_cost_a_line_each_and_the_worst_status(capsys):
    def action(number):
        if number == 2:
            raise NoFace("two: no face")
        return 10 * number

    done, status = read_each([1, 2, 3], lambda n: Path(str(n)), action)
    assert (done, status) == ([(1, 10), (3, 30)], 3)
    assert capsys.readouterr().err == "two: no face\n"


def test_geometry_on_scans_reads_shape_from_pictures(home, capsys):
    status, out, err = run(capsys, "geometry", "now", "-o", "out")
    assert (status, err) == (0, [])
    assert {file.name for file in Path("out").iterdir()} == {"geometry.md", "geometry.json", "geometry.png"}
    result = json.loads(Path("out/geometry.json").read_text())
    names = ["mean face", "mien"]
    sets = ["", ", multiview_neutral", ", selfie"]
    assert [row[0] for row in result["table"]["rows"]] == [name + end for end in sets for name in names]
    assert [result["mien" + end]["heads"] for end in sets] == [4, 2, 2]
    for kind in ("scaled", "unscaled"):
        assert 0.1 < result["mien"][kind]["median"] < result["mean face"][kind]["median"]
    assert result["mien"]["depth"] is None and "mien, selfie" in out


def test_geometry_goes_on_without_what_is_broken(home, capsys):
    next((home / "scans" / "S0").glob("*.obj")).write_text("v 1 2")
    blank("now/NoW_Dataset/final_release_version/iphone_pictures/S1/selfie/IMG_1.png")
    status, out, err = run(capsys, "geometry", "now", "--no-refine", "--model", "anny")
    assert status == 4 and [line.split(":")[0].split("/")[-1] for line in err] == [
        "natural_head_rotation.000001.obj",
        "IMG_1.png",
    ]
    assert "mean face" in out and "selfie" not in out and "network alone" in out


def test_geometry_asks_for_one_kind_of_truth(home, capsys):
    assert run(capsys, "geometry")[0] == 2
    assert run(capsys, "geometry", "now", "--ict", "x.tar.xz")[0] == 2
    assert run(capsys, "geometry", "--ict", "x.tar.xz", "--limit", "1")[0] == 2
    assert run(capsys, "geometry", "now", "--limit", "0")[0] == 2
    for arguments, why in (
        (["--ict", "none.tar.xz"], "none.tar.xz: cannot be read"),
        (["none"], "none: has no iphone_pictures"),
        (["now", "--model", "annie"], "did you mean anny"),
        (["now", "-o", "now/imagepathsvalidation.txt"], "is a file, not a folder"),
    ):
        status, out, err = run(capsys, "geometry", *arguments)
        assert (status, out, len(err)) == (4, "", 1) and why in err[0]


def test_geometry_on_drawn_heads(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    archive = str(photos / "ict-facekit.tar.xz")
    status, _, err = run(capsys, "geometry", "--ict", archive, "--limit", "2", "-o", str(tmp_path / "out"))
    assert (status, err) == (0, [])
    result = json.loads((tmp_path / "out" / "geometry_ict.json").read_text())
    assert result["mien, posed"]["heads"] == result["our mean face, neutral"]["heads"] == 1
    assert 0.2 < result["mien, neutral"]["scaled"]["median"] < 4 and result["mien, posed"]["depth"] > 0


def test_landmarks_of_a_folder(model, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, yaw in (("a", 0.1), ("b", 0.7)):
        code = random_code(model, 5, SIZE, yaw)
        draw(model, code, SIZE, Path(f"set/deep/{name}.png"))
        Path(f"set/deep/{name}.pts").write_text(pts_text(points68(model, code, SIZE)))
    blank("set/c.png")
    shutil.copy("set/deep/a.pts", "set/c.pts")
    Path("set/d.pts").write_text("{")
    status, out, err = run(capsys, "landmarks", "set", "-o", "out")
    assert status == 4 and [line.split(":")[0] for line in err] == ["set/d.pts", "set/c.png"]
    assert {file.name for file in Path("out").iterdir()} == {
        "landmarks.md",
        "landmarks.json",
        "landmarks.png",
    }
    result = json.loads(Path("out/landmarks.json").read_text())
    assert (result["faces"], result["missed"]) == (3, 1)
    assert result["yaw_degrees"] == pytest.approx([np.degrees(0.1), np.degrees(0.7)], abs=8)
    read = result["mien"]["inter-ocular"]
    assert max(read["errors"]) < 0.12 and read["failures"][1] >= 1 / 3
    status, out, err = run(capsys, "landmarks", "set/c.png")
    assert (status, out, len(err)) == (4, "", 1) and "is no folder" in err[0]


def test_consistency_of_people(model, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for person, seed in (("ann", 6), ("bo", 7), ("cy", 8)):
        for number, yaw in enumerate((-0.1, 0.2)):
            draw(model, random_code(model, seed, SIZE, yaw), SIZE, Path(f"people/{person}/{number}.png"))
    status, out, err = run(capsys, "consistency", "people", "--limit", "2", "--no-refine", "-o", "out")
    assert (status, err) == (0, []) and "4 photographs of 2 people" in out
    result = json.loads(Path("out/consistency.json").read_text())
    assert (result["cosine"]["same"], result["cosine"]["different"]) == (2, 4)
    assert result["euclidean"]["auc"] == 1.0  # other poses of one shape against another shape
    for person in ("ann", "bo"):
        blank(f"people/{person}/0.png")
    status, out, err = run(capsys, "consistency", "people", "--limit", "2", "--no-refine")
    assert (status, out, len(err)) == (3, "", 3) and "take more people" in err[-1]
    status, out, err = run(capsys, "consistency", "people/ann")
    assert (status, out, len(err)) == (4, "", 1) and "Some_Name_0001.jpg" in err[0]


def test_a_report_of_all_results(home, capsys):
    Path("results").mkdir()
    status, out, err = run(capsys, "report", "results")
    assert (status, out, len(err)) == (4, "", 1) and "holds no results" in err[0]
    run(capsys, "geometry", "now", "--limit", "1", "--no-refine", "-o", "results/scans")
    status, out, err = run(capsys, "report", "results")
    assert (status, out, err) == (0, "results/report.md\n", [])
    page = Path("results/report.md").read_text()
    assert "## scans/geometry" in page and "![scans/geometry](scans/geometry.png)" in page
    assert run(capsys, "report", "results", "-o", "page.md")[0] == 0
    assert "(results/scans/geometry.png)" in Path("page.md").read_text()
    assert run(capsys, "report", "results", "-o", "none/page.md")[0] == 4
    assert run(capsys, "rest", "results", "-o", "x")[0] == 4
