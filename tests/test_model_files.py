"""Readers of published face models give what is in the files, or say in one line what is wrong."""

import os
import pickle
import struct
import tarfile

import numpy as np
import pytest

from mien.camera import rotation_matrix
from mien.errors import BadModelFile
from mien.evaluation import ict
from mien.facecode import ARKIT_NAMES
from mien.model_files.formats import FORMATS
from mien.model_files.restricted_pickle import read_arrays
from published_files import (
    face,
    flame_arrays,
    write_bfm2009,
    write_bfm_h5,
    write_deep3d,
    write_flame,
    write_ict,
    write_surrey,
)

WRITERS = {
    "bfm2017": lambda folder: write_bfm_h5(folder / "model2017-1_bfm_nomouth.h5", face()),
    "bfm2009": lambda folder: write_bfm2009(folder, face()),
    "deep3d": lambda folder: write_deep3d(folder / "BFM_model_front.mat", face()),
    "flame2020": lambda folder: write_flame(folder / "generic_model.pkl", face()),
    "flame2023-open": lambda folder: write_flame(folder / "flame2023_Open.npz", face()),
    "surrey": lambda folder: write_surrey(folder, face()),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_reader_gives_the_same_face(kind, tmp_path):
    path = WRITERS[kind](tmp_path)
    model = FORMATS[kind].read(path)
    count = len(model.expression) if kind == "surrey" else len(face().expression)
    assert np.allclose(model.mean, face().mean, atol=1e-3)
    assert np.allclose(model.identity[: len(face().identity)], face().identity, atol=1e-3)
    assert np.allclose(model.expression[:count], face().expression[:count], atol=1e-3)
    assert len(model.expression_names) == len(model.expression)
    assert (np.sort(model.triangles) == np.sort(face().triangles)).all()
    normals = np.cross(
        *(model.mean[model.triangles[:, k]] - model.mean[model.triangles[:, 0]] for k in (1, 2))
    )
    assert normals[:, 2].sum() > 0
    if model.albedo_mean is not None:
        assert np.allclose(model.albedo_mean, face().colour, atol=1e-4)
        assert np.allclose(model.albedo, face().albedo, atol=1e-4)
    assert model.albedo_mean is None or kind not in ("flame2020", "surrey")


@pytest.mark.parametrize("kind", WRITERS)
def test_folder_is_as_good_as_file(kind, tmp_path):
    WRITERS[kind](tmp_path)
    assert FORMATS[kind].read(tmp_path).mean.shape == face().mean.shape


@pytest.mark.parametrize("kind", [*WRITERS, "bfm2019", "flame2023", "ict"])
@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_what_is_no_model_is_said_in_one_line(kind, content, tmp_path):
    path = tmp_path / "model.bin"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadModelFile) as error:
        FORMATS[kind].read(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("kind", WRITERS)
def test_truncated_file(kind, tmp_path):
    WRITERS[kind](tmp_path)
    for file in [f for f in tmp_path.iterdir() if f.suffix != ".txt"]:
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) * 2 // 3])
        with pytest.raises(BadModelFile, match=file.name):
            FORMATS[kind].read(tmp_path)
        file.write_bytes(whole)


@pytest.mark.parametrize("kind", WRITERS)
def test_missing_file_is_named(kind, tmp_path):
    WRITERS[kind](tmp_path)
    for file in list(tmp_path.iterdir()):
        whole = file.read_bytes()
        file.unlink()
        with pytest.raises(
            BadModelFile, match=r"has no .*" if kind.startswith("flame") else file.name.split("2017")[0]
        ):
            FORMATS[kind].read(tmp_path)
        file.write_bytes(whole)


def _change_h5(path, name, change):
    import h5py

    with h5py.File(path, "r+") as h5:
        array = h5[name][()]
        del h5[name]
        if change is not None:
            h5[name] = change(array)


def _with_nan(array):
    array = np.array(array, float)
    array.flat[5] = np.nan
    return array


