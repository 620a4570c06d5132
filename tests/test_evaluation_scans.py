"""Reconstructions against scans, and scans and photographs in NoW's layout."""

import shutil
import sys
from types import ModuleType

import numpy as np
import pytest

from evaluation_sets import random_code, write_now
from mien.camera import rotation_matrix
from mien.errors import MissingLibrary, UnreadableInput
from mien.evaluation import eos_baseline
from mien.evaluation.geometry import CURVE_MM, LANDMARKS, Distances, face_region
from mien.evaluation.now import now_pictures, now_scan, read_picked_points
from mien.evaluation.scans import Guess, Scan, Score, compare, guess_of, score_figure, score_table
from mien.morphable import load_model


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.fixture(scope="module")
def published(model, tmp_path_factory):
    """Two subjects in NoW's layout, and their codes."""
    home = tmp_path_factory.mktemp("now")
    codes = {name: random_code(model, seed, 64) for seed, name in enumerate(("FaMoS_1", "FaMoS_2"))}
    write_now(home, model, codes, 64)
    return home, codes


@pytest.fixture
def home(published, tmp_path):
    """A copy to spoil."""
    shutil.copytree(published[0], tmp_path / "now")
    return tmp_path / "now"


def test_distances_in_short_and_their_curve():
    values = np.array([0.0, 1.0, 1.0, 9.0])
    short = Distances.of(values)
    assert (short.median, short.mean, short.std) == (1.0, 2.75, pytest.approx(values.std()))
    curve = dict(zip(np.round(CURVE_MM, 3).tolist(), short.below, strict=True))
    assert (curve[0.0], curve[0.9], curve[1.0], curve[7.0]) == (0.25, 0.25, 0.75, 0.75)


def test_the_region_of_a_scan_by_hand():
    landmarks = np.zeros((7, 3))
    landmarks[:5] = [[-45, 50, 0], [-15, 50, 0], [15, 50, 0], [45, 50, 0], [0, 0, 0]]
    centre, radius = face_region(landmarks)
    np.testing.assert_allclose(centre, [0, 15, 0])
    assert radius == pytest.approx(0.7 * (90 + 50))


def test_size_counts_only_where_it_is_kept(model):
    layout = model.layout
    truth = guess_of(model, np.zeros(layout.identity), np.zeros(layout.expression))
    used = np.unique(truth.triangles)
    points = truth.vertices[used][::4]
    points = points[np.linalg.norm(points - truth.landmarks.mean(0), axis=1) < 80]
    scan = Scan(points, truth.landmarks)
    turn = rotation_matrix(np.array([0.2, 0.4, -0.1]))
    larger = Guess(1.05 * truth.vertices @ turn.T + 30, truth.triangles, 1.05 * truth.landmarks @ turn.T + 30)
    same, grown = compare(truth, scan), compare(larger, scan)
    assert same.unscaled.max() < 0.02 and grown.scaled.max() < 0.05
    assert 0.3 < np.median(grown.unscaled) < 3
    both = Score.of([same, grown])
    assert both.heads == 2 and np.isnan(both.depth)
    assert both.scaled.mean == pytest.approx(np.concatenate([same.scaled, grown.scaled]).mean(), rel=1e-5)
    columns, rows = score_table({"a, x": both, "b, y": both}, {"a, x": 1.0})
    assert columns[2] == "target" and [row[2] for row in rows] == ["1.00", ""]
    assert len(columns) == len(rows[0]) == 9
    assert score_figure({"a, x": both, "b, y": both})[:4] == b"\x89PNG"


def test_a_published_scan_is_the_head_that_it_was_made_of(published, model):
    home, codes = published
    pictures = now_pictures(home)
    assert [(p.subject, p.challenge) for p in pictures[:2]] == [
        ("FaMoS_1", "multiview_neutral"), ("FaMoS_1", "selfie"),
    ]  # fmt: skip
    assert len(pictures) == 4 and all(p.file.is_file() for p in pictures)
    at_rest = np.zeros(model.layout.expression)
    for subject, other in (("FaMoS_1", "FaMoS_2"), ("FaMoS_2", "FaMoS_1")):
        scan = now_scan(home, subject)
        own = compare(guess_of(model, codes[subject].identity, at_rest), scan)
        wrong = compare(guess_of(model, codes[other].identity, at_rest), scan)
        assert max(own.scaled.max(), own.unscaled.max()) < 0.02
        assert np.median(wrong.scaled) > 0.5
        centre, radius = face_region(scan.landmarks)
        assert np.linalg.norm(scan.points - centre, axis=1).max() <= radius


