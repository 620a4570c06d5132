"""Faces are found where they are, once each, small ones too, and nowhere else; quietly."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien import detect
from mien.detect import DetectedFace, Detector
from mien.facecode import ARKIT_NAMES
from mien.image import load_image, to_uint8

ASTRONAUT = Path(__file__).parents[1] / "examples" / "astronaut.jpg"
FACE_WIDTH_PX = 92


@pytest.fixture(scope="module")
def detector():
    with Detector() as detector:
        yield detector


@pytest.fixture(scope="module")
def astronaut():
    return load_image(ASTRONAUT)


@pytest.fixture(scope="module")
def face(detector, astronaut) -> DetectedFace:
    (face,) = detector.detect(astronaut, 1)
    return face


def noise(height, width):
    """A photograph of nothing, rough at every scale."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(60, 200, (height // 16, width // 16, 3), "u1"))
    rough = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32) / 255
    return np.clip(rough + rng.normal(0, 0.05, (height, width, 1)), 0, 1).astype(np.float32)


def scaled(image, factor):
    size = round(image.shape[1] * factor), round(image.shape[0] * factor)
    return np.asarray(Image.fromarray(to_uint8(image)).resize(size, Image.Resampling.LANCZOS), "f4") / 255


def error(found: DetectedFace, landmarks_px) -> float:
    """Mean landmark distance in widths of the face."""
    distance = np.linalg.norm(found.landmarks_px[:, :2] - landmarks_px[:, :2], axis=1).mean()
    return distance / np.ptp(landmarks_px[:, 0])


def test_what_a_face_is_made_of(face):
    assert face.landmarks_px.shape == (478, 3) and face.blendshapes.shape == (52,)
    x0, _, x1, y1 = face.box_px
    assert (face.landmarks_px[:, 0].min(), face.landmarks_px[:, 1].max()) == (x0, y1)
    assert x1 - x0 == pytest.approx(FACE_WIDTH_PX, abs=3)
    assert 0.8 < face.confidence <= 1


def test_sides_and_frame(face):
    """Her left eye (landmark 263) is to the right in the picture, the chin (152) below the brow (10),
    the nose tip (1) nearer than the ear (234)."""
    landmarks = face.landmarks_px
    assert landmarks[33, 0] < landmarks[1, 0] < landmarks[263, 0]
    assert landmarks[10, 1] < landmarks[1, 1] < landmarks[152, 1]
    assert landmarks[1, 2] < landmarks[234, 2]


def test_blendshapes_are_in_arkit_order(face):
    """She smiles, with open eyes and a closed jaw."""
    score = dict(zip(ARKIT_NAMES, face.blendshapes, strict=True))
    assert score["mouthSmileLeft"] > 0.5 and score["mouthSmileRight"] > 0.5
    assert score["eyeBlinkLeft"] < 0.3 and score["jawOpen"] < 0.3 and score["tongueOut"] == 0
    assert ((face.blendshapes >= 0) & (face.blendshapes <= 1)).all()


def test_shifted_picture_shifts_landmarks(detector, astronaut, face):
    moved = np.zeros((700, 800, 3), np.float32)
    moved[100:612, 150:662] = astronaut
    (found,) = detector.detect(moved, 1)
    assert error(found, face.landmarks_px + (150, 100, 0)) < 0.01


def test_pixel_centres_are_at_a_half(detector, astronaut, face):
    """In the mirrored picture of width W the nose bridge (168) is at W - x, not at W - 1 - x."""
    (found,) = detector.detect(np.ascontiguousarray(astronaut[:, ::-1]), 1)
    middle = [1, 4, 5, 6, 8, 9, 168, 197, 195]
    total = found.landmarks_px[middle, 0] + face.landmarks_px[middle, 0]
    assert abs(total.mean() - astronaut.shape[1]) < 0.75


def test_small_faces_in_a_large_photograph(detector, astronaut, face):
    """Faces 26 px wide in a 2,000 px photograph: each found once, in its place, and nothing else."""
    photo = noise(1000, 2000)
    factor = 26 / FACE_WIDTH_PX
    head = scaled(astronaut[20:260, 120:340], factor)
    places = [(40, 60), (900, 700), (1850, 900), (1200, 300), (333, 850)]
    for x, y in places:
        photo[y : y + head.shape[0], x : x + head.shape[1]] = head
    found = detector.detect(photo)
    assert len(found) == len(places)
    for x, y in places:
        expected = (face.landmarks_px[:, :2] - (120, 20)) * factor + (x, y)
        assert min(error(candidate, expected) for candidate in found) < 0.06


