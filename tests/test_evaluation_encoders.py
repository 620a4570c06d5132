"""Encoders and bootstrapping stages side by side."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation_sets import draw, random_code
from mien.cli import main
from mien.errors import BadTraining, NoFace, UnreadableInput
from mien.evaluation.encoders import LoadedEncoder, vertex_distances
from mien.evaluation.one_face import through_networks
from mien.evaluation.stages import Stages, networks_of
from mien.morphable import load_model
from mien.synthesis import BLOCK, Recipe
from mien.training.config import TrainingConfig
from mien.training.losses import region_weights
from mien.training.train import train
from training_stub import BACKBONE

STAGES = [{"nme478": 0.02, "rmse": 0.1}, {"nme478": 0.015, "rmse": 0.11}]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of one step."""
    folder = tmp_path_factory.mktemp("run")
    config = TrainingConfig(
        folder=folder,
        recipe=Recipe(size=48),
        backbone=BACKBONE,
        pictures=BLOCK,
        validation_blocks=1,
        workers=0,
        initial=None,
    )
    assert train(config).finished
    return folder


def stages_in(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    contents = {"about": "x", "stages": STAGES, "held_out": 4, "photographs": 20}
    (folder / "bootstrap.json").write_text(json.dumps(contents))
    return folder


def test_distances_of_heads_are_in_millimetres():
    model = load_model()
    code = random_code(model, 0, 48)
    batch = type(code)(**{n: np.stack([getattr(code, n)] * 2) for n in code.layout.shapes}, model=code.model)
    assert set(vertex_distances(model, batch, batch).values()) == {0.0}
    moved = batch.identity.copy()
    moved[1, 2] += 1.0
    apart = vertex_distances(model, batch.with_(identity=moved), batch)
    lengths = np.linalg.norm(model.identity_components[2], axis=1)
    assert apart["vertex_mm"] == apart["identity_mm"] == pytest.approx(lengths @ region_weights(model) / 2)
    assert apart["expression_mm"] == 0.0


def test_encoders_are_measured_and_named(run, tmp_path, capsys):
    encoder = LoadedEncoder.of(run)
    names = ("run", "twin/run")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(run)
    runs = [str(tmp_path / name) for name in names]
    out = tmp_path / "out"
    assert main(["evaluate", "encoders", *runs, "--pictures", "16", "-o", str(out)]) == 0
    scores = json.loads((out / "encoders.json").read_text())["encoders"]
    one, other = scores.values()
    assert set(scores) == set(runs)
    assert one["parameters"] == sum(p.numel() for p in encoder.network.parameters())
    assert {**one, "ms": 0} == {**other, "ms": 0}
    assert 0.3 < one["vertex_mm"] < 12 and one["ms"] > 0 and one["rmse"] is None
    assert "Traceback" not in capsys.readouterr().err and not (out / "encoders.png").exists()


def test_what_is_no_encoder_costs_a_line(run, tmp_path, capsys):
    assert main(["evaluate", "encoders", str(run), str(tmp_path / "none")]) == 4
    assert main(["evaluate", "encoders", str(run), "--pictures", "0"]) == 2
    assert main(["evaluate", "encoders"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and "no training run's settings" in lines[0]


def test_one_face_goes_through_all_networks(run, tmp_path):
    model = load_model()
    (tmp_path / "b.png").write_text("no picture")
    draw(model, random_code(model, 1, 200), 200, tmp_path / "a.png")
    encoder = LoadedEncoder.of(run)
    encoders = {"one": encoder, "two": encoder}
    figure = through_networks([tmp_path / "b.png", tmp_path / "a.png"], encoders)
    (tmp_path / "figure.png").write_bytes(figure)
    with Image.open(tmp_path / "figure.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert 2 < pixels.shape[1] / pixels.shape[0] < 3.2
    with pytest.raises(NoFace, match="in none of 1 photographs"):
        through_networks([tmp_path / "b.png"], encoders)


def test_stages_are_shown(tmp_path, capsys):
    folder = stages_in(tmp_path / "run")
    out = tmp_path / "out"
    assert main(["evaluate", "bootstrap", str(folder), "-o", str(out)]) == 0
    assert "-25.0%" in capsys.readouterr().out
    assert json.loads((out / "bootstrap.json").read_text())["stages"] == STAGES
    assert (out / "bootstrap.png").read_bytes()[:4] == b"\x89PNG"
    assert Stages.read(out) == Stages.read(folder)  # a result is as good as the run's own table


def test_the_networks_of_stages_begin_with_the_start(run, tmp_path):
    folder = stages_in(tmp_path / "run")
    for number, before in ((1, run), (2, folder / "round1")):
        (folder / f"round{number}").mkdir()
        config = json.loads((run / "config.json").read_text()) | {"initial": str(before)}
        (folder / f"round{number}" / "config.json").write_text(json.dumps(config))
    assert networks_of(folder, 2) == [run, folder / "round1", folder / "round2"]


def test_unfinished_bootstrapping_costs_a_line(tmp_path, capsys):
    assert main(["evaluate", "bootstrap", str(tmp_path)]) == 4
    assert "bootstrap.json: cannot be read" in capsys.readouterr().err
    assert main(["evaluate", "bootstrap", str(tmp_path), "--photos", str(tmp_path)]) == 2
    assert "say where (-o DIR)" in capsys.readouterr().err
    for text in ("{", "[]", '{"stages": [{}]}', '{"stages": [], "held_out": 1, "photographs": 2}'):
        (tmp_path / "bootstrap.json").write_text(text)
        with pytest.raises(UnreadableInput, match=r"bootstrap\.json: damaged"):
            Stages.read(tmp_path)
    with pytest.raises(BadTraining, match="no training run"):
        networks_of(stages_in(tmp_path), 1)
