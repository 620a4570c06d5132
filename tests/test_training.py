"""The training loop: exact resume after kills, several processes, bad numbers, bad settings."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from mien import files
from mien.errors import BadCorpus, BadTraining, CannotWrite
from mien.synthesis import Recipe
from mien.synthesis.corpus_writer import synthesize
from mien.training import divergence
from mien.training.checkpoint import CHECKPOINT, WEIGHTS
from mien.training.config import read_config
from mien.training.export import load_trained
from mien.training.losses import LossWeights
from mien.training.network import EncoderNetwork
from mien.training.stream import BlockDataset
from mien.training.train import train
from tiny_face import tiny_face
from training_stub import (
    BACKBONE,
    BLOCK,
    astray_from,
    generate,
    killed_at,
    poisoned_at,
    short_of_memory_at,
    tiny_config,
    wrong_size,
)

TESTS = Path(__file__).parent
LAST = 6
"""Blocks, and so steps, of the short runs."""


def run(folder, generate=generate, **settings):
    return train(
        tiny_config(folder, **{"pictures": LAST * BLOCK, **settings}), generate=generate, load=tiny_face
    )


def in_processes(arguments, script):
    """A script in processes of its own that import the tests' modules."""
    environment = os.environ | {
        "PYTHONPATH": str(TESTS),
        "OMP_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
        "CUDA_VISIBLE_DEVICES": "",
    }
    return subprocess.run(
        [sys.executable, *arguments, script], env=environment, capture_output=True, text=True, timeout=900
    )


def weights(folder):
    """The digest of a run's weights: pytest would compare the bytes for hours where they differ."""
    return hashlib.sha256((Path(folder) / WEIGHTS).read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    assert run(folder).finished
    return folder


def test_a_run_killed_at_any_moment_ends_as_if_it_had_not_been(tmp_path):
    script = tmp_path / "killed.py"

    def in_a_process(folder, generate):
        script.write_text(
            "from functools import partial\n"
            "from pathlib import Path\n"
            "from tiny_face import tiny_face\n"
            "from training_stub import generate, killed_at, tiny_config\n"
            "from mien.training.train import train\n"
            "if __name__ == '__main__':\n"
            f"    config = tiny_config(Path({str(tmp_path / folder)!r}), pictures={LAST * BLOCK},"
            " checkpoint_minutes=0, workers=1)\n"
            f"    train(config, generate={generate}, load=tiny_face)\n"
        )
        return in_processes([], str(script)).returncode

    assert in_a_process("whole", "generate") == 0
    assert in_a_process("run", "partial(killed_at, 4)") == -signal.SIGKILL
    done = torch.load(tmp_path / "run" / CHECKPOINT, weights_only=True)["position"]
    assert 0 < done < LAST
    assert in_a_process("run", "generate") == 0
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


def test_a_run_told_to_end_keeps_its_last_step(whole, tmp_path):
    told = run(tmp_path, partial(killed_at, 3, signal=signal.SIGTERM), checkpoint_minutes=60)
    assert not told.finished and told.pictures == 4 * BLOCK
    assert run(tmp_path).finished
    assert weights(tmp_path) == weights(whole)


def test_two_processes_learn_one_network(tmp_path):
    script = tmp_path / "two.py"
    script.write_text(
        "import os\n"
        "from pathlib import Path\n"
        "from tiny_face import tiny_face\n"
        "from training_stub import generate, tiny_config\n"
        "from mien.training.train import train\n"
        f"config = tiny_config(Path({str(tmp_path / 'run')!r}), pictures={4 * BLOCK})\n"
        "result = train(config, generate=generate, load=tiny_face)\n"
        "total = sum(p.double().sum().item() for p in result.network.parameters())\n"
        f"end = Path({str(tmp_path)!r}) / ('end' + os.environ['RANK'])\n"
        "end.write_text(f'{result.pictures} {total!r}')\n"
    )
    done = in_processes(["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"], str(script))
    assert done.returncode == 0, done.stderr
    ends = [(tmp_path / f"end{rank}").read_text() for rank in (0, 1)]
    assert ends[0] == ends[1] and int(ends[0].split()[0]) == 4 * BLOCK
    state = torch.load(tmp_path / "run" / CHECKPOINT, weights_only=True)
    assert (state["step"], state["position"]) == (2, 4)


def test_the_network_learns(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    photos = []

    def on_photos(network):
        photos.append(network.training)
        return {"photos_nme": 0.5}

    config = tiny_config(tmp_path, pictures=60 * BLOCK)
    ended = train(config, generate=generate, load=tiny_face, on_photos=on_photos)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert ended.validation["total"] < 0.75 * run(tmp_path / "short", pictures=BLOCK).validation["total"]
    assert ended.validation["landmarks"] < 0.15
    assert ended.validation["photos_nme"] == 0.5 and photos == [False]
    assert events.Scalars("validation/photos_nme")[0].step == 60 * BLOCK
    network, settings = load_trained(tmp_path, tiny_face)
    assert settings == read_config(tmp_path)
    for name, value in ended.network.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], value, rtol=0, atol=0)


