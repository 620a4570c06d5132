"""The thesis's parts, on a tiny head with as many components: code, crop, pictures, network, rounds."""

import json
from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial import Delaunay

from mien.camera import Camera, project, to_camera
from mien.errors import BadAsset, BadPrototypes, BadTraining, UnreadableInput
from mien.expressions.prototypes import EXPRESSIONS
from mien.morphable import MorphableModel, load_model
from mien.render import render
from mien.synthesis import BLOCK, Recipe, generate
from mien.thesis.bootstrap import DEVIATION, VARIANTS, Variants, with_seen_colours
from mien.thesis.crop import INNER_LIPS, hull_crop, hull_mask, hull_square
from mien.thesis.expressions import BaseExpressions
from mien.thesis.network import ThesisNetwork
from mien.thesis.pictures import draw
from mien.thesis.preset import model_name, recipe, training_config
from mien.thesis.vectors import LAYOUT, SIZE, from_vector, random_codes, read_vector, to_vector, write_vector
from mien.training.checkpoint import CHECKPOINT
from mien.training.config import read_config
from mien.training.network import EncoderNetwork, create_network
from mien.training.train import train
from tiny_face import tiny_face
from training_stub import BACKBONE, tiny_config

PX = 96


@cache
def model() -> MorphableModel:
    """The tiny head with 64 + 64 + 100 components, sRGB colours, and landmarks in the places of a face's."""
    tiny, rng = tiny_face(), np.random.default_rng(0)
    count, detail = len(tiny.identity_mean), len(tiny.albedo_mean)
    mouth = np.exp(1j * np.linspace(0, 2 * np.pi, 8, endpoint=False))
    marks = tiny.landmarks68
    vertices = marks.vertices.copy()
    targets = np.stack([18 * mouth.real, -55 + 9 * mouth.imag], -1)
    front = np.flatnonzero(tiny.identity_mean[:, 2] > -20)
    near = np.linalg.norm(tiny.identity_mean[front, None, :2] - targets, axis=-1).argmin(0)
    vertices[INNER_LIPS] = front[near][:, None]
    return replace(
        tiny,
        name="tiny64",
        identity_components=(0.4 * rng.normal(size=(64, 1, 3)) * _bumps(rng, 64)).astype(np.float32),
        expression_components=(0.4 * rng.normal(size=(64, 1, 3)) * _bumps(rng, 64)).astype(np.float32),
        expression_names=tuple(map(str, range(64))),
        expression_bounds=(-np.inf, np.inf),
        albedo_mean=np.full((detail, 3), 0.5, np.float32),
        albedo_components=np.float32(0.02 * rng.normal(size=(100, 1, 3)) * _bumps(rng, 100, detail, count)),
        albedo_is_log=False,
        albedo_is_srgb=True,
        landmarks68=replace(marks, vertices=vertices),
    )


def _bumps(rng, count: int, rows: int | None = None, base: int | None = None) -> np.ndarray:
    """(count, V, 1) smooth fields over the tiny head, zero beyond its base vertices."""
    places = tiny_face().identity_mean
    fields = np.cos(places @ rng.normal(size=(count, 3, 1)) / 40 + rng.uniform(0, 6, (count, 1, 1)))
    return fields if rows is None else np.pad(fields, ((0, 0), (0, rows - base), (0, 0)))


def codes(count: int = 4, seed: int = 1):
    return random_codes(model(), np.random.default_rng(seed), count, PX)


def landmarks68(code) -> np.ndarray:
    """(..., 68, 2) pixels, by the general camera."""
    points = model().landmarks68(model().vertices(code.identity, code.expression))
    camera = Camera(code.focal_px, np.full(2, PX / 2), (PX, PX))
    return project(to_camera(points, code.rotation, code.translation), camera)[..., :2]


def test_the_vector_is_shape_expression_colour_and_tens_of_degrees():
    assert SIZE == 231
    vector = np.arange(231) / 100
    vector[228:] = 0, 3, 0
    code = from_vector(vector, model())
    assert (code.identity[0], code.expression[0], code.albedo[0]) == (0.0, 0.64, 1.28)
    np.testing.assert_allclose(code.rotation, [0, np.radians(30), 0])
    np.testing.assert_allclose(to_vector(code), vector, atol=1e-15)
    many = np.random.default_rng(0).normal(size=(2, 3, 231))
    np.testing.assert_allclose(to_vector(from_vector(many, model())), many, atol=1e-15)
    with pytest.raises(ValueError, match="230 numbers"):
        from_vector(vector[:-1], model())
    with pytest.raises(ValueError, match="the thesis's has"):
        to_vector(generate(tiny_face(), Recipe(size=32, world=False), 0, 0).codes)


