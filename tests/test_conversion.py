"""A face in another model's numbers is the same face, as far as that model can make it."""

from dataclasses import replace

import numpy as np
import pytest

from mien.adoption.deformation import basis_coefficients, transfer_deformation
from mien.adoption.registration import boundary
from mien.adoption.surface_layout import cylindrical_layout, mirror_of
from mien.camera import rotation_matrix, to_camera
from mien.conversion import convert
from mien.facecode import FaceCode
from mien.model_files.packaged import read_header, read_model_file, write_model_file
from mien.morphable import Correspondence, MorphableModel, Refinement, load_model
from published_files import face

TURN = rotation_matrix(np.array([0.05, -0.1, 0.02]))


@pytest.fixture(scope="module")
def other() -> MorphableModel:
    """The default model's face with a PCA's expressions, in a frame that is turned and shifted."""
    default = load_model()
    count = len(default.identity_mean)
    shift = np.array([3.0, -5.0, 8.0])

    def moved(array):
        return (array @ TURN.T).astype(np.float32)

    basis = np.linalg.svd(default.expression_components.reshape(52, -1), full_matrices=False)
    expression = (basis[1][:, None] * basis[2]).reshape(default.expression_components.shape)
    return replace(
        default,
        name="other",
        identity_mean=moved(default.identity_mean) + shift.astype(np.float32),
        identity_components=moved(default.identity_components),
        expression_components=moved(expression),
        expression_names=tuple(f"e{k}" for k in range(52)),
        expression_bounds=(-np.inf, np.inf),
        albedo_mean=default.albedo_mean[:count],
        albedo_components=default.albedo_components[:, :count],
        refinement=Refinement((), default.triangles, default.part, default.mirror),
        correspondence=Correspondence(
            vertices=np.repeat(np.arange(count, dtype=np.int32)[:, None], 3, axis=1),
            barycentric=np.tile(np.float32([1, 0, 0]), (count, 1)),
            weight=(default.part == 0).astype(np.float32),
            from_arkit=basis[0].T.astype(np.float32),
        ),
    )


def code(model: MorphableModel, seed: int = 0) -> FaceCode:
    rng = np.random.default_rng(seed)
    layout = model.layout
    bounded = np.isfinite(model.expression_bounds[1])
    return FaceCode(
        identity=rng.normal(size=layout.identity),
        expression=0.7 * rng.random(52) * (rng.random(52) < 0.15) if bounded else 0.3 * rng.normal(size=52),
        albedo=rng.normal(size=layout.albedo),
        rotation=np.array([0.1, 0.5, -0.2]),
        translation=np.array([20.0, -10.0, 800.0]),
        illumination=rng.normal(size=(9, 3)),
        focal_px=np.float64(700),
        model=model.id,
    )


def seen(model: MorphableModel, code: FaceCode) -> np.ndarray:
    """(V, 3) in the camera."""
    return to_camera(model.vertices(code.identity, code.expression), code.rotation, code.translation)


def test_same_face_in_a_turned_frame(other):
    default = load_model()
    before = code(default)
    after = convert(before, default, other)
    skin = default.part == 0
    assert np.median(after.distance_mm) < 0.1
    apart = np.linalg.norm(seen(other, after.code)[skin] - seen(default, before)[skin], axis=1)
    assert np.median(apart) < 0.1 and apart.max() < 1.5
    assert np.allclose(after.code.identity[:20], before.identity[:20], atol=0.05)
    assert np.corrcoef(after.code.identity, before.identity)[0, 1] > 0.98
    assert np.corrcoef(after.code.albedo, before.albedo)[0, 1] > 0.98
    assert after.code.model == other.id and after.code.focal_px == before.focal_px
    assert (after.code.illumination == before.illumination).all()


def test_there_and_back(other):
    default = load_model()
    before = code(default, seed=1)
    back = convert(convert(before, default, other).code, other, default)
    assert np.median(back.distance_mm) < 0.2
    assert ((back.code.expression >= 0) & (back.code.expression <= 1)).all()
    assert np.abs(back.code.expression - before.expression).mean() < 0.05
    assert np.allclose(back.code.rotation, before.rotation, atol=0.01)