@pytest.mark.parametrize(
    "name, change, said",
    [
        ("expression/model/pcaBasis", None, "has no array expression/model/pcaBasis"),
        ("shape/model/mean", _with_nan, "shape/model/mean has numbers that are not finite"),
        ("shape/model/mean", lambda a: a / 1000, "is it in another unit"),
        ("shape/model/pcaBasis", lambda a: a[:-3], r"shape/model/pcaBasis has shape .* expected \("),
        ("shape/model/pcaBasis", lambda a: 3 * a, "expected length 1"),
        ("color/model/mean", lambda a: 255 * a, r"expected \[0, 1\]"),
        ("shape/representer/cells", lambda a: a.T, r"cells has shape .* expected \(3, T\)"),
        ("shape/representer/cells", lambda a: a + 1, "cells names vertices 1 to"),
        ("shape/model/pcaVariance", lambda a: a.astype("S8"), "expected numbers"),
    ],
)
def test_bfm_says_which_array_is_wrong(name, change, said, tmp_path):
    path = WRITERS["bfm2017"](tmp_path)
    _change_h5(path, name, change)
    with pytest.raises(BadModelFile, match=said):
        FORMATS["bfm2017"].read(path)


@pytest.mark.parametrize(
    "name, change, said",
    [
        ("weights", None, "has no array weights"),
        ("shapedirs", lambda a: a[..., :300], "expected 300 of shape and some of expression"),
        ("posedirs", lambda a: a[..., :9], r"posedirs has shape"),
        ("v_template", lambda a: 1000 * a, "is it in another unit"),
        ("kintree_table", lambda a: a[:, ::-1], "kintree_table has the parents"),
        ("v_template", _with_nan, "v_template has numbers that are not finite"),
    ],
)
def test_flame_says_which_array_is_wrong(name, change, said, tmp_path):
    arrays = flame_arrays(face())
    value = arrays.pop(name)
    if change is not None:
        arrays[name] = change(value)
    np.savez(tmp_path / "flame.npz", **arrays)
    with pytest.raises(BadModelFile, match=said):
        FORMATS["flame2020"].read(tmp_path / "flame.npz")


def _changed_mat(name, change):
    """A change of one array of a MATLAB file."""

    def apply(path):
        from scipy.io import loadmat, savemat

        arrays = {key: value for key, value in loadmat(path).items() if not key.startswith("__")}
        value = arrays.pop(name)
        savemat(path, arrays | ({} if change is None else {name: change(value)}))

    return apply