def test_vector_files(tmp_path):
    file, vector = tmp_path / "x_000001.txt", np.random.default_rng(0).normal(size=231)
    write_vector(file, vector)
    assert len(file.read_text().splitlines()) == 231 and float(file.read_text().split()[3]) == vector[3]
    assert (read_vector(file) == vector).all()
    with pytest.raises(ValueError, match="231 finite"):
        write_vector(tmp_path / "other.txt", np.append(vector[1:], np.nan))
    assert not (tmp_path / "other.txt").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds 0 numbers, must hold 231"),
        (b"0.5\n" * 230, "holds 230 numbers"),
        (b"0.5\n" * 230 + b"nan\n", "number 231 is not finite"),
        (b"0,5\n" * 231, "other than numbers"),
        (b"\xff\xd8\xff\xe0" * 60, "other than numbers"),
    ],
)
def test_what_is_no_vector(tmp_path, content, message):
    (tmp_path / "x.txt").write_bytes(content)
    with pytest.raises(UnreadableInput, match=message) as caught:
        read_vector(tmp_path / "x.txt")
    assert "\n" not in str(caught.value) and "x.txt" in str(caught.value)
    with pytest.raises(UnreadableInput, match="No such file"):
        read_vector(tmp_path / "y.txt")


def test_a_face_fills_its_crop():
    square = hull_square(landmarks68(codes(50)), PX)
    np.testing.assert_allclose(square.centre_px, PX / 2, atol=0.01)
    np.testing.assert_allclose(square.side_px, PX, rtol=1e-3)
    assert (np.linalg.norm(codes(50).rotation, axis=1) > np.radians(5)).mean() > 0.8


def test_the_mask_is_the_hull_without_the_mouth():
    angle = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    outline = np.random.default_rng(0).uniform(3.3, PX - 4.7, (68, 2))
    outline[INNER_LIPS] = np.stack([48.2 + 14 * np.cos(angle), 60.7 + 6 * np.sin(angle)], -1)
    mask = hull_mask(outline, PX)
    centres = np.stack(np.meshgrid(*[np.arange(PX) + 0.5] * 2), -1).reshape(-1, 2)
    inside = Delaunay(outline).find_simplex(centres).reshape(PX, PX) >= 0
    lips = outline[INNER_LIPS].astype(np.float32)
    mouth = [cv2.pointPolygonTest(lips, tuple(map(float, point)), True) for point in centres]
    mouth = np.reshape(mouth, (PX, PX))
    edge = cv2.morphologyEx(inside.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3))) > 0
    assert (mouth > 1.5).sum() > 5 and not mask[mouth > 1.5].any()
    clear = ~edge & (np.abs(mouth) > 1.5)
    assert (mask[clear] == (inside & (mouth < 0))[clear]).all()


def test_the_crop_of_a_photograph_is_that_of_its_code():
    """A picture of the whole head, cropped by its landmarks, is what the generator draws."""
    code, size = codes()[0], 3 * PX
    near = code.with_(focal_px=2.2 * code.focal_px)
    photo = render(model(), near, (size, size), detail=False, supersample=2).image_uint8
    outline = landmarks68(near) - PX / 2 + size / 2
    crop, inside = hull_crop(photo, outline, PX)
    np.testing.assert_allclose(inside, landmarks68(code), atol=0.05)
    drawn = draw(model(), code[None], PX).images[0]
    assert np.abs(crop.astype(float) - drawn).mean() < 2.0


