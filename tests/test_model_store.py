"""The data folder of added models: whole or not there, whatever is killed, damaged or in the way."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien import assets
from mien.cli import main
from mien.errors import BadAsset
from mien.model_files.packaged import write_model_file
from mien.model_files.store import added_file, added_names, data_folder, read_named
from mien.morphable import Correspondence
from published_files import face, write_bfm_h5
from tiny_face import tiny_face

KILLED = """
import os, signal, sys
from mien.cli import main
os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
main(["models", "add", "bfm2017", sys.argv[1], "--name", "small"])
"""


@pytest.fixture
def store(tmp_path, monkeypatch) -> Path:
    """An empty data folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    data_folder().mkdir(parents=True)
    return data_folder()


def test_killed_before_its_file_has_its_name(store, tmp_path):
    file = write_bfm_h5(tmp_path / "model2017-1_bfm_nomouth.h5", face(60, 52, 20))
    done = subprocess.run([sys.executable, "-c", KILLED, str(file)], capture_output=True, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    assert len(list(store.iterdir())) == 1 and added_names() == []
    assert main(["models", "add", "bfm2017", str(file), "--name", "small"]) == 0
    assert added_names() == ["small"] and read_named("small").name == "small"
    before = added_file("small").read_bytes()

    file.write_bytes(file.read_bytes()[:100_000])
    assert main(["models", "add", "bfm2017", str(file), "--name", "small", "--overwrite"]) == 4
    assert added_file("small").read_bytes() == before


def foreign(file: Path) -> None:
    shutil.copy(assets.path("anny.safetensors"), file)


def damaged(file: Path) -> None:
    foreign(file)
    file.write_bytes(file.read_bytes()[:-5])


def renamed(file: Path) -> None:
    place = np.zeros((1, 3), np.int32)
    correspondence = Correspondence(place, np.eye(1, 3), np.ones(1), np.zeros((52, 52)))
    model = replace(tiny_face(), correspondence=correspondence)
    write_model_file(model, file, {"licence": "mine", "title": "tiny", "source": "here"})


@pytest.mark.parametrize("make", [foreign, damaged, renamed, Path.touch])
def test_what_is_no_added_model_costs_one_line(make, store, capsys):
    make(added_file("odd"))
    with pytest.raises(BadAsset, match="odd"):
        read_named("odd")
    assert main(["models", "list"]) == 4
    said = capsys.readouterr()
    assert "anny" in said.out and "surrey" in said.out and len(said.err.splitlines()) == 1
    assert main(["models", "info", "odd"]) == 4
    assert "odd.safetensors" in capsys.readouterr().err