def test_pictures_may_be_made_on_the_device_and_are_another_run(tmp_path, whole):
    settings = {"recipe": Recipe(size=48), "batch_size": 4, "on_device": True}
    results = [
        train(tiny_config(tmp_path / name, pictures=n, **settings), load=tiny_face)
        for name, n in (("part", 8), ("whole", 16))
    ]
    assert [result.pictures for result in results] == [8, 16]
    assert np.isfinite(list(results[1].validation.values())).all()
    assert weights(tmp_path / "part") != weights(tmp_path / "whole")
    with pytest.raises(BadTraining, match="on_device False, not True"):
        run(whole, on_device=True)


def test_features_that_faces_have_taught_learn_only_where_they_are_told_to(tmp_path, whole):
    assert run(tmp_path, learn_features=True).finished
    networks = [EncoderNetwork(tiny_face(), BACKBONE)]
    networks += [load_trained(folder, tiny_face)[0] for folder in (whole, tmp_path)]
    before, kept, learned = (network.expression.features.state_dict() for network in networks)
    assert all(torch.equal(before[name], kept[name]) for name in before)
    changes = torch.cat([(learned[name] - before[name]).abs().flatten() for name in before])
    # the running average of six steps of AdamW, each of the learning rate at most
    assert 0 < changes.max() < 6 * 0.1 * tiny_config(tmp_path).learning_rate
    assert (changes > 0).float().mean() > 0.9
    with pytest.raises(BadTraining, match=r"another run .*learn_features"):
        run(tmp_path)


def test_mixed_precision_learns_nearly_the_same(tmp_path, whole):
    AcceleratorState._reset_state()  # a process keeps the precision of its first run
    try:
        result = run(tmp_path, precision="bf16")
    finally:
        AcceleratorState._reset_state()
    assert result.finished and weights(tmp_path) != weights(whole)
    full, _ = load_trained(whole, tiny_face)
    mixed, full = (dict(network.named_parameters()) for network in (result.network, full))
    off = sum((mixed[name] - full[name]).square().sum() for name in full)
    assert off < 0.05 * sum(value.square().sum() for value in full.values())


def test_a_run_draws_what_the_network_says_where_the_loss_is_photometric(tmp_path):
    result = run(tmp_path, loss=LossWeights(photometric=1.0))
    assert result.finished and 0 < result.validation["photometric"] < 1


def test_a_loss_that_is_not_finite_stops_and_keeps_what_was_good(tmp_path):
    with pytest.raises(BadTraining, match=r"not finite at picture 24 .*last checkpoint is kept"):
        run(tmp_path, partial(poisoned_at, 3), checkpoint_minutes=0)
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert state["position"] == 3
    assert all(torch.isfinite(value.float()).all() for value in state["network"].values())


@pytest.fixture
def hasty(monkeypatch):
    """Divergence is told after a few steps."""
    for name, value in (("HORIZON", 4), ("PATIENCE", 3), ("_FIRST", 2)):
        monkeypatch.setattr(divergence, name, value)


def test_a_run_that_goes_astray_stops_and_keeps_what_was_good(tmp_path, hasty):
    settings = {"pictures": 30 * BLOCK, "checkpoint_minutes": 0}
    with pytest.raises(
        BadTraining, match=r"climbed at picture \d+: .*times the lowest.*--learning-rate"
    ) as end:
        run(tmp_path, partial(astray_from, 10), **settings)
    message = str(end.value)
    assert message.startswith(f"{tmp_path}: ") and f"--start {tmp_path} begins" in message
    assert 13 * BLOCK <= int(message.split("picture ")[1].split(":")[0]) < 20 * BLOCK
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert state["position"] == 10 and state["climb"]["raised"] == 0


def test_a_run_that_ends_astray_is_not_done(tmp_path, hasty):
    with pytest.raises(BadTraining, match="climbed at picture 96"):
        run(tmp_path, partial(astray_from, 10), pictures=12 * BLOCK, checkpoint_minutes=0)
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["position"] == 10


def test_a_resumed_run_remembers_how_low_its_loss_was(tmp_path, whole):
    told = run(tmp_path, partial(killed_at, 3, signal=signal.SIGTERM))
    assert not told.finished and run(tmp_path).finished
    ends = [torch.load(folder / CHECKPOINT, weights_only=True)["climb"] for folder in (tmp_path, whole)]
    assert ends[0] == ends[1] and ends[0]["steps"] == LAST and ends[0]["mean"] > 0


@pytest.mark.parametrize("kind", ["gpu", "processor"])
def test_a_run_short_of_memory_says_what_to_do_and_goes_on(tmp_path, whole, kind):
    with pytest.raises(BadTraining, match=r"out of memory \(.* wanted\)") as end:
        run(tmp_path, partial(short_of_memory_at, 3, kind), checkpoint_minutes=0)
    message = str(end.value)
    for words in (f"{tmp_path}: ", "goes on from the last checkpoint", "--batch-size or --size", "--start"):
        assert words in message
    assert "\n" not in message
    assert run(tmp_path).finished and weights(tmp_path) == weights(whole)