def test_without_a_list_all_pictures_of_scanned_subjects_count(home):
    (home / "imagepathsvalidation.txt").unlink()
    assert len(now_pictures(home)) == 4
    shutil.rmtree(home / "scans" / "FaMoS_1")
    assert {p.subject for p in now_pictures(home)} == {"FaMoS_2"}
    shutil.move(home / "NoW_Dataset" / "final_release_version" / "iphone_pictures", home)
    assert len(now_pictures(home)) == 2


def test_picked_points_are_read_as_meshlab_means_them(tmp_path):
    file = tmp_path / "a.pp"
    point = '<point name="{0}" z="3" active="{1}" x="{0}.5" y="-1e1"/>'
    points = "".join(point.format(k, 1) for k in range(7))
    file.write_text(f"<PickedPoints>{points}{point.format(9, 0)}</PickedPoints>")
    np.testing.assert_array_equal(read_picked_points(file), [[k + 0.5, -10, 3] for k in range(7)])
    for text, why in (
        (f"<PickedPoints>{points}{point.format(9, 1)}</PickedPoints>", "has 8 points"),
        (f"<PickedPoints>{points}", "not a file of MeshLab"),
        (f"<PickedPoints>{points.replace('3', 'three')}</PickedPoints>", "not a file of MeshLab"),
        (f"<PickedPoints>{points.replace('-1e1', 'nan')}</PickedPoints>", "expected NoW's seven"),
    ):
        file.write_text(text)
        with pytest.raises(UnreadableInput, match=rf"a\.pp: .*{why}"):
            read_picked_points(file)


def test_wrong_layouts_name_what_is_missing(home, tmp_path):
    shutil.rmtree(home / "scans_lmks_onlypp")
    with pytest.raises(UnreadableInput, match=r"has no scans_lmks_onlypp; NoW's layout"):
        now_pictures(home)
    with pytest.raises(UnreadableInput, match="has no iphone_pictures and no scans and no scans_lmks_onlypp"):
        now_pictures(tmp_path / "none")


def test_unusable_scans_say_why(home):
    scan = next((home / "scans" / "FaMoS_1").glob("*.obj"))
    points = next((home / "scans_lmks_onlypp" / "FaMoS_1").glob("*.pp"))
    text, picked = scan.read_text(), points.read_text()
    for broken, why in (
        ("", "has no vertices"),
        (text.replace("v ", "v x"), "other than three numbers"),
        ("v 0 0 0\n" * 500, "0 vertices near the points"),
    ):
        scan.write_text(broken)
        with pytest.raises(UnreadableInput, match=why):
            now_scan(home, "FaMoS_1")
    scan.write_text(text)
    points.write_text(picked.replace('name="3" active="1"', 'name="3" active="0"'))
    with pytest.raises(UnreadableInput, match="has 6 points"):
        now_scan(home, "FaMoS_1")
    points.unlink()
    with pytest.raises(UnreadableInput, match=r"FaMoS_1: has no \*\.pp; every subject"):
        now_scan(home, "FaMoS_1")


def test_scans_in_centimetres_are_refused(model, tmp_path):
    write_now(tmp_path, model, {"S": random_code(model, 0, 32)}, 32, scale=0.1)
    with pytest.raises(UnreadableInput, match="in another order or unit"):
        now_scan(tmp_path, "S")


def test_eos_is_left_out_or_its_files_named(monkeypatch, tmp_path):
    monkeypatch.setattr(eos_baseline, "find_spec", lambda name: None)
    with pytest.raises(MissingLibrary, match="baseline eos is left out"):
        eos_baseline.eos_contender(tmp_path)
    monkeypatch.setattr(eos_baseline, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "eos", ModuleType("eos"))
    (tmp_path / "ibug_to_sfm.txt").touch()
    with pytest.raises(
        UnreadableInput, match=r"has no sfm_shape_3448\.bin, expression_.*name the folder share"
    ):
        eos_baseline.eos_contender(tmp_path)
    assert len(eos_baseline.LANDMARKS) == len(LANDMARKS)
