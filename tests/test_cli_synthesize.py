"""`mien synthesize`: what it asks for, what it says, and how it ends."""

import os

import pytest

import mien.synthesis.corpus_writer as writer
from mien.cli import main
from mien.errors import CannotWrite
from mien.synthesis import Recipe
from mien.synthesis.corpus import open_corpus
from tiny_face import tiny_face


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    status = main(["synthesize", *arguments])
    output = capsys.readouterr()
    return status, output.out, output.err


@pytest.fixture
def asked(monkeypatch) -> list:
    """What the command asks of the writer, which makes nothing; 60 pictures were there before."""
    calls = []

    def synthesize(folder, count, recipe, seed, *, advance, **settings):
        calls.append((folder, count, recipe, seed, settings))
        advance(60)
        advance(count)

    monkeypatch.setattr(writer, "synthesize", synthesize)
    return calls


def test_it_makes_a_corpus_of_the_packaged_model(tmp_path, capsys):
    folder = tmp_path / "new" / "corpus"
    status, out, err = run(capsys, str(folder), "-n", "3", "--size", "32", "--jobs", "1", "--format", "jpg")
    assert (status, err) == (0, "")
    assert f"3 pictures in {folder}, 3 of them new" in out
    corpus = open_corpus(folder)
    assert len(corpus) == 3 and corpus.settings.format == "jpg" and corpus[0].images.shape == (32, 32, 3)
    assert len(os.listdir(folder / "000000")) == 3
    status, _, err = run(capsys, str(folder), "-n", "3", "--size", "48", "--format", "jpg")
    assert status == 4 and len(err.splitlines()) == 1 and "48" in err


def test_options_reach_the_writer(asked, tmp_path, capsys):
    arguments = ["-n", "100", "--seed", "7", "--size", "224", "--detected", "0.5", "--jobs", "3"]
    status, out, _ = run(capsys, str(tmp_path), *arguments)
    assert status == 0 and "100 pictures" in out and "40 of them new" in out
    (folder, count, recipe, seed, settings) = asked[0]
    assert (folder, count, recipe, seed) == (tmp_path, 100, Recipe(size=224, detected=0.5), 7)
    assert settings["jobs"] == 3 and settings["format"] == "png"
    assert settings["load"]().id.startswith("anny/")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-n", "0"], "-n is 0"),
        (["-n", "9", "--seed", "-1"], "--seed is -1"),
        (["-n", "9", "--size", "8"], "--size is 8"),
        (["-n", "9", "--size", "99999"], "32 to 1024"),
        (["-n", "9", "--jobs", "0"], "--jobs is 0"),
        (["-n", "9", "--detected", "1.5"], "--detected is 1.5, must be 0 to 1"),
        (["-n", "9", "--edited", "portraits", "--preset", "thesis"], "--detected and --edited are for"),
        (["-n", "9", "--model", "nobody"], "no model nobody"),
    ],
)
def test_wrong_usage_is_one_line(asked, tmp_path, capsys, arguments, message):
    status, out, err = run(capsys, str(tmp_path / "c"), *arguments)
    assert (status, out) == (2, "") and message in err and len(err.splitlines()) == 1
    assert not asked and not os.listdir(tmp_path)


def test_without_a_number_it_is_wrong_usage(tmp_path):
    for arguments in ([str(tmp_path)], ["-n", "5"]):
        with pytest.raises(SystemExit) as ended:
            main(["synthesize", *arguments])
        assert ended.value.code == 2


def test_a_full_disk_is_one_line(tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise CannotWrite("corpus: no room")

    monkeypatch.setattr(writer, "synthesize", full)
    assert run(capsys, str(tmp_path), "-n", "9") == (4, "", "corpus: no room\n")


def test_interrupted_it_says_how_far_it_came(tmp_path, monkeypatch, capsys):
    def interrupted(*_, advance, **__):
        advance(128)
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "synthesize", interrupted)
    status, _, err = run(capsys, str(tmp_path), "-n", "1000")
    assert status == 130 and "128 of 1,000" in err and len(err.splitlines()) == 1


def test_a_folder_that_is_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("mien.morphable.load_model", lambda name: tiny_face())
    (tmp_path / "f").touch()
    status, _, err = run(capsys, str(tmp_path / "f"), "-n", "9")
    assert status == 4 and "cannot be used" in err and len(err.splitlines()) == 1


def test_help_teaches_by_example(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["synthesize", "--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    for words in ("mien synthesize faces -n 1000", "-n", "--seed", "--jobs", "--format", "Exit status"):
        assert words in text
