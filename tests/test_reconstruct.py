"""The pipeline on the example photograph, and what its result can do."""

import pickle
import re
import runpy
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import mien
from mien.composite import composite
from mien.detect import DetectedFace
from mien.errors import CannotWrite
from mien.facefile import Face
from mien.files import write_together
from mien.image import load_image
from mien.overlay import overlay, portrait
from mien.reconstruction import Reconstruction, reconstruct, reopen
from mien.render import render
from tiny_face import tiny_code, tiny_face

ROOT = Path(__file__).parents[1]
EXAMPLE, README = ROOT / "examples" / "astronaut.jpg", ROOT / "README.md"


@pytest.fixture(scope="module")
def astronaut() -> Reconstruction:
    """The one face of the example photograph."""
    (face,) = reconstruct(EXAMPLE)
    return face


@pytest.fixture
def tiny() -> Reconstruction:
    """A tiny face before a grey photograph."""
    code = tiny_code(3)
    code = code.from_vector(code.to_vector().astype(np.float64), code.layout, code.model)
    face = Face(code, np.array([48.0, 48.0]), (96, 96), "", np.zeros(4), np.zeros((68, 2)))
    return Reconstruction(face, tiny_face(), np.full((96, 96, 3), 0.5, np.float32))


def test_example_photograph(astronaut):
    """She looks at the camera and smiles; the face is where hers is, and about as bright."""
    assert astronaut.blendshapes["mouthSmileLeft"] > 0.3 and astronaut.blendshapes["mouthSmileRight"] > 0.3
    assert np.abs(astronaut.code.rotation).max() < 0.5
    assert astronaut.face.image_size == (512, 512)
    chin, nose_tip, left_eye_corner, right_eye_corner = astronaut.face.landmarks68_px[[8, 30, 45, 36]]
    assert right_eye_corner[0] < nose_tip[0] < left_eye_corner[0]
    assert right_eye_corner[1] < nose_tip[1] < chin[1]
    drawn = astronaut.render(supersample=1)
    face = np.zeros(drawn.mask.shape, bool)
    left, right = int(right_eye_corner[0]), int(left_eye_corner[0])
    face[int(left_eye_corner[1]) + 10 : int(chin[1]) - 10, left:right] = True
    error = np.abs(drawn.image - astronaut.image)[face & (drawn.mask == 1)]
    assert error.mean() < 0.12


def test_same_input_same_result(astronaut):
    again = reconstruct(EXAMPLE)[0]
    assert np.array_equal(again.code.to_vector(), astronaut.code.to_vector())


def test_saved_face_renders_the_same_picture(astronaut, tmp_path):
    paths = astronaut.save(tmp_path / "deep" / "folder", "eileen")
    assert paths[-1].name == "eileen.face.json"
    again = reopen(paths[-1])
    assert np.array_equal(again.image, astronaut.image)
    assert np.array_equal(again.render(supersample=1).image, astronaut.render(supersample=1).image)


def test_a_frown_over_the_photograph_is_creased_between_the_brows(astronaut):
    frown, seen = astronaut.with_expression("anger"), astronaut.landmarks_px
    smooth = composite(astronaut.model, astronaut.code, frown.code, astronaut.image, astronaut.camera, seen)
    darker = (smooth - frown.picture()).mean(2)
    x, y = seen[9].astype(int)
    assert darker[y - 12 : y + 6, x - 12 : x + 13].max() > 0.03
    x, y = seen[50].astype(int)
    assert np.abs(darker[y - 3 : y + 4, x - 3 : x + 4]).max() < 0.01


def test_array_in_place_of_a_file(astronaut):
    (face,) = reconstruct(load_image(EXAMPLE))
    assert np.allclose(face.code.to_vector(), astronaut.code.to_vector())


def test_no_face_is_an_empty_list():
    assert reconstruct(np.full((64, 64, 3), 0.5, np.float32)) == []


@pytest.mark.parametrize("image", [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8)), np.zeros((8, 8, 4))])
def test_what_is_no_picture(image):
    with pytest.raises(ValueError, match=r"must be \(H, W, 3\) float in \[0, 1\]"):
        reconstruct(image)


def test_the_unit_of_work_pickles(tiny):
    """Job and result can go to another process and come back."""
    job = pickle.loads(pickle.dumps(partial(reconstruct, max_faces=1)))
    assert job.func is reconstruct
    again = pickle.loads(pickle.dumps(tiny))
    assert np.array_equal(again.mesh.vertices, tiny.mesh.vertices)


def test_given_detector_and_model_are_used():
    class Nobody:
        def detect(self, image: np.ndarray, max_faces: int) -> list[DetectedFace]:
            self.asked = image.shape, max_faces
            return []

    detector = Nobody()
    assert reconstruct(np.zeros((4, 6, 3)), model=tiny_face(), max_faces=3, detector=detector) == []
    assert detector.asked == ((4, 6, 3), 3)