def test_convert_to_itself_changes_nothing(other):
    before = code(other)
    assert convert(before, other, other).code is before


def test_convert_refuses_a_code_of_another_model(other):
    with pytest.raises(ValueError, match="the code is of anny/1, not of other/1"):
        convert(code(load_model()), other, load_model())


def test_models_of_other_default_models(other):
    shorter = replace(
        other,
        correspondence=replace(
            other.correspondence,
            **{key: getattr(other.correspondence, key)[:-5] for key in ("vertices", "barycentric", "weight")},
        ),
    )
    with pytest.raises(ValueError, match="add them again"):
        convert(code(load_model()), load_model(), shorter)


def test_added_model_comes_back_from_its_file(other, tmp_path):
    srgb = replace(other, albedo_is_log=False, albedo_is_srgb=True)
    write_model_file(srgb, tmp_path / "m.safetensors", {"licence": "mine"})
    again = read_model_file(tmp_path / "m.safetensors")
    assert again.albedo_is_srgb and again.expression_bounds == (-np.inf, np.inf)
    assert (again.correspondence.from_arkit == other.correspondence.from_arkit).all()
    assert np.allclose(again.identity_components, other.identity_components, atol=0.02)
    assert read_header(tmp_path / "m.safetensors")["added"] == {"licence": "mine"}


def test_srgb_albedo_is_decoded():
    model = replace(
        load_model(),
        albedo_mean=np.full((4, 3), 0.5, np.float32),
        albedo_components=np.full((1, 4, 3), 0.1, np.float32),
        albedo_is_log=False,
        albedo_is_srgb=True,
    )
    assert np.allclose(model.albedo(np.zeros(1, np.float32)), 0.21404, atol=1e-4)  # IEC 61966-2-1
    assert np.allclose(model.albedo(np.full(1, 9.0, np.float32)), 1.0)


def test_deformation_transfer_to_the_same_face_is_the_identity():
    small = face()
    moved = transfer_deformation(small.mean, small.expression[:3], small.mean, small.triangles)
    used = np.unique(small.triangles)
    assert np.abs(moved - small.expression[:3])[:, used].max() < 0.05


def test_deformation_transfer_follows_scale_and_turn():
    small = face()
    target = 1.2 * small.mean
    moved = transfer_deformation(small.mean, small.expression[:3], target, small.triangles)
    used = np.unique(small.triangles)
    wanted = 1.2 * small.expression[:3][:, used]
    size = np.sqrt((wanted**2).sum(-1).mean())
    assert np.sqrt(((moved[:, used] - wanted) ** 2).sum(-1).mean()) < 0.15 * size


def test_basis_coefficients_find_what_made_the_displacement():
    small, rng = face(), np.random.default_rng(0)
    truth = 2 * rng.normal(size=(len(small.expression), 5))
    wanted = np.tensordot(truth.T, small.expression, 1)
    found = basis_coefficients(wanted, small.expression, np.ones(len(small.mean)), error_mm=1e-4)
    assert np.allclose(found, truth, atol=1e-2)


def test_boundary_of_a_square():
    triangles = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
    assert boundary(triangles, 6).tolist() == [True, True, True, True, False, False]


def test_cylindrical_layout_has_no_triangle_across_the_texture():
    model = load_model()
    uv, rows = cylindrical_layout(model.identity_mean, model.triangles, model.part, len(model.part_names))
    assert rows.shape == model.triangles.shape and (uv >= 0).all() and (uv <= 1).all()
    skin = (model.part == 0)[model.triangles].all(axis=1)
    assert np.quantile(np.ptp(uv[rows[skin]][..., 0], axis=1), 0.99) < 0.2


def test_mirror_of_a_symmetric_head():
    model = load_model()
    assert (
        mirror_of(model.identity_mean.astype(float), model.part, model.part_names) == model.mirror
    ).mean() > 0.99
