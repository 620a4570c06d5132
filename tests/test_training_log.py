"""What is read of a training's events: each figure once, tables and figures of one run and of several."""

import errno
import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from mien.cli import main
from mien.errors import BadTraining, CannotWrite, UnreadableInput
from mien.evaluation.training_log import ROWS, TrainingLog, training_report
from mien.training.progress import Progress

TOTAL = 40 * 640


def train_for(folder: Path, first: int, last: int, shift: float = 0.0, photos: bool = False) -> Path:
    """What a run notes from picture `first` to `last`, every 640: a loss of 1000 / pictures + shift."""
    with Progress(folder, TOTAL, first, True) as progress:
        for pictures in range(first + 640, last + 1, 640):
            loss = torch.tensor(1e3 / pictures + shift)
            progress.step(20, pictures, loss, {"landmarks": loss / 2}, loss, 1e-3)
            if pictures % 6400 == 0:
                on_photos = {"nme478": 64 / pictures, "rmse": 0.1 + 64 / pictures} if photos else {}
                progress.validated(pictures, {"total": 2e3 / pictures + shift} | on_photos)
    return folder


def test_all_that_a_run_noted_is_read(tmp_path):
    log = TrainingLog.read(train_for(tmp_path, 0, TOTAL, photos=True))
    np.testing.assert_array_equal(log.training.pictures, np.arange(640, TOTAL + 1, 640))
    np.testing.assert_allclose(log.training.values, 1e3 / log.training.pictures, rtol=1e-6)
    for curve, scale, offset in ((log.validation, 2e3, 0), (log.nme478, 64, 0), (log.rmse, 64, 0.1)):
        np.testing.assert_array_equal(curve.pictures, np.arange(1, 5) * 6400)
        np.testing.assert_allclose(curve.values, scale / curve.pictures + offset, rtol=1e-6)
    assert log.pictures == TOTAL


def test_of_what_a_resumed_run_did_twice_the_second_counts(tmp_path):
    train_for(tmp_path, 0, 12_800)
    log = TrainingLog.read(train_for(tmp_path, 6_400, TOTAL, shift=7.0))
    np.testing.assert_array_equal(log.training.pictures, np.arange(640, TOTAL + 1, 640))
    shift = np.where(log.training.pictures > 6_400, 7.0, 0.0)
    np.testing.assert_allclose(log.training.values, 1e3 / log.training.pictures + shift, rtol=1e-6)
    np.testing.assert_allclose(log.validation.values - 2e3 / log.validation.pictures, [0, 7, 7, 7], atol=1e-5)


def test_rows_hold_the_mean_and_the_last_since_the_row_before(tmp_path):
    rows = TrainingLog.read(train_for(tmp_path, 0, TOTAL)).rows()
    assert [pictures for pictures, _ in rows] == [2560 * k for k in range(1, ROWS + 1)]
    for k, (_, figures) in enumerate(rows):
        noted = 2560 * k + 640 * np.arange(1, 5)
        assert figures["training"] == pytest.approx((1e3 / noted).mean())
        validated = [at for at in noted if at % 6400 == 0]
        expected = 2e3 / validated[-1] if validated else np.nan
        assert figures["validation"] == pytest.approx(expected, nan_ok=True)
        assert np.isnan(figures["nme478"])


def test_a_short_run_has_as_many_rows_as_figures(tmp_path):
    rows = TrainingLog.read(train_for(tmp_path, 0, 3 * 640)).rows()
    assert [pictures for pictures, _ in rows] == [640, 1280, 1920]


def test_columns_are_those_that_some_run_has(tmp_path):
    one = TrainingLog.read(train_for(tmp_path / "one", 0, 6400))
    two = TrainingLog.read(train_for(tmp_path / "two", 0, TOTAL, photos=True))
    assert training_report({"one": one}).columns == ["pictures", "training loss", "validation loss"]
    report = training_report({"one": one, "two": two})
    assert report.columns == ["run", "pictures", "training loss", "validation loss", "NME 478", "RMSE"]
    assert [row[0] for row in report.rows] == ["one"] * 10 + ["two"] * 10
    assert report.rows[-1][1:] == ["25,600", "0.041", "0.078", "0.25%", "0.1025"]
    assert report.rows[9][4:] == ["", ""]


def test_the_command_shows_and_writes(tmp_path, capsys):
    runs = [train_for(tmp_path / where, 0, TOTAL, photos=True) for where in ("a/run", "b/run", "other")]
    out = tmp_path / "out"
    assert main(["evaluate", "training", *map(str, runs), "-o", str(out)]) == 0
    assert "NME 478" in capsys.readouterr().out
    contents = json.loads((out / "training.json").read_text())
    assert list(contents["runs"]) == [str(runs[0]), str(runs[1]), "other"]  # told apart where they end alike
    assert contents["runs"]["other"]["nme478"]["pictures"] == [6400, 12800, 19200, 25600]
    assert (out / "training.png").read_bytes()[:4] == b"\x89PNG"
    assert (out / "training.md").read_text().count("| other |") == ROWS


def test_folders_without_losses_cost_a_line(tmp_path, capsys):
    run = train_for(tmp_path / "run", 0, 640)
    for wrong in (tmp_path / "none", tmp_path):
        assert main(["evaluate", "training", str(run), str(wrong), "-o", str(tmp_path / "out")]) == 4
        output = capsys.readouterr()
        assert output.out == "" and output.err.startswith(f"{wrong}: holds no TensorBoard events")
        assert len(output.err.splitlines()) == 1
    assert main(["evaluate", "training"]) == 2
    assert "give folders of runs" in capsys.readouterr().err
    (tmp_path / "events.out.tfevents.1.x").write_bytes(b"none of TensorBoard's")
    with pytest.raises(UnreadableInput, match="have no losses"):
        TrainingLog.read(tmp_path)


def test_an_events_file_that_ends_early_is_read_up_to_there(tmp_path):
    (file,) = train_for(tmp_path, 0, TOTAL).glob("*tfevents*")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    log = TrainingLog.read(tmp_path)
    assert 10 < len(log.training.pictures) < 40
    np.testing.assert_allclose(log.training.values, 1e3 / log.training.pictures, rtol=1e-6)
    log = TrainingLog.read(train_for(tmp_path, 640, TOTAL))  # and those of the run that went on after it
    np.testing.assert_array_equal(log.training.pictures, np.arange(640, TOTAL + 1, 640))
    np.testing.assert_allclose(log.training.values, 1e3 / log.training.pictures, rtol=1e-6)


def test_events_that_cannot_be_written_say_so(tmp_path, monkeypatch, capsys):
    from tensorboard.summary.writer.record_writer import RecordWriter

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(
        CannotWrite, match=r"events cannot be written \(No space left .*goes on from the last"
    ):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(RecordWriter, "write", full)
            train_for(tmp_path, 0, TOTAL)
    before = threading.excepthook
    with pytest.raises(BadTraining, match="first"), Progress(tmp_path, TOTAL, 0, True) as progress:
        monkeypatch.setattr(RecordWriter, "write", full)
        progress.events.add_scalar("x", 0.0, 1)
        time.sleep(0.1)
        raise BadTraining("first")
    assert threading.excepthook is before and "Traceback" not in capsys.readouterr().err
