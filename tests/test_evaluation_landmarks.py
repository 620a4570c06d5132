"""Annotated photographs in the layouts of their publishers, and what is computed of their landmarks."""

import numpy as np
import pytest

from evaluation_sets import draw, points68, pts_text, random_code, write_mat, xml_text
from mien.errors import NoFace, UnreadableInput
from mien.evaluation.landmark_accuracy import (
    NORMALISATIONS,
    ReadFace,
    area_under_curve,
    landmark_report,
    read_annotated,
    units_px,
)
from mien.evaluation.landmark_sets import AnnotatedFace, annotations_in, read_annotation
from mien.morphable import load_model

SIZE = 320


@pytest.fixture(scope="module")
def points():
    return np.random.default_rng(0).uniform(5, 60, (68, 2))


def test_all_layouts_mean_the_same_points(tmp_path, points):
    for name in ("pts", "mat", "xml"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "a.b.jpg").touch()
    (tmp_path / "pts" / "deep" / "a.b.pts").write_text(pts_text(points))
    write_mat(tmp_path / "mat" / "deep" / "a.b.mat", points, -0.5)
    (tmp_path / "xml" / "labels.xml").write_text(xml_text({"deep/a.b.jpg": points, "c.jpg": points + 1}))
    for name in ("pts", "mat"):
        layout, files = annotations_in(tmp_path / name)
        assert layout == name and len(files) == 1
        face = read_annotation(files[0])
        np.testing.assert_allclose(face.points_px, points, atol=1e-5)
        assert face.picture == tmp_path / name / "deep" / "a.b.jpg" and face.hidden_too == (name == "mat")
    assert face.yaw_degrees == pytest.approx(np.degrees(0.5))
    for place in (tmp_path / "xml", tmp_path / "xml" / "labels.xml"):
        layout, faces = annotations_in(place)
        assert layout == "xml" and len(faces) == 2
        np.testing.assert_allclose(faces[0].points_px, points, atol=1e-5)
        np.testing.assert_allclose(faces[1].points_px, points + 1, atol=1e-5)
        assert faces[0].picture == tmp_path / "xml" / "deep" / "a.b.jpg"


def test_pixels_are_counted_as_each_layout_counts_them(tmp_path):
    """The centre of the upper left pixel: (1, 1) in MATLAB's layouts, (0, 0) in dlib's, (0.5, 0.5) here."""
    points = np.full((68, 2), 9.0)
    points[36] = 1.0
    (tmp_path / "a.png").touch()
    rows = "\n".join(f"{x} {y}" for x, y in points)
    (tmp_path / "a.pts").write_text("version: 1\nn_points: 68\n{\n" + rows + "\n}")
    np.testing.assert_array_equal(read_annotation(tmp_path / "a.pts").points_px[36], [0.5, 0.5])
    parts = "".join(f"<part name='{k}' x='{x - 1}' y='{y - 1}'/>" for k, (x, y) in enumerate(points))
    text = f"<dataset><images><image file='a.png'><box>{parts}</box></image></images></dataset>"
    (tmp_path / "a.xml").write_text(text)
    np.testing.assert_array_equal(annotations_in(tmp_path / "a.xml")[1][0].points_px[36], [0.5, 0.5])


@pytest.mark.parametrize(
    ("name", "contents", "why"),
    [
        ("a.pts", b"version: 1\nn_points: 2\n1 2\n", "not a .pts file"),
        ("a.pts", b"{\n1 2 3\n4 5 6\n}", "not a .pts file"),
        ("a.pts", b"{\n1 x\n}", "not a .pts file"),
        ("a.pts", b"\xff\xfe{", "not a .pts file"),
        ("a.pts", b"{\n1 2\n3 4\n}", "has 2 points, expected iBUG's 68"),
        ("a.pts", b"{\n" + b"1 2\n" * 68 + b"}", "all in one place"),
        ("a.pts", b"{\n" + b"1 nan\n" * 68 + b"}", "not finite"),
        ("a.mat", b"MATLAB 5.0", "no .mat file that SciPy reads"),
        ("a.mat", b"", "no .mat file that SciPy reads"),
    ],
)
def test_damaged_annotations_say_why(tmp_path, name, contents, why):
    (tmp_path / "a.jpg").touch()
    (tmp_path / name).write_bytes(contents)
    with pytest.raises(UnreadableInput, match=f"{name}: .*{why}"):
        read_annotation(tmp_path / name)


def test_other_mat_files_and_missing_pictures_are_refused(tmp_path, points):
    from scipy.io import savemat

    savemat(tmp_path / "a.mat", {"landmarks": points})
    with pytest.raises(UnreadableInput, match="has no pt3d_68"):
        read_annotation(tmp_path / "a.mat")
    savemat(tmp_path / "a.mat", {"pt3d_68": points})
    with pytest.raises(UnreadableInput, match="has 2 points"):
        read_annotation(tmp_path / "a.mat")
    write_mat(tmp_path / "a.mat", points, 0.0)
    with pytest.raises(UnreadableInput, match=r"no picture a with \.jpg"):
        read_annotation(tmp_path / "a.mat")