def test_blendshapes_change_what_they_name(tiny):
    changed = tiny.with_blendshapes(jawOpen=0.7, mouthLeft=0.0)
    expected = tiny.blendshapes | {"jawOpen": 0.7, "mouthLeft": 0.0}
    assert changed.blendshapes == expected
    assert tiny.neutral().with_blendshapes(**expected).blendshapes == expected
    assert np.array_equal(changed.code.identity, tiny.code.identity)
    assert set(tiny.neutral().blendshapes.values()) == {0.0}


def test_mistaken_blendshapes(tiny):
    with pytest.raises(ValueError, match="jawopen is no expression of tiny/1; did you mean jawOpen"):
        tiny.with_blendshapes(jawopen=1.0)
    with pytest.raises(ValueError, match=r"jawOpen is 1.5, must be in \[0, 1\]"):
        tiny.with_blendshapes(jawOpen=1.5)


def test_overlay_panels(tiny):
    """Photograph, twice the photograph with something over it, and a portrait; only the last has colour."""
    height = 64
    picture = tiny.overlay(height)
    width = (picture.shape[1] - round(0.8 * height) - 3 * 2) // 3
    panels = [picture[:, i * (width + 2) : i * (width + 2) + width] for i in range(3)]
    assert picture.shape[0] == height
    assert np.abs(panels[0] - 0.5).max() < 0.01
    for panel in panels[1:]:
        assert np.abs(panel[0, 0] - 0.5).max() < 0.01
        assert np.abs(panel - 0.5).max() > 0.05
    grey = np.ptp(panels[2], axis=-1).max()
    assert grey < 1e-5, "colours drawn over a grey photograph"
    assert np.ptp(picture[:, -round(0.8 * height) :], axis=-1).max() > 0.05


def test_overlay_of_a_colour_photograph_is_the_rendering(tiny):
    """Where the head fills the photograph, the panels show all of it, the reconstruction in its colours."""
    image = np.full((96, 96, 3), (0.2, 0.5, 0.8), np.float32)
    near = tiny.code.with_(translation=np.array([0.0, 10.0, 420.0]), rotation=np.zeros(3))
    face = Face(near, np.array([48.0, 48.0]), (96, 96), "", np.zeros(4), np.zeros((68, 2)))
    picture = overlay(tiny.model, face, image, 96)
    drawn = render(tiny.model, near, (96, 96), face.principal_px, supersample=2).image
    gutter = 2
    third = picture[:, 2 * (96 + gutter) : 3 * 96 + 2 * gutter]
    assert np.median(np.abs(third - drawn)[36:60, 36:60]) < 1e-4
    assert np.abs(third[0, 0] - [0.2, 0.5, 0.8]).max() < 0.01


def test_overlay_of_a_face_partly_outside(tiny):
    code = tiny.code.with_(translation=np.array([150.0, 60.0, 600.0]))
    face = Face(code, np.array([48.0, 48.0]), (96, 96), "", np.zeros(4), np.zeros((68, 2)))
    assert overlay(tiny.model, face, tiny.image, 48).shape[0] == 48


def test_portrait_does_not_depend_on_pose_and_light(tiny):
    moved = tiny.code.with_(
        rotation=np.array([0.1, 0.5, 0.0]), translation=np.ones(3), illumination=np.zeros((9, 3))
    )
    assert np.array_equal(portrait(tiny.model, tiny.code, 40), portrait(tiny.model, moved, 40))
    turned = portrait(tiny.model, tiny.code, 40, yaw_degrees=30)
    assert np.abs(turned - portrait(tiny.model, tiny.code, 40)).max() > 0.1


def test_together_means_all_or_none(tmp_path):
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "taken").mkdir()
    with pytest.raises(CannotWrite, match="taken"):
        write_together(tmp_path, {"old": b"new", "taken": b"x"})
    assert (tmp_path / "old").read_bytes() == b"old"
    assert [path.name for path in write_together(tmp_path, {"b": b"1", "old": b"2"})] == ["b", "old"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "old", "taken"]


def test_public_names():
    assert mien.reconstruct is reconstruct
    for name in mien.__all__:
        assert getattr(mien, name) is not None
    assert set(mien.__all__) == set(mien._HOME_OF)
    with pytest.raises(AttributeError, match="no attribute 'magic'"):
        _ = mien.magic


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """An empty working folder with the examples in it."""
    (tmp_path / "examples").symlink_to(EXAMPLE.parent)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lesson"])
    return tmp_path


def made_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "lesson, makes",
    [
        ("01_reconstruct.py", {f"mien-out/face0.{s}" for s in ("glb", "face.json", "overlay.png")}),
        ("02_change_the_expression.py", {"looks.png"}),
        ("03_turn_and_relight.py", {"turned.png"}),
        ("04_read_the_expression.py", set()),
    ],
)
def test_lessons_run(lesson, makes, elsewhere):
    runpy.run_path(str(EXAMPLE.with_name(lesson)))
    assert made_in(elsewhere) == makes


def test_the_python_of_the_readme_runs(elsewhere, capsys):
    (program,) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    exec(compile(program, "README.md", "exec"), {})
    assert {"wow.png", "back.png", "mien-out/astronaut.glb", "mien-out/astronaut.obj"} <= made_in(elsewhere)
