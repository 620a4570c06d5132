"""Recognition of expressions: laws for any code, and known answers on prototypes and photographs."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import mien
import mien.training.recogniser as training
from mien.errors import BadAsset, BadPrototypes
from mien.expressions.prototypes import EXPRESSIONS, VARIANTS, arkit_vector, prototypes, read_prototypes
from mien.expressions.recognition import STRONGEST, Recogniser, expression, mirrored, packaged_recogniser
from mien.facecode import ARKIT_NAMES
from mien.image import load_image
from mien.synthesis.emotions import random_emotions

FELT = [name for name in EXPRESSIONS if name != "neutral"]


def prototype(name: str) -> np.ndarray:
    return prototypes()[EXPRESSIONS.index(name)].astype(np.float64)


@pytest.mark.parametrize("name", FELT)
def test_a_prototype_is_what_it_is_called_and_as_strong_as_it_is(name):
    read = [packaged_recogniser()(strength * prototype(name)) for strength in np.linspace(0, 1, 21)]
    intensity = [reading.intensity for reading in read]
    assert read[0].label == "neutral" and intensity[0] == 0
    assert all(reading.label == name for reading in read[10:])
    assert (np.diff(intensity) >= -1e-9).all()
    assert_allclose(intensity[-1], STRONGEST, atol=1e-3)


@pytest.mark.parametrize("name", FELT)
def test_each_way_to_show_an_expression_is_known(name):
    for units in VARIANTS[name]:
        assert packaged_recogniser()(arkit_vector(units)).label == name


def test_a_reading_adds_up():
    for coefficients in random_emotions(np.random.default_rng(0), 50).expression:
        reading = packaged_recogniser()(coefficients)
        assert_allclose(sum(reading.probabilities.values()), 1)
        assert tuple(reading.probabilities) == EXPRESSIONS
        assert reading.confidence == max(reading.probabilities.values())
        assert 0 <= reading.intensity <= STRONGEST


def test_synthetic_emotions_are_recognised():
    emotions = random_emotions(np.random.default_rng(1), 2000)
    found = packaged_recogniser().probabilities(emotions.expression).argmax(1)
    assert (found == emotions.label).mean() > 0.85


def test_a_mirror_image_is_read_alike():
    swap = mirrored(52)
    assert_array_equal(swap[swap], np.arange(52))
    assert ARKIT_NAMES[swap[ARKIT_NAMES.index("eyeLookInLeft")]] == "eyeLookInRight"
    assert ARKIT_NAMES[swap[ARKIT_NAMES.index("mouthLeft")]] == "mouthRight"
    some = random_emotions(np.random.default_rng(2), 20).expression
    recogniser = packaged_recogniser()
    assert_allclose(recogniser.probabilities(some), recogniser.probabilities(some[:, swap]), atol=1e-12)


def test_a_face_read_against_itself_is_neutral():
    for name in EXPRESSIONS:
        reading = packaged_recogniser()(0.6 * prototype(name), 0.6 * prototype(name))
        assert reading.label == "neutral" and reading.intensity == 0


def test_codes_of_another_model_are_refused():
    model = mien.load_model()
    code = mien.FaceCode.from_vector(np.zeros(model.layout.size), model.layout, "flame/2020")
    with pytest.raises(ValueError, match=r"reads codes of anny/1, not of flame/2020; .*train-expression"):
        mien.expression(code)
    assert mien.expression(code.with_(model=model.id)).label == "neutral"


def test_a_file_that_is_no_recogniser(tmp_path):
    with pytest.raises(BadAsset, match="cannot be read"):
        Recogniser.load(tmp_path / "none")
    for content in (b"", b"garbage of some length", (tmp_path / "x").name.encode() * 99):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(BadAsset, match="is no recogniser"):
            Recogniser.load(tmp_path / "file")


TABLE = "Surprise,anger,disgust,fear,happiness,neutral,sadness\n" + "".join(
    ",".join("1" if column == row else "0" for column in (6, 0, 1, 2, 3, 9, 5)) + "\n" for row in range(8)
)


def test_prototypes_from_a_table(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(TABLE)
    table = read_prototypes(path)
    assert table.shape == (7, 8)
    assert table[EXPRESSIONS.index("surprise"), 6] == 1 and table[EXPRESSIONS.index("sadness"), 5] == 1
    assert not table[EXPRESSIONS.index("neutral")].any()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("anger", "angr"), "angr.*did you mean anger"),
        (("fear,", "anger,"), "look at anger, fear"),
        (("0,1,0", "0,one,0"), "must hold numbers"),
        (("0,1,0", "0,nan,0"), "not finite"),
        (("0,1,0", "0,1"), "must hold numbers"),
        (("1", "0"), "zero throughout"),
        ((TABLE[TABLE.index("\n") :], ""), "has 0 rows"),
        ((TABLE, ""), "look at anger"),
    ],
)
def test_bad_tables(change, says, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(TABLE.replace(*change))
    with pytest.raises(BadPrototypes, match=says) as caught:
        read_prototypes(path)
    assert "\n" not in str(caught.value)


def test_a_table_of_another_length(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(TABLE)
    with pytest.raises(BadPrototypes, match="has 8 rows of coefficients, must have 52"):
        read_prototypes(path, 52)
    with pytest.raises(BadPrototypes, match="cannot be read"):
        read_prototypes(tmp_path / "none.csv")


def test_training_is_repeatable_and_learns_a_table(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "STEPS", 200)
    monkeypatch.setattr(training, "EMOTIONS", 4096)
    (tmp_path / "table.csv").write_text(TABLE)
    table = read_prototypes(tmp_path / "table.csv") * 2.0
    shares = [
        training.train(tmp_path / name, seed, "bfm/2017", table)
        for name, seed in [("a", 0), ("b", 0), ("c", 1)]
    ]
    assert shares[0] == shares[1] > 0.7
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c
    recogniser = Recogniser.load(tmp_path / "a")
    assert recogniser.model == "bfm/2017"
    for name, row in zip(EXPRESSIONS, table, strict=True):
        assert recogniser(row).label == name


def test_training_on_readings(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "STEPS", 150)
    monkeypatch.setattr(training, "EMOTIONS", 2048)
    assert training.train(tmp_path / "a") > 0.4
    assert Recogniser.load(tmp_path / "a").model == packaged_recogniser().model


def test_networks_side_by_side_say_the_mean_of_their_scores():
    rng = np.random.default_rng(5)
    networks = [training._Network.of(rng, (53, 8, 4, 7)) for _ in range(3)]
    for network in networks:
        for bias in network.biases:
            bias += rng.normal(size=bias.shape)
    inputs = rng.normal(size=(6, 53))
    values = inputs
    for number, (weights, biases) in enumerate(training._side_by_side(networks)):
        values = values @ weights + biases
        values = np.maximum(values, 0) if number < 2 else values
    assert_allclose(values, np.mean([network.activations(inputs)[-1] for network in networks], axis=0))


def test_readings_are_learned_in_part_from_the_same_rest_and_from_others():
    size, rng = 52, np.random.default_rng(3)
    rest, moved = np.full(size, 0.1), rng.uniform(-0.2, 0.6, (40, size))
    read, people = np.maximum(moved, -rest), rng.normal(size=(9, size))
    readings = training.Readings(rest, np.arange(40) % 7, read, moved, people, 0.0)
    inputs, label = training.as_read(rng, readings, 4000)
    own = inputs[:, -1] == 1
    assert 0.3 < own.mean() < 0.4 and (inputs[~own, -1] == 0).all()
    assert inputs[~own, :-1].min() == -0.1  # a coefficient cannot be read below 0
    some = np.flatnonzero(own)[:50]
    left, right = (ARKIT_NAMES.index(f"browDown{side}") for side in ("Left", "Right"))
    for row, name in zip(inputs[some, :-1], label[some], strict=True):
        parts = row / moved[readings.label == name]
        (fits,) = np.nonzero(((parts > -1e-9) & (parts < training.MOST_READ)).all(1))
        assert any(np.isclose(parts[one, left], parts[one, right]) for one in fits)


def test_codes_as_they_are_made_are_learned_from_too(monkeypatch):
    monkeypatch.setattr(training, "EXACT", 1.0)
    rng = np.random.default_rng(4)
    readings, emotions = training.Readings.load(), random_emotions(rng, 30)
    inputs, label = training.examples(rng, readings, emotions, 200)
    codes = inputs[:, :-1] + np.where(inputs[:, -1:] == 1, 0.0, readings.rest)
    distance = np.abs(codes[:, None] - emotions.expression).max(-1)
    assert distance.min(1).max() < 1e-12
    assert_array_equal(label, emotions.label[distance.argmin(1)])


def test_emotions_in_their_shares():
    emotions = random_emotions(np.random.default_rng(0), 7000)
    assert emotions.expression.shape == (7000, 52)
    assert 0 <= emotions.expression.min() and emotions.expression.max() <= 1
    shares = np.bincount(emotions.label, minlength=7) / 7000
    assert shares.min() > 0.08
    assert (
        emotions.label[np.abs(emotions.expression).max(1) < 0.05].tolist().count(EXPRESSIONS.index("fear"))
        == 0
    )


@pytest.mark.photos
def test_photographs_and_their_mirror_images(photos):
    for folder, file, label in [
        ("happiness", "05_happy", "happiness"),
        ("surprise", "01_surprised", "surprise"),
    ]:
        image = load_image(photos / "expression_yale" / folder / f"{file}.png")
        (face,), (mirror,) = (mien.reconstruct(one, max_faces=1) for one in (image, image[:, ::-1].copy()))
        difference = np.abs(face.code.expression - mirror.code.expression[mirrored(52)])
        assert difference.max() < 0.25 and difference.mean() < 0.03
        assert {face.face.expression.label, mirror.face.expression.label} == {label}
        assert face.face.expression == expression(face.code)