def _changed_bytes(change):
    return lambda path: path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    "kind, file, change, said",
    [
        ("bfm2009", "01_MorphableModel.mat", _changed_mat("texMU", None), "has no array texMU"),
        ("bfm2009", "01_MorphableModel.mat", _changed_mat("shapeMU", _with_nan), "shapeMU has numbers that"),
        ("bfm2009", "01_MorphableModel.mat", _changed_mat("shapePC", lambda a: a[:-3]), "shapePC has shape"),
        ("bfm2009", "01_MorphableModel.mat", _changed_mat("shapePC", lambda a: 2 * a), "expected 1"),
        ("bfm2009", "01_MorphableModel.mat", _changed_mat("shapeMU", lambda a: a / 1000), "another unit"),
        ("bfm2009", "BFM_exp_idx.mat", _changed_mat("trimIndex", lambda a: a + 3), "trimIndex must name"),
        ("bfm2009", "Exp_Pca.bin", _changed_bytes(lambda b: b[:-4]), "numbers after its count"),
        ("bfm2009", "Exp_Pca.bin", _changed_bytes(lambda b: b[:-4] + b"\0\0\xc0\x7f"), "not finite"),
        ("bfm2009", "std_exp.txt", _changed_bytes(lambda b: b"1.0 2.0"), "2 standard deviations"),
        ("bfm2009", "std_exp.txt", _changed_bytes(lambda b: b"one two"), "expressions of Guo"),
        ("deep3d", "BFM_model_front.mat", _changed_mat("exBase", None), "has no array exBase"),
        ("deep3d", "BFM_model_front.mat", _changed_mat("idBase", lambda a: a.T), "idBase has shape"),
        ("deep3d", "BFM_model_front.mat", _changed_mat("texBase", _with_nan), "texBase has numbers that"),
        ("deep3d", "BFM_model_front.mat", _changed_mat("tri", lambda a: a - 1), "names vertices 0 to"),
        ("deep3d", "BFM_model_front.mat", _changed_mat("exBase", lambda a: 1e4 * a), "expression moves"),
        ("surrey", "expression_blendshapes_3448.bin", _changed_bytes(lambda b: b[:-8]), "ends after"),
        ("surrey", "expression_blendshapes_3448.bin", _changed_bytes(lambda b: b + b"\0"), "after the end"),
        (
            "surrey",
            "sfm_shape_3448.bin",
            _changed_bytes(lambda b: b[:12] + b"\0\0\xc0\x7f" + b[16:]),
            "mean has numbers that are not finite",
        ),
        (
            "bfm2017",
            "model2017-1_bfm_nomouth.h5",
            lambda path: _change_h5(path, "shape/model/pcaVariance", lambda a: 1e8 * a),
            "identity moves a vertex by .* expected at most 1000",
        ),
        (
            "bfm2017",
            "model2017-1_bfm_nomouth.h5",
            lambda path: _change_h5(path, "shape/model/mean", lambda a: np.float32(1e30) * a),
            "which no face has",
        ),
    ],
)
def test_reader_says_which_array_of_which_file_is_wrong(kind, file, change, said, tmp_path):
    WRITERS[kind](tmp_path)
    change(tmp_path / file)
    with pytest.raises(BadModelFile, match=said) as error:
        FORMATS[kind].read(tmp_path)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_absurdly_large_array_is_not_read(tmp_path):
    import h5py

    path = WRITERS["bfm2017"](tmp_path)
    with h5py.File(path, "r+") as h5:
        del h5["shape/model/pcaBasis"]
        h5.create_dataset("shape/model/pcaBasis", (10**7, 10**6), "f4", chunks=(1000, 1000))
    with pytest.raises(BadModelFile, match=r"pcaBasis has 10,000,000,000,000 numbers"):
        FORMATS["bfm2017"].read(path)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_pickles_of_all_protocols(protocol, tmp_path):
    path = write_flame(tmp_path / "flame.pkl", face(), protocol)
    assert np.allclose(FORMATS["flame2023"].read(path).mean, face().mean)