def test_pictures_show_the_models_own_colours_and_nothing_else():
    plain = random_codes(model(), np.random.default_rng(0), 3, PX)
    drawn = draw(model(), plain.with_(albedo=0 * plain.albedo), PX)
    outlines = landmarks68(plain)
    for image, outline in zip(drawn.images, outlines, strict=True):
        assert not image[~hull_mask(outline, PX)].any()
        seen = image[image.any(-1)]
        assert len(seen) > 0.3 * PX**2 and abs(np.median(seen) - 127.5) <= 1
    first = generate(model(), recipe(PX), 0, 0)
    again = generate(model(), recipe(PX), 0, 0)
    assert (first.images == again.images).all() and len(first.images) == BLOCK
    assert 0.9 < to_vector(first.codes).std() < 1.1


def test_the_network_says_231_numbers_and_where_their_face_stands():
    network = ThesisNetwork(model(), BACKBONE).eval()
    numbers = np.random.default_rng(2).normal(size=SIZE)
    with torch.no_grad():
        network.numbers.weight.zero_()
        network.numbers.bias.copy_(torch.from_numpy(numbers))
        said = network(torch.rand(2, 3, PX, PX)).to_code(PX, model().id)
    expected = from_vector(numbers, model(), PX)
    for part in expected.layout.shapes:
        np.testing.assert_allclose(getattr(said, part)[0], getattr(expected, part), rtol=1e-3, atol=1e-3)


def test_the_network_learns_by_adadelta(tmp_path):
    def validation(steps):
        settings = {"size": 32, "backbone": BACKBONE, "pictures": steps * BLOCK}
        run = training_config(tmp_path / str(steps), workers=0, validation_blocks=1, **settings)
        return train(run, load=model).validation

    short, long = validation(1), validation(24)
    assert long["rotation"] < 0.85 * short["rotation"] and long["total"] < short["total"]
    assert short["total"] == pytest.approx(short["parameters"] + short["rotation"], rel=1e-5)
    groups = torch.load(tmp_path / "24" / CHECKPOINT, weights_only=True)["optimiser"]["param_groups"]
    assert {(group["lr"], group["rho"], group["weight_decay"]) for group in groups} == {(1.0, 0.95, 0.0)}


def test_the_preset_decides_the_network():
    assert type(create_network(model(), "thesis", BACKBONE, False)) is ThesisNetwork
    assert type(create_network(tiny_face(), "mien", BACKBONE, False)) is EncoderNetwork
    for other in (tiny_face(), replace(model(), albedo_is_srgb=False)):
        with pytest.raises(BadTraining, match="has not the thesis's components"):
            ThesisNetwork(other, BACKBONE)


def test_colours_are_those_of_the_photograph():
    true = codes(3)
    images = draw(model(), true, PX).images
    base = model().albedo_components[:, : len(model().identity_mean)].reshape(100, -1)
    wrong = true.with_(albedo=np.random.default_rng(5).normal(size=(3, 100)))
    found = with_seen_colours(model(), wrong, images)
    front = np.repeat(model().identity_mean[:, 2] > 10, 3)

    def apart(code):
        return np.sqrt(np.mean(((code.albedo - true.albedo) @ base)[:, front] ** 2))

    assert apart(found) < 0.3 * apart(wrong)
    assert (found.identity == wrong.identity).all() and (found.rotation == wrong.rotation).all()


def test_two_variants_of_each_photograph(tmp_path):
    read = codes(40).with_(focal_px=np.ones(40))
    np.save(tmp_path / "codes.npy", read.to_vector().astype(np.float32))
    variants = Variants(tmp_path / "codes.npy")
    blocks = [variants(model(), recipe(32), 3, block) for block in range(3)]
    images = np.concatenate([made.images for made in blocks])
    numbers = np.concatenate([to_vector(made.codes) for made in blocks])
    epoch = VARIANTS * 40
    assert (images[epoch:] == images[: len(images) - epoch]).all()
    nearest = np.linalg.norm(numbers[:epoch, None] - to_vector(read), axis=-1).argmin(1)
    assert (np.bincount(nearest) == VARIANTS).all()
    noise = numbers[:epoch] - to_vector(read)[nearest]
    assert abs(noise.std() - DEVIATION) < 0.01 and abs(noise.mean()) < 0.01
    assert len(np.unique(noise[:, 0].round(5))) == epoch
    assert (variants(model(), recipe(32), 4, 0).images != blocks[0].images).any()


@pytest.fixture
def bases() -> BaseExpressions:
    table = np.random.default_rng(0).normal(size=(len(EXPRESSIONS), LAYOUT.expression))
    return BaseExpressions("tiny64/1", table)