def test_tables_and_folders_of_no_layout_are_refused(tmp_path, points):
    (tmp_path / "notes.xml").write_text("<other/>")
    with pytest.raises(UnreadableInput, match=r"no \.pts or \.mat beside pictures and no XML"):
        annotations_in(tmp_path)
    for text, why in (
        ("<dataset><images>", "not a data set of dlib's"),
        ("<dataset></dataset>", "no face is annotated"),
        (xml_text({"a.jpg": points[:5]}), "a.jpg has 5 points"),
        (xml_text({"a.jpg": points}).replace(" x='", " z='", 1), "not a data set of dlib's"),
    ):
        (tmp_path / "a.xml").write_text(text)
        with pytest.raises(UnreadableInput, match=rf"a\.xml: .*{why}"):
            annotations_in(tmp_path / "a.xml")
    (tmp_path / "b.xml").write_text(xml_text({"a.jpg": points}))
    with pytest.raises(UnreadableInput, match=r"several XML files \(a\.xml, b\.xml\)"):
        annotations_in(tmp_path)
    with pytest.raises(UnreadableInput, match="is no folder"):
        annotations_in(tmp_path / "none")


def test_what_errors_are_divided_by():
    points = np.zeros((68, 2))
    points[0], points[8] = (0, 10), (40, 100)
    points[36:42], points[42:48] = (10, 20), (30, 20)
    points[36], points[45] = (4, 20), (36, 20)
    width, height = 40, 100
    expected = [32, (5 * 30 + 36) / 6 - (5 * 10 + 4) / 6, np.sqrt(width * height), np.hypot(width, height)]
    np.testing.assert_allclose(units_px(points), expected)


def test_area_under_the_curve_is_its_integral():
    errors = np.append(np.random.default_rng(1).gamma(4, 0.015, 300), np.inf)
    grid = np.linspace(0, 0.08, 20001)
    curve = np.searchsorted(np.sort(errors), grid, side="right") / len(errors)
    assert area_under_curve(errors, 0.08) == pytest.approx(curve.mean(), abs=1e-4)
    assert area_under_curve(np.zeros(3), 0.08) == 1 and area_under_curve(np.full(3, 0.09), 0.08) == 0


def test_missed_faces_fail_but_do_not_enter_means():
    errors = {"mien": [0.02, 0.06], "detector": [0.04, 0.09]}
    faces = [
        ReadFace({n: np.full(4, e[i]) for n, e in errors.items()}, yaw) for i, yaw in enumerate((10, 45))
    ]
    report = landmark_report("x", faces, missed=2)
    assert len(report.rows) == 2 * len(NORMALISATIONS) and report.about.endswith("faces: 4, not found: 2")
    mien, detector = report.rows[0], report.rows[len(NORMALISATIONS)]
    area = (0.75 + 0.25) / 4
    assert mien[1:7] == ["4.00%", "4.00%", f"{area:.3f}", "50.00%", "0.300", "50.00%"]
    assert mien[7:] == ["2.00%", "6.00%", "", ""] and detector[4] == "75.00%"
    assert report.columns[7:10] == ["yaw 0 to 30° (1)", "yaw 30 to 60° (1)", "yaw 60 to 90° (0)"]
    report = landmark_report("x", [*faces, faces[0], ReadFace(faces[1].errors, 90.0)], missed=0)
    assert report.rows[0][7:] == ["2.00%", "6.00%", "6.00%", "4.67%"]
    assert report.figures[""]()[:4] == b"\x89PNG"


def test_a_drawn_face_is_read_where_it_is(tmp_path):
    model = load_model()
    code = random_code(model, 3, SIZE, yaw=0.15)
    picture = tmp_path / "a.png"
    draw(model, code, SIZE, picture)
    face = AnnotatedFace(picture, points68(model, code, SIZE))
    read = read_annotated(face, "anny", refine=True)
    assert read.errors["mien"][0] < 0.04 and read.errors["detector"][0] < 0.06
    assert read.yaw_degrees == pytest.approx(np.degrees(0.15), abs=6)
    by_3d = AnnotatedFace(picture, points68(model, code, SIZE, sliding=False), 12.0, hidden_too=True)
    read = read_annotated(by_3d, "anny", refine=False)
    assert read.errors["mien"][0] < 0.05 and read.yaw_degrees == 12.0
    with pytest.raises(NoFace, match="it counts as failed"):
        read_annotated(AnnotatedFace(picture, face.points_px + 200), "anny", refine=False)