def test_other_errors_of_a_run_are_not_taken_for_memory(tmp_path):
    def broken(*_):
        raise RuntimeError("of another kind")

    with pytest.raises(RuntimeError, match="of another kind"):
        run(tmp_path, lambda *given: generate(*given) if given[-1] < 2 else broken())


@pytest.mark.parametrize(("name", "whole_files"), [(CHECKPOINT, 7), (WEIGHTS, 8)])
def test_a_run_on_a_full_disk_goes_on_once_there_is_room(tmp_path, whole, name, whole_files):
    written = 0  # config.json, then checkpoint and weights of each step

    def full(_):
        nonlocal written
        written += 1
        if written > whole_files:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(files.os, "fsync", full)
        with pytest.raises(CannotWrite, match=rf"{name}: cannot be written \(No space left"):
            run(tmp_path, checkpoint_minutes=0)
    position = torch.load(tmp_path / CHECKPOINT, weights_only=True)["position"]
    assert position == (3 if name == CHECKPOINT else 4)
    assert not list(tmp_path.glob(".mien-*"))
    assert run(tmp_path).finished and weights(tmp_path) == weights(whole)


def test_a_folder_of_another_run_is_refused_and_left_as_it_was(whole):
    before = weights(whole)
    with pytest.raises(BadTraining, match=r"config\.json: another run \(learning_rate 0\.002, not 0\.1\)"):
        run(whole, learning_rate=0.1)
    with pytest.raises(BadTraining, match=r"another run \(loss"):
        run(whole, loss=LossWeights(rotation=0.0))
    assert weights(whole) == before and read_config(whole)["learning_rate"] == 0.002


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(CannotWrite, match=r"file.*: cannot be made \(.*choose another folder"):
            run(folder)


def test_what_only_says_how_may_change(whole):
    again = run(whole, checkpoint_minutes=1.0, validation_minutes=3.0)
    assert again.finished and again.pictures == LAST * BLOCK


def test_a_damaged_checkpoint_is_an_error_not_a_new_start(whole, tmp_path):
    for name in ("config.json", CHECKPOINT):
        (tmp_path / name).write_bytes((whole / name).read_bytes())
    settings = json.loads((tmp_path / "config.json").read_text()) | {"folder": str(tmp_path)}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / CHECKPOINT).write_bytes((whole / CHECKPOINT).read_bytes()[:-5000])
    with pytest.raises(BadTraining, match="damaged checkpoint"):
        run(tmp_path)


def test_settings_without_meaning_are_refused_before_anything_is_made(tmp_path):
    for settings, message in [
        ({"pictures": 0}, "pictures is 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"precision": "fp8"}, "precision is 'fp8'"),
        ({"batch_size": 12}, "give a multiple of 8"),
        ({"backbone": "resnet5"}, "did you mean resnet"),
        ({"recipe": Recipe(preset="thesis"), "learn_features": True}, "lacks MediaPipe's features"),
        ({"generate": wrong_size}, r"uint8 of shape \(40, 48, 3\)"),
    ]:
        with pytest.raises(BadTraining, match=message):
            run(tmp_path / "run", **settings)
    with pytest.raises(BadTraining, match="size is 8 px"):
        replace(tiny_config(tmp_path), recipe=type(tiny_config(tmp_path).recipe)(size=8))
    assert not (tmp_path / "run").exists()


def test_batches_are_the_blocks_of_the_stream(tmp_path):
    recipe = tiny_config(tmp_path).recipe
    dataset = BlockDataset(generate, tiny_face, recipe, seed=3, blocks=2)
    first, second = dataset.batches(2, 4, 10, workers=0)
    np.testing.assert_array_equal(second.images[BLOCK:], generate(tiny_face(), recipe, 3, 7).images)
    assert first.images.shape == (2 * BLOCK, 48, 48, 3)
    assert first.pictures.is_contiguous(memory_format=torch.channels_last)
    code = generate(tiny_face(), recipe, 3, 2).codes
    back = first.codes.to_code(48, "tiny/1").to_vector()[:BLOCK]
    np.testing.assert_allclose(back, code.to_vector(), rtol=1e-4, atol=1e-4)


def test_a_run_reads_its_pictures_from_a_corpus(tmp_path):
    recipe = Recipe(size=32, world=False)
    synthesize(tmp_path / "faces", 160, recipe, seed=1, load=tiny_face)
    settings = {"recipe": recipe, "corpus": tmp_path / "faces", "pictures": 128, "batch_size": 64}
    result = run(tmp_path / "run", generate=None, **settings)
    assert result.finished and result.pictures == 128 and np.isfinite(result.validation["total"])
    with pytest.raises(BadTraining, match=r"another run .*corpus"):
        run(tmp_path / "run", **settings | {"corpus": None})
    with pytest.raises(BadCorpus, match="recipe"):
        run(tmp_path / "other", generate=None, **settings | {"recipe": Recipe(size=48)})
    with pytest.raises(BadCorpus, match="is no corpus"):
        run(tmp_path / "none", generate=None, **settings | {"corpus": tmp_path})