def test_base_expressions_read_as_themselves(bases):
    neutral = bases.prototypes[EXPRESSIONS.index("neutral")]
    for name, base in zip(EXPRESSIONS, bases.prototypes, strict=True):
        reading = bases(base)
        assert reading.label == name and reading.confidence > 0.8
        assert abs(sum(reading.probabilities.values()) - 1) < 1e-12
        if name != "neutral":
            assert abs(reading.intensity - 5) < 1e-9
            assert abs(bases(neutral + 0.6 * (base - neutral)).intensity - 3) < 1e-9
            assert bases(neutral + 0.6 * (base - neutral)).label == name
            assert bases(neutral + 0.2 * (base - neutral)).label == "neutral"
    own = np.random.default_rng(1).normal(size=LAYOUT.expression)
    assert bases(own + bases.prototypes[0] - neutral, own).label == EXPRESSIONS[0]
    assert bases(own, own).label == "neutral" and bases(own, own).intensity == 0


def test_expression_table(bases, tmp_path):
    bases.write(tmp_path / "expression.csv")
    lines = (tmp_path / "expression.csv").read_text().splitlines()
    assert lines[0] == "anger,disgust,fear,happiness,neutral,sadness,surprise" and len(lines) == 65
    assert (BaseExpressions.read(tmp_path / "expression.csv", "m/1").prototypes == bases.prototypes).all()
    twice = replace(bases, prototypes=bases.prototypes[[0, 1, 0, 3, 4, 5, 6]])
    twice.write(tmp_path / "twice.csv")
    with pytest.raises(BadPrototypes, match=r"twice\.csv: anger and fear are the same"):
        BaseExpressions.read(tmp_path / "twice.csv", "m/1")
    (tmp_path / "short.csv").write_text("\n".join(lines[:-1]))
    with pytest.raises(BadPrototypes, match="63 rows"):
        BaseExpressions.read(tmp_path / "short.csv", "m/1")


def test_a_model_with_its_first_components_alone():
    whole, some = load_model(), load_model("anny:10,5,3")
    assert some.id == "anny:10,5,3/1" and (some.layout.identity, some.layout.albedo) == (10, 3)
    identity, expression = np.random.default_rng(0).normal(size=(2, 10)).astype(np.float32)
    expression = np.pad(expression[:5], (0, 47))
    there = whole.vertices(identity, expression)
    np.testing.assert_allclose(some.vertices(identity, expression[:5]), there, atol=1e-4)
    for name, message in [
        ("anny:10,64,3", "has 52 expression components, 64 are asked for"),
        ("anny:10,5", "as in bfm2017:64,64,100"),
        ("anny:a,b,c", "as in bfm2017:64,64,100"),
        ("any:1,2,3", "did you mean anny"),
    ]:
        with pytest.raises(BadAsset, match=message):
            load_model(name)


def test_runs_of_before_the_preset_go_on(tmp_path):
    config = tiny_config(tmp_path)
    config.claim_folder()
    settings = read_config(tmp_path)
    del (
        settings["optimiser"],
        settings["edited"],
        settings["learn_features"],
        settings["recipe"]["preset"],
        settings["recipe"]["detected"],
    )
    (tmp_path / "config.json").write_text(json.dumps(settings))
    config.claim_folder()
    asked = settings.keys() - {"folder", "workers", "threads", "checkpoint_minutes", "validation_minutes"}
    assert config.what == {name: settings[name] for name in asked}, "what their checkpoints hold"
    for other in (replace(config, optimiser="adadelta"), replace(config, recipe=recipe(48))):
        with pytest.raises(BadTraining, match="another run"):
            other.claim_folder()


def test_the_presets_run(tmp_path):
    run = training_config(tmp_path)
    assert (run.optimiser, run.size, run.backbone, run.landmarks) == ("adadelta", 224, "resnet50", False)
    assert run.model == model_name("bfm2017") == "bfm2017:64,64,100"
    assert {name for name, weight in vars(run.loss).items() if weight} == {"parameters", "rotation"}
    with pytest.raises(BadTraining, match="processors only"):
        training_config(tmp_path, on_device=True)
    with pytest.raises(BadTraining, match="'sgd'"):
        replace(run, optimiser="sgd")
