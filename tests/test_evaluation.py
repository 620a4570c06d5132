"""The measures themselves: each against a known answer or an independent implementation."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

import mien.detect
from mien.errors import MissingLibrary, UnreadableInput
from mien.evaluation import figures, ict, ict_heads
from mien.evaluation.closest_point import Surface
from mien.evaluation.detections import detect_all
from mien.evaluation.geometry import (
    REGION_MM,
    Similarity,
    align,
    align_points,
    align_surface,
    near_nose,
    scan_to_mesh,
)
from mien.evaluation.identity import (
    leak,
    pair_distances,
    people_in,
    same_person,
    separation,
    separation_report,
)
from mien.evaluation.photos import landmark_error, photometric_error, skin_luminance
from mien.evaluation.report import Report, page_of
from mien.facecode import ARKIT_NAMES
from mien.landmarks import LandmarkPoints, place_landmarks
from mien.model_files.ict import read_ict
from mien.morphable import load_model
from mien.render import render
from mien.traits import direction
from published_files import write_ict
from tiny_face import tiny_code, tiny_face

UNMOVED = Similarity(1.0, np.eye(3), np.zeros(3))


def _head() -> tuple[np.ndarray, np.ndarray]:
    model = tiny_face()
    return model.identity_mean.astype(np.float64), model.triangles


def _some_similarity(scale: float) -> Similarity:
    return Similarity(
        scale, Rotation.from_euler("yxz", [0.5, -0.2, 0.1]).as_matrix(), np.array([9.0, -4.0, 700])
    )


# closest points


def test_closest_points_are_those_of_trying_every_triangle():
    rng = np.random.default_rng(0)
    vertices, triangles = rng.normal(size=(60, 3)), rng.integers(0, 60, (90, 3))
    triangles[0] = 7  # a point, and below a segment: degenerate triangles count too
    triangles[1] = 3, 3, 9
    points = np.concatenate([2 * rng.normal(size=(200, 3)), vertices[:20]])
    found, on = Surface.of(vertices, triangles).closest(points)
    usual = vertices[triangles[2:]]
    every = [trimesh.triangles.closest_point(usual, np.repeat(p[None], len(usual), 0)) for p in points]
    least = np.linalg.norm(np.stack(every) - points[:, None], axis=2).min(1)
    distance = np.linalg.norm(found - points, axis=1)
    assert (distance <= least + 1e-12).all()
    sound = on >= 2
    assert sound.sum() > 150
    np.testing.assert_allclose(distance[sound], least[sound], atol=1e-12)


def test_the_triangle_named_holds_the_closest_point():
    vertices, triangles = _head()
    points = 1.3 * vertices[::3]
    found, on = Surface.of(vertices, triangles).closest(points)
    again = trimesh.triangles.closest_point(vertices[triangles[on]], points)
    np.testing.assert_allclose(again, found, atol=1e-9)


def test_a_surface_without_triangles_is_refused():
    with pytest.raises(ValueError, match="at least one triangle"):
        Surface.of(np.zeros((3, 3)), np.zeros((0, 3), int))


# geometry


@pytest.mark.parametrize("scale", [1.0, 1.25])
def test_points_moved_by_a_similarity_are_brought_back(scale):
    source = np.random.default_rng(1).normal(size=(7, 3)) * 40
    truth = _some_similarity(scale)
    found = align_points(source, truth(source), with_scale=scale != 1.0)
    np.testing.assert_allclose(found(source), truth(source), atol=1e-9)
    np.testing.assert_allclose(found.inverse(truth(source)), source, atol=1e-9)


def test_mirrored_points_are_not_matched_by_a_reflection():
    source = np.random.default_rng(2).normal(size=(9, 3))
    found = align_points(source, source * [-1, 1, 1], with_scale=True)
    assert np.isclose(np.linalg.det(found.rotation), 1.0)


@pytest.mark.parametrize(("scale", "with_scale"), [(1.0, False), (1.0, True), (0.8, True)])
def test_a_head_against_itself_moved_is_at_distance_zero(scale, with_scale):
    vertices, triangles = _head()
    landmarks = vertices[[5, 40, 77, 100, 130, 150, 12]]
    wrong = np.random.default_rng(3).normal(size=(7, 3)) * 3  # the surface must mend what landmarks get wrong
    moved = _some_similarity(scale)
    surface = Surface.of(moved(vertices), triangles)
    motion = align(surface, moved(landmarks + wrong), vertices, landmarks, with_scale)
    assert scan_to_mesh(surface, vertices, motion).max() < 2e-2
    np.testing.assert_allclose(motion.scale, 1 / scale, rtol=1e-3)


def test_scan_points_off_a_plane_are_at_that_distance():
    corners = np.array([[-100, -100, 0], [100, -100, 0], [100, 100, 0], [-100, 100, 0]], float)
    surface = Surface.of(corners, np.array([[0, 1, 2], [0, 2, 3]]))
    points = np.random.default_rng(4).uniform(-50, 50, (300, 3)) * [1, 1, 0] + [0, 0, 2.5]
    np.testing.assert_allclose(scan_to_mesh(surface, points, UNMOVED), 2.5)
    doubled = Similarity(2.0, np.eye(3), np.zeros(3))  # millimetres are the scan's, not the mesh's
    np.testing.assert_allclose(scan_to_mesh(surface, points, doubled), 2.5)


def test_without_scale_a_larger_sphere_stays_larger():
    sphere = trimesh.creation.icosphere(4)
    landmarks = sphere.vertices[:7]
    surface, scan = Surface.of(55.0 * sphere.vertices, sphere.faces), 50.0 * sphere.vertices
    for with_scale, distance in ((False, 5.0), (True, 0.0)):
        motion = align(surface, 55.0 * landmarks, scan, 50.0 * landmarks, with_scale)
        np.testing.assert_allclose(scan_to_mesh(surface, scan, motion), distance, atol=0.1)


def test_aligning_surfaces_lowers_the_squared_distances_to_a_minimum():
    vertices, triangles = _head()
    surface, scan = Surface.of(vertices, triangles), tiny_face().vertices(np.ones(6), np.zeros(52))
    start = _some_similarity(1.0)
    scan = start(scan.astype(np.float64))
    best = align_surface(surface, scan, start, with_scale=True, iterations=60)
    least = (scan_to_mesh(surface, scan, best) ** 2).sum()
    assert least < (scan_to_mesh(surface, scan, start) ** 2).sum()
    for axis in range(3):
        for step in (-1.0, 1.0):
            shifted = Similarity(best.scale, best.rotation, best.translation + step * np.eye(3)[axis])
            assert (scan_to_mesh(surface, scan, shifted) ** 2).sum() > least


def test_the_region_is_a_ball_about_the_nose():
    points = np.array([[REGION_MM - 0.1, 0, 0], [0, REGION_MM + 0.1, 0]]) + 5.0
    assert near_nose(points, np.full(3, 5.0)).tolist() == [True, False]


# photographs


def test_a_rendering_of_the_code_has_no_photometric_error():
    model, code = tiny_face(), tiny_code(1)
    image = render(model, code, (96, 96)).image
    assert photometric_error(model, code, image, grey=False) < 1e-5
    assert photometric_error(model, code, image, grey=True) < 1e-5
    assert photometric_error(model, code, image + 0.1, grey=False) == pytest.approx(0.1, abs=1e-4)


def test_skin_is_read_as_dark_as_it_is():
    model = load_model("anny")
    dark, light = (
        skin_luminance(model, SimpleNamespace(albedo=direction(model, "tone") * t)) for t in (-2, 2)
    )
    assert 0.02 < dark < 0.6 * light < 0.6
    white = replace(model, albedo_mean=0 * model.albedo_mean)
    assert white.albedo_is_log
    assert skin_luminance(white, SimpleNamespace(albedo=np.zeros(60))) == pytest.approx(1, abs=1e-5)


def test_a_face_outside_the_picture_has_no_photometric_error_at_all():
    model = tiny_face()
    code = tiny_code(1).with_(translation=np.array([5000, 0, 600], np.float32))
    assert np.isnan(photometric_error(model, code, np.zeros((96, 96, 3), np.float32), grey=False))


def test_landmark_error_is_in_units_of_the_eye_distance():
    model, code = tiny_face(), tiny_code(2)
    points = LandmarkPoints.of(model.landmarks478, model.identity_mean, sliding=False)
    principal = np.array([48.0, 48.0])
    vertices = model.vertices(code.identity, code.expression)
    placed = place_landmarks(points, vertices, code.rotation, code.translation, code.focal_px, principal)[
        :, :2
    ]
    unit = np.linalg.norm(placed[33] - placed[263])
    assert landmark_error(model, code, points, principal, placed, placed) == pytest.approx(0, abs=1e-12)
    shifted = placed + [0.03 * unit, 0.04 * unit]
    assert landmark_error(model, code, points, principal, shifted, shifted) == pytest.approx(0.05)


# identity


def test_auc_is_the_share_of_pairs_in_the_right_order():
    rng = np.random.default_rng(5)
    person = np.repeat(np.arange(6), 3)
    codes = rng.normal(size=(6, 4))[person] + 0.8 * rng.normal(size=(18, 4))
    distances, same = pair_distances(codes, "euclidean"), same_person(person)
    result = separation(distances, same)
    near, far = distances[same], distances[~same]
    assert (result.same, result.different) == (18, 135)
    assert result.auc == pytest.approx((near[:, None] < far).mean())
    assert result.d_prime == pytest.approx((far.mean() - near.mean()) / np.sqrt((near.var() + far.var()) / 2))


def test_pairs_of_one_kind_only_separate_nothing():
    with pytest.raises(ValueError, match="both kinds are needed"):
        separation(np.ones(3), np.ones(3, bool))


def test_leak_is_the_correlation_of_ranks():
    distance = np.array([0.1, 0.5, 0.2, 0.9])
    assert leak(distance, distance**3) == pytest.approx(1.0)
    assert leak(distance, -distance) == pytest.approx(-1.0)


def test_people_are_known_by_folder_or_by_name():
    by_folder = [Path("x/ann/1.jpg"), Path("x/ann/2.jpg"), Path("x/bo/1.png"), Path("x/bo/9.png")]
    assert people_in(Path("x"), by_folder) == {"ann": by_folder[:2], "bo": by_folder[2:]}
    names = ("Al_Gore_0001", "Al_Gore_0002", "Al_Gore_II_0001", "Al_Gore_II_0003", "Bo_0001", "none")
    lfw = [Path(f"x/{name}.jpg") for name in names]
    assert people_in(Path("x"), lfw) == {"Al_Gore": lfw[:2], "Al_Gore_II": lfw[2:4]}
    with pytest.raises(UnreadableInput, match="two or more photographs of 1 people"):
        people_in(Path("x"), lfw[:3])


def test_codes_that_tell_people_apart_are_reported_so():
    codes = np.array([[1, 0], [1.1, 0.1], [0, 1], [0, 1.2]])
    report = separation_report("x", codes, np.array(["a", "a", "b", "b"]))
    assert [row[:4] for row in report.rows] == [
        ["euclidean", "2", "4", "1.000"],
        ["cosine", "2", "4", "1.000"],
    ]
    assert report.about.endswith("4 photographs of 2 people")
    assert report.figures[""]()[:4] == b"\x89PNG"


# random heads


def test_expressions_are_arkit_s_and_possible():
    names = list(ARKIT_NAMES)
    for seed in range(200):
        value = ict_heads.random_expression(np.random.default_rng(seed))
        assert value.shape == (52,) and value.min() >= 0 and value.max() <= 1
        assert 0 < np.count_nonzero(value) <= 18
        assert value[names.index("mouthClose")] <= value[names.index("jawOpen")]
        assert value[names.index("eyeLookOutLeft")] == value[names.index("eyeLookInRight")]


def test_lights_come_from_all_sides_and_are_finite():
    lights = np.stack([ict_heads.random_light(np.random.default_rng(seed)) for seed in range(200)])
    assert np.isfinite(lights).all() and (lights[:, 0] > 0).all()
    sideways = lights[:, 3].mean(-1)
    assert (sideways > 0.1).mean() > 0.2 and (sideways < -0.1).mean() > 0.2


def test_sets_of_seeds_do_not_meet():
    first = sorted([ict_heads.TEST_SEED, ict_heads.VALIDATION_SEED, ict_heads.PAIR_SEED])
    assert min(np.diff(first)) >= 10_000


def test_looking_left_turns_both_irises_to_the_subject_s_left():
    vertices = np.zeros((ict.COUNT, 3))
    ball = trimesh.creation.icosphere(2, radius=12.0).vertices
    for name in ("eye_left", "eye_right"):
        part = ict.PARTS[name]
        vertices[part] = ball[np.arange(part.stop - part.start) % len(ball)]
    expression = np.zeros(52)
    expression[[ARKIT_NAMES.index("eyeLookOutLeft"), ARKIT_NAMES.index("eyeLookInRight")]] = 1.0
    turned = ict_heads.with_gaze(vertices, expression)
    for name in ("eye_left", "eye_right"):
        front = ict.PARTS[name].start + vertices[ict.PARTS[name]][:, 2].argmax()
        sine = np.sin(np.radians(ict_heads.GAZE_DEGREES))
        np.testing.assert_allclose(turned[front], [12 * sine, 0, 12 * np.sqrt(1 - sine**2)], atol=0.2)
    np.testing.assert_array_equal(turned[: ict.PARTS["eye_left"].start], 0)


def test_halving_edges_keeps_the_surface():
    sphere = trimesh.creation.icosphere(2)
    pairs, triangles = ict_heads._halve_edges(sphere.faces, len(sphere.vertices))
    vertices = ict_heads._refine(sphere.vertices, pairs)
    refined = trimesh.Trimesh(vertices, triangles, process=False)
    assert refined.is_watertight and refined.is_winding_consistent
    assert refined.area == pytest.approx(sphere.area) and refined.volume == pytest.approx(sphere.volume)


def test_ict_s_folder_is_centred_between_the_eyes_and_has_arkit_s_actions(tmp_path):
    folder = write_ict(tmp_path / "FaceXModel")
    opened, published = ict.load_ict(folder), read_ict(folder)
    eyes = [opened.mean[ict.PARTS[name]] for name in ("eye_left", "eye_right")]
    np.testing.assert_allclose(sum(eye.min(0) + eye.max(0) for eye in eyes), 0, atol=1e-3)
    shapes = dict(zip(published.expression_names, published.expression, strict=True))
    for action, halves in (("jawOpen", ["jawOpen"]), ("cheekPuff", ["cheekPuffLeft", "cheekPuffRight"])):
        expected = sum(shapes[name] for name in halves)
        np.testing.assert_allclose(opened.expression[ARKIT_NAMES.index(action)], expected, atol=1e-5)
    assert not opened.expression[ARKIT_NAMES.index("tongueOut")].any()


# detections and reports


def test_pictures_are_detected_once(tmp_path, monkeypatch):
    calls = []

    class Fake:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def detect(self, image, max_faces):
            calls.append(image)
            face = mien.detect.DetectedFace(np.full((478, 3), image), np.zeros(52), (0, 0, 1, 1), 1.0)
            return [face] if image != 1 else []

    monkeypatch.setattr(mien.detect, "Detector", Fake)
    first = detect_all(["a", "b", "c"], float, "key", tmp_path)
    again = detect_all(["a", "b", "c"], float, "key", tmp_path)
    assert calls == [0.0, 1.0, 2.0]
    assert again.found.tolist() == [True, False, True]
    np.testing.assert_array_equal(first.landmarks_px, again.landmarks_px)
    detect_all(["a", "b", "c"], float, "other pictures", tmp_path)
    assert len(calls) == 6


def test_reports_are_written_as_markdown_json_and_figures(tmp_path):
    from rich.console import Console

    drawn = {"": lambda: b"png", ".faces": lambda: b"faces"}
    report = Report("about", ["a", "b"], [["x", "1.0"]], {"x": 1.0, "none": [np.nan]}, drawn)
    report.show(Console(quiet=True), tmp_path / "deep" / "name")
    folder = tmp_path / "deep"
    assert (folder / "name.md").read_text() == "about\n\n| a | b |\n| --- | ---: |\n| x | 1.0 |\n"
    table = {"columns": ["a", "b"], "rows": [["x", "1.0"]]}
    expected = {"about": "about", "x": 1.0, "none": [None], "table": table}
    assert json.loads((folder / "name.json").read_text()) == expected
    assert (folder / "name.png").read_bytes() + (folder / "name.faces.png").read_bytes() == b"pngfaces"


def test_a_page_has_every_result_below_a_folder_and_nothing_else(tmp_path):
    report = Report("what of what", ["a"], [["x"]], {}, {"": lambda: b"png"})
    report.write(tmp_path / "b" / "name")
    Report("first", ["a"], [["y"]], {}).write(tmp_path / "a")
    (tmp_path / "other.json").write_text('{"about": "no table"}')
    (tmp_path / "broken.json").write_text("{")
    page = page_of(tmp_path, tmp_path / "pages" / "report.md")
    assert page.index("## a\n") < page.index("## b/name\n") and page.count("## ") == 2
    assert "![b/name](../b/name.png)" in page and "| y |" in page
    for empty in (tmp_path / "none", tmp_path / "pages"):
        (tmp_path / "pages").mkdir(exist_ok=True)
        with pytest.raises(UnreadableInput, match=str(empty)):
            page_of(empty, tmp_path / "report.md")


def test_without_matplotlib_its_extra_is_named(monkeypatch):
    monkeypatch.setattr(figures, "find_spec", lambda name: None)
    with pytest.raises(MissingLibrary, match=r"matplotlib.*mien\[figures\]"):
        figures.need_figures()
