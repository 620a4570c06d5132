"""The thesis's detectors on a photograph, against mien's own; and what is said where they are missing."""

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.detect import Detector
from mien.errors import MissingLibrary
from mien.image import load_image, to_uint8
from mien.landmarks import JAW68, MEDIAPIPE68
from mien.thesis.crop import hull_crop
from mien.thesis.detect import HaarDlibDetector
from mien.thesis.preset import hull_crops

ASTRONAUT = Path(__file__).parents[1] / "examples" / "astronaut.jpg"
HERE = bool(find_spec("dlib") and find_spec("face_recognition_models") and hasattr(cv2, "CascadeClassifier"))

installed = pytest.mark.skipif(not HERE, reason="the extra dlib is not installed")


@pytest.fixture(scope="module")
def image():
    return load_image(ASTRONAUT)


@installed
def test_landmarks_are_where_mediapipe_sees_them(image):
    found = HaarDlibDetector().detect(image)
    assert len(found) == 1 and found[0].shape == (68, 2)
    with Detector() as detector:
        theirs = detector.detect(image, 1)[0].landmarks_px[MEDIAPIPE68, :2]
    inner = np.setdiff1d(np.arange(68), JAW68)
    apart = np.linalg.norm(found[0] - theirs, axis=1)[inner].mean()
    assert apart / np.linalg.norm(theirs[36] - theirs[45]) < 0.06


@installed
def test_no_face():
    assert HaarDlibDetector().detect(np.full((80, 120, 3), 0.5, np.float32), 5) == []


@installed
def test_crops_for_bootstrapping(image):
    with hull_crops(64) as crop:
        made, landmarks = crop(image)
        assert crop(np.zeros((90, 90, 3), np.float32)) is None
    expected, _ = hull_crop(to_uint8(image), HaarDlibDetector().detect(image)[0], 64)
    assert (made == expected).all() and landmarks.shape == (478, 2)
    inside = ((landmarks > -10) & (landmarks < 74)).all(1)
    assert inside.mean() > 0.9 and not made[[0, 0, -1, -1], [0, -1, 0, -1]].any()


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.delattr(cv2, "CascadeClassifier", raising=False)
    with pytest.raises(MissingLibrary, match=r"no Haar cascades.*pip install 'mien\[dlib\]'"):
        HaarDlibDetector()
    monkeypatch.setattr(cv2, "CascadeClassifier", object, raising=False)
    monkeypatch.setattr("mien.thesis.detect.find_spec", lambda name: None)
    with pytest.raises(MissingLibrary, match=r"dlib, face_recognition_models: needed.*mien\[dlib\]"):
        HaarDlibDetector()
