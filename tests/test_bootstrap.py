"""Bootstrapping: what is held out, how codes are drawn, and rounds that go on after an interruption."""

import numpy as np
import pytest

from mien.errors import BadTraining
from mien.morphable import load_model
from mien.synthesis import BLOCK, Recipe, generate
from mien.training.bootstrap import FRESH, PhotoCrops, Resampled, bootstrap, crop_faces, judge, read_crops
from mien.training.config import TrainingConfig
from mien.training.export import load_trained
from mien.training.train import train
from training_stub import BACKBONE

SIZE = 48


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.fixture(scope="module")
def crops(model):
    made = generate(model, Recipe(size=SIZE), 77, 0)
    return PhotoCrops(tuple(f"{i}.jpg" for i in range(BLOCK)), made.images, made.landmarks_px)


def config(folder, **settings):
    return TrainingConfig(
        folder=folder,
        recipe=Recipe(size=SIZE),
        backbone=BACKBONE,
        pictures=2 * BLOCK,
        validation_blocks=1,
        workers=0,
        **settings,
    )


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    assert train(config(folder)).finished
    return folder


def test_who_is_held_out_depends_on_the_name_alone():
    names = tuple(f"person {i}.jpg" for i in range(2000))
    held = PhotoCrops(names, np.zeros(2000), np.zeros(2000)).held_out
    reverse = PhotoCrops(names[::-1], np.zeros(2000), np.zeros(2000)).held_out
    assert (held == reverse[::-1]).all()
    assert 0.17 < held.mean() < 0.23


def drawn(model, codes, deviation, block):
    return Resampled(codes, deviation)(model, Recipe(size=SIZE, world=False), 0, block)


def test_codes_are_drawn_around_those_read(model, tmp_path):
    codes = tmp_path / "codes.npy"
    read = generate(model, Recipe(size=SIZE, world=False), 5, 0).codes
    read = read.with_(identity=np.sign(read.identity), albedo=np.sign(read.albedo))
    # people and their opposites: a variance of 1 wherever it is measured
    everybody = [read, read.with_(identity=-read.identity, albedo=-read.albedo)]
    np.save(codes, np.concatenate([code.to_vector() for code in everybody]))
    blocks = [drawn(model, codes, 1e-6, block).codes.identity for block in range(12)]
    same = [np.allclose(np.abs(identity), 1, atol=1e-3) for identity in blocks]
    assert 0 < np.mean(same) < 1, f"a share of {FRESH} is drawn afresh"
    far = drawn(model, codes, 0.5, same.index(True))
    assert abs((far.codes.identity - blocks[same.index(True)]).std() - 0.5) < 0.05
    assert (far.images == drawn(model, codes, 0.5, same.index(True)).images).all()


def test_people_are_drawn_as_varied_as_they_are_where_they_are_read_alike(model, tmp_path):
    codes = tmp_path / "codes.npy"
    read = generate(model, Recipe(size=SIZE, world=False), 5, 0).codes
    np.save(codes, read.with_(identity=0.3 * read.identity, albedo=0 * read.albedo).to_vector())
    made = [drawn(model, codes, 0.1, block).codes for block in range(12)]
    for part in ("identity", "albedo"):
        spread = np.concatenate([getattr(code, part) for code in made]).std(0)
        assert abs(spread.mean() - 1) < 0.05 and spread.min() > 0.8


def test_rounds_learn_and_are_not_run_twice(model, crops, start, tmp_path):
    first = bootstrap(config(tmp_path), start, crops, rounds=1)
    weights = (tmp_path / "round1" / "weights.safetensors").read_bytes()
    again = bootstrap(config(tmp_path), start, crops, rounds=1)
    assert len(first) == 2 and first == again
    assert (tmp_path / "round1" / "weights.safetensors").read_bytes() == weights
    assert first[0] == judge(load_trained(start)[0], model, crops[crops.held_out])
    assert np.load(tmp_path / "round1" / "codes.npy").shape == ((~crops.held_out).sum(), model.layout.size)


def test_a_run_starts_from_the_weights_it_is_given(model, crops, start, tmp_path):
    given = train(config(tmp_path, initial=start, learning_rate=1e-12)).network
    ours, theirs = (read_crops(net, crops, model.id) for net in (given, load_trained(start)[0]))
    # batch statistics move a little, weights do not
    assert np.abs(ours.identity - theirs.identity).max() < 0.2
    with pytest.raises(BadTraining, match="weights"):
        train(config(tmp_path / "other", initial=tmp_path / "nowhere"))


def test_too_few_faces(tmp_path):
    from PIL import Image

    said = []
    for i in range(3):
        Image.new("RGB", (64, 64)).save(tmp_path / f"{i}.png")
    with pytest.raises(BadTraining, match="0 of 3"):
        crop_faces(sorted(tmp_path.iterdir()), SIZE, say=said.append)
    assert len(said) == 3 and all("no face" in line for line in said)