def test_largest_first_and_no_doubles(detector, astronaut):
    photo = noise(600, 1400)
    head = astronaut[20:260, 120:340]
    for x, factor in ((50, 0.5), (400, 1.5), (1000, 1.0)):
        part = scaled(head, factor)
        photo[100 : 100 + part.shape[0], x : x + part.shape[1]] = part
    faces = detector.detect(photo)
    widths = [found.box_px[2] - found.box_px[0] for found in faces]
    assert widths == pytest.approx([1.5 * FACE_WIDTH_PX, FACE_WIDTH_PX, 0.5 * FACE_WIDTH_PX], rel=0.06)
    assert [face.box_px for face in detector.detect(photo, 1)] == [faces[0].box_px]


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (31, 31), (300, 2), (64, 4000), (480, 640)])
def test_no_face(detector, shape):
    assert detector.detect(np.full((*shape, 3), 0.5, np.float32)) == []
    rng = np.random.default_rng(0)
    assert detector.detect(rng.random((*shape, 3), dtype=np.float32)) == []


def test_tiny_and_grey_picture(detector, astronaut):
    """A grey picture of 40 px that is all face, and the same in a strip twelve times as wide as high."""
    head = scaled(astronaut[30:220, 130:320].mean(axis=2, keepdims=True).repeat(3, axis=2), 40 / 190)
    assert len(detector.detect(head)) == 1
    strip = np.full((40, 480, 3), 0.4, np.float32)
    strip[:, 400:440] = head
    (found,) = detector.detect(strip)
    assert 400 < found.landmarks_px[1, 0] < 440


def test_face_cut_by_the_border(detector, astronaut, face):
    """The crown and the right cheek are outside; their landmarks are, too."""
    cut = np.ascontiguousarray(astronaut[90:, :255])
    (found,) = detector.detect(cut, 1)
    assert error(found, face.landmarks_px - (0, 90, 0)) < 0.15
    assert found.box_px[2] > 255


@pytest.mark.parametrize("quarter_turns", [1, 3])
def test_turned_by_a_quarter(detector, astronaut, face, quarter_turns):
    (found,) = detector.detect(np.ascontiguousarray(np.rot90(astronaut, quarter_turns)), 1)
    x, y, size = face.landmarks_px[:, 0], face.landmarks_px[:, 1], astronaut.shape[0]
    turned = (y, size - x) if quarter_turns == 1 else (size - y, x)
    assert error(found, np.stack(turned, axis=1)) < 0.06


def test_portraits(detector, photos):
    """Every official portrait has its one face."""
    files = sorted((photos / "photos_open" / "us_official").glob("*.jpg"))[::100]
    assert [len(detector.detect(load_image(file))) for file in files] == [1] * len(files)


def test_quiet_and_lazy():
    """Importing loads no MediaPipe; detecting, from two threads too, and leaving write nothing."""
    code = (
        "import sys, threading; from mien import detect, image\n"
        "assert 'mediapipe' not in sys.modules and 'cv2' not in sys.modules\n"
        "picture = image.load_image(sys.argv[1])\n"
        "found = []\n"
        "def look(): found.append(len(detect.detect_faces(picture, 1)))\n"
        "threads = [threading.Thread(target=look) for _ in range(2)]\n"
        "look(); [t.start() for t in threads]; [t.join() for t in threads]\n"
        "print(found)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(ASTRONAUT)], capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "[1, 1, 1]\n", "")


@pytest.mark.parametrize("kind", ["ImportError", "OSError"])
def test_missing_system_library(kind):
    """What Python's import, or ctypes, says on a machine without libGL becomes one line of advice."""
    code = (
        "import sys\n"
        "class Broken:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'mediapipe':\n"
        f"            raise {kind}('libGL.so.1: cannot open shared object file: No such file or directory')\n"
        "sys.meta_path.insert(0, Broken())\n"
        "from mien.detect import Detector; from mien.errors import MissingLibrary\n"
        "try: Detector()\n"
        "except MissingLibrary as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.startswith("libGL.so.1: ") and run.stdout.count("\n") == 1 and run.stderr == ""
    assert "libgl1" in run.stdout and "mesa-libGL" in run.stdout


def test_other_import_errors_stay_what_they_are():
    with pytest.raises(ImportError, match="no such thing"), detect._explained():
        raise ImportError("no such thing")


def test_tiles_cover_the_picture_and_overlap():
    for length in (1, 100, 128, 129, 400, 1583):
        starts = detect._tile_starts(length)
        assert starts[0] <= 0 and starts[-1] + detect.TILE >= length
        assert all(0 < b - a <= detect.STRIDE + 1 for a, b in pairwise(starts))