class _Hostile:
    def __init__(self, call, *arguments):
        self.call = call, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "item",
    [
        _Hostile(os.system, "touch executed"),
        _Hostile(eval, "open('executed', 'w')"),
        _Hostile(getattr, "x", "upper"),
        _Hostile(np.load, "executed"),
        [_Hostile(exec, "open('executed', 'w')")],
        np.array([_Hostile(os.mkdir, "executed")], object),
    ],
    ids=["system", "eval", "getattr", "numpy.load", "in a list", "in an array of objects"],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_hostile_pickle_executes_nothing(item, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "flame.pkl"
    path.write_bytes(pickle.dumps({"v_template": item, **flame_arrays(face())} | {"f": item}, protocol))
    with pytest.raises(BadModelFile, match="nothing of it was run"):
        FORMATS["flame2020"].read(path)
    assert os.listdir(tmp_path) == ["flame.pkl"]


def test_pickle_that_lies_about_its_arrays(tmp_path):
    path = tmp_path / "flame.pkl"
    honest = pickle.dumps({"f": np.arange(6.0)}, 2)
    path.write_bytes(honest.replace(b"K\x06\x85", b"K\x60\x85"))
    with pytest.raises(BadModelFile, match="f cannot be read as an array"):
        read_arrays(path, ("f",))


def test_jaw_of_flame_turns_about_its_joint(tmp_path):
    model = FORMATS["flame2020"].read(write_flame(tmp_path / "flame.npz", face()))
    arrays = flame_arrays(face())
    joint = 1000 * arrays["J_regressor"][2] @ arrays["v_template"]
    angle = np.radians(15.0)
    moved = model.mean + angle * model.expression[model.expression_names.index("jaw_x")]
    chin = arrays["weights"][:, 2] == 1
    before, after = (np.linalg.norm(v[chin] - joint, axis=1) for v in (model.mean, moved))
    assert np.allclose(before, after, atol=1e-2)
    assert (moved[chin, 1] - model.mean[chin, 1]).mean() < -5.0


def _posed(arrays, joint, turn):
    """(V, 3) m: FLAME's mean with one joint turned, by linear blend skinning joint by joint from the root."""
    places = arrays["J_regressor"] @ arrays["v_template"]
    feature = np.zeros((4, 3, 3))
    feature[joint - 1] = turn - np.eye(3)
    vertices = arrays["v_template"] + arrays["posedirs"] @ feature.ravel()
    world = []
    for k, parent in enumerate([None, 0, 1, 1, 1]):
        own = np.eye(4)
        own[:3, :3] = turn if k == joint else np.eye(3)
        own[:3, 3] = places[k] - (0 if parent is None else places[parent])
        world.append(own if parent is None else world[parent] @ own)
    moved = [(vertices - place) @ m[:3, :3].T + m[:3, 3] for place, m in zip(places, world, strict=True)]
    return np.einsum("vk,kvc->vc", arrays["weights"], moved)


@pytest.mark.parametrize("joint, name", [(1, "neck"), (2, "jaw"), (3, "eye_left"), (4, "eye_right")])
@pytest.mark.parametrize("axis", range(3))
def test_joints_of_flame_are_skinned_exactly_at_15_degrees(joint, name, axis, tmp_path):
    arrays, rng = flame_arrays(face()), np.random.default_rng(joint)
    arrays["posedirs"] = 1e-3 * rng.normal(size=arrays["posedirs"].shape)
    arrays["weights"] = rng.dirichlet(np.ones(5), len(arrays["weights"]))
    np.savez(tmp_path / "flame.npz", **arrays)
    model = FORMATS["flame2020"].read(tmp_path / "flame.npz")
    shape = model.expression[model.expression_names.index(f"{name}_{'xyz'[axis]}")]
    for degrees, off in ((15, 1e-4), (30, 4 * np.sin(np.radians(7.5)) ** 2)):
        truth = 1000 * _posed(arrays, joint, rotation_matrix(np.radians(degrees) * np.eye(3)[axis]))
        apart = np.linalg.norm(model.mean + np.radians(degrees) * shape - truth, axis=1)
        place = 1000 * arrays["J_regressor"][joint] @ arrays["v_template"]
        assert (apart <= off * (np.linalg.norm(model.mean - place, axis=1) + 10)).all()


def test_surrey_of_another_version(tmp_path):
    write_surrey(tmp_path, face(), version=2)
    with pytest.raises(BadModelFile, match="version 2 of eos's format, expected 4"):
        FORMATS["surrey"].read(tmp_path)


def test_surrey_with_absurd_lengths(tmp_path):
    write_surrey(tmp_path, face())
    file = tmp_path / "sfm_shape_3448.bin"
    whole = file.read_bytes()
    file.write_bytes(whole[:4] + struct.pack("<i", -5) + whole[8:])
    with pytest.raises(BadModelFile, match="-5 items"):
        FORMATS["surrey"].read(tmp_path)


@pytest.fixture(scope="module")
def ict_folder(tmp_path_factory):
    return write_ict(tmp_path_factory.mktemp("ict") / "FaceXModel")


def test_ict_folder(ict_folder):
    model = FORMATS["ict"].read(ict_folder)
    assert model.mean.shape == (24591, 3) and model.identity.shape[0] == 2
    assert np.allclose(model.identity[0], [0, 1, 0], atol=1e-3)
    names = list(model.expression_names)
    at = ARKIT_NAMES.index
    assert {names[k] for k in np.flatnonzero(model.from_arkit[:, at("cheekPuff")])} == {
        "cheekPuffLeft",
        "cheekPuffRight",
    }
    assert [names[k] for k in np.flatnonzero(model.from_arkit[:, at("mouthSmileLeft")])] == ["mouthSmileLeft"]
    assert not model.from_arkit[:, at("tongueOut")].any()
    assert len(model.triangles) == 2 and (0 <= model.uv).all() and (model.uv <= 1).all()


@pytest.mark.parametrize(
    "name, change, said",
    [
        ("jawOpen", lambda t: t.partition("\n")[2], "has 26718 vertices, expected 26719"),
        ("identity001", lambda t: t.replace("v ", "v nan ", 1), "identity001.obj"),
        ("identity000", None, "identity000"),
        ("mouthSmile_L", None, "mouthSmileLeft"),
        ("generic_neutral_mesh", None, "has no generic_neutral_mesh.obj"),
    ],
)
def test_ict_says_which_file_is_wrong(name, change, said, ict_folder):
    file = ict_folder / f"{name}.obj"
    whole = file.read_text()
    file.unlink()
    try:
        if change is not None:
            file.write_text(change(whole))
        with pytest.raises(BadModelFile, match=said):
            FORMATS["ict"].read(ict_folder)
    finally:
        file.write_text(whole)


def test_ict_archive_is_as_good_as_its_folder(ict_folder, tmp_path):
    with tarfile.open(tmp_path / "ict.tar", "w") as tar:
        tar.add(ict_folder, "some/FaceXModel")
    packed, plain = FORMATS["ict"].read(tmp_path / "ict.tar"), FORMATS["ict"].read(ict_folder)
    assert packed.expression_names == plain.expression_names
    assert (packed.mean == plain.mean).all() and (packed.expression == plain.expression).all()


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b[: len(b) // 2],
        lambda b: b[: len(b) // 2] + bytes(64) + b[len(b) // 2 + 64 :],
        lambda b: b[:3000] + b[6000:],
    ],
    ids=["truncated", "overwritten", "cut out"],
)
def test_damaged_ict_archive(change, ict_folder, tmp_path):
    path = tmp_path / "ict.tar.xz"
    with tarfile.open(path, "w:xz", preset=0) as tar:
        tar.add(ict_folder / "identity000.obj")
        tar.add(ict_folder / "identity001.obj")
    path.write_bytes(change(path.read_bytes()))
    # xz notices at the end of a block only: what was overwritten may show in a file's content before
    with pytest.raises(BadModelFile, match=r"ict\.tar\.xz.*(cannot be read|has \d+ vertices)") as error:
        FORMATS["ict"].read(path)
    assert "\n" not in str(error.value)


def test_ict_archive_that_claims_too_much(tmp_path):
    path = tmp_path / "ict.tar"
    member = tarfile.TarInfo("FaceXModel/generic_neutral_mesh.obj")
    member.size = 1 << 40
    path.write_bytes(member.tobuf() + bytes(1024))
    with pytest.raises(BadModelFile, match="1,099,511,627,776 bytes"):
        FORMATS["ict"].read(path)


def test_evaluation_s_ict_has_arkit_s_actions_and_its_origin_between_the_eyes(ict_folder, tmp_path):
    archive = tmp_path / "ict.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(ict_folder, "FaceXModel")
    model, published = ict.load_ict(archive, tmp_path), FORMATS["ict"].read(ict_folder)
    at = published.expression_names.index
    expected = published.expression[at("cheekPuffLeft")] + published.expression[at("cheekPuffRight")]
    np.testing.assert_array_equal(model.expression[ARKIT_NAMES.index("cheekPuff")], expected)
    np.testing.assert_array_equal(
        model.expression[ARKIT_NAMES.index("jawLeft")], published.expression[at("jawLeft")]
    )
    assert not model.expression[ARKIT_NAMES.index("tongueOut")].any()
    eyes = [model.mean[ict.PARTS[name]] for name in ("eye_left", "eye_right")]
    assert np.allclose(sum(eye.min(0) + eye.max(0) for eye in eyes), 0, atol=1e-3)
    np.testing.assert_array_equal(ict.load_ict(ict_folder).expression, model.expression)
    (kept,) = tmp_path.glob("ict-*.npz")
    before = kept.stat().st_mtime_ns
    np.testing.assert_array_equal(ict.load_ict(archive, tmp_path).identity, model.identity)
    assert kept.stat().st_mtime_ns == before
