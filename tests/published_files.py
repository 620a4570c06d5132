"""Small files in exactly the layouts of published face models, of a face cut from the default model."""

from __future__ import annotations

import pickle
import struct
import sys
import types
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from mien.adoption.registration import seen_from_outside
from mien.image import linear_to_srgb
from mien.morphable import load_model


@dataclass(frozen=True, eq=False)
class Face:
    """A linear model of a face.

    Attributes:
        mean: (V, 3) mm. identity: (K, V, 3), expression: (E, V, 3) mm per standard deviation.
        colour: (V, 3) sRGB in [0, 1]. albedo: (A, V, 3) per standard deviation. triangles: (T, 3).
    """

    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    colour: np.ndarray
    albedo: np.ndarray
    triangles: np.ndarray


@cache
def face(identity: int = 8, expression: int = 20, albedo: int = 4) -> Face:
    """What is seen of the default model's head from the front, its bases orthogonal."""
    model = load_model()
    kept = seen_from_outside(model.identity_mean.astype(float), model.triangles)
    kept &= model.identity_mean[:, 2] > -60.0
    return pca_face(model, np.flatnonzero(kept), identity, expression, albedo)


def pca_face(model, chosen: np.ndarray, identity: int, expression: int, albedo: int) -> Face:
    """A face of some base vertices of a model, with its triangles among them."""
    number = np.full(len(model.identity_mean), -1)
    number[chosen] = np.arange(len(chosen))
    triangles = number[model.triangles]
    base = len(model.identity_mean)
    colour = linear_to_srgb(model.albedo(np.zeros(model.layout.albedo, np.float32)))[:base]
    tones = [
        linear_to_srgb(model.albedo(2 * row.astype(np.float32)))[:base] - colour for row in np.eye(albedo, 60)
    ]
    return Face(
        model.identity_mean[chosen].astype(float),
        orthogonal(model.identity_components[:identity, chosen]),
        orthogonal(model.expression_components[:, chosen])[:expression],
        colour[chosen],
        orthogonal(np.array(tones)[:, chosen]),
        triangles[(triangles >= 0).all(axis=1)],
    )


def orthogonal(components: np.ndarray) -> np.ndarray:
    """Components (K, V, 3) of the same space, orthogonal, longest first: those of a PCA."""
    _, size, directions = np.linalg.svd(components.reshape(len(components), -1), full_matrices=False)
    return (size[:, None] * directions).reshape(components.shape)


def _unit_columns(components: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(3 V, K) unit columns and (K,) lengths."""
    columns = components.reshape(len(components), -1).T
    length = np.linalg.norm(columns, axis=0)
    return columns / length, length


def write_bfm_h5(file: Path, face: Face) -> Path:
    """As model2017-1_bfm_nomouth.h5."""
    import h5py

    with h5py.File(file, "w") as h5:
        zero = np.zeros_like(face.mean)
        for name, mean, components in (
            ("shape", face.mean, face.identity),
            ("expression", zero, face.expression),
            ("color", face.colour, face.albedo),
        ):
            basis, length = _unit_columns(components)
            h5[f"{name}/model/mean"] = mean.ravel().astype(np.float32)
            h5[f"{name}/model/pcaBasis"] = basis.astype(np.float32)
            h5[f"{name}/model/pcaVariance"] = (length**2).astype(np.float32)
            h5[f"{name}/model/noiseVariance"] = np.float32(0)
            h5[f"{name}/representer/points"] = face.mean.T.astype(np.float32)
            h5[f"{name}/representer/cells"] = face.triangles.T.astype(np.int32)
    return file


def write_bfm2009(folder: Path, face: Face) -> Path:
    """As the published folders: three vertices more than the expressions have, triangles turned round."""
    from scipy.io import savemat

    def padded(array):
        return np.concatenate([np.zeros_like(array[..., :3, :]), array], axis=-2)

    shape, shape_length = _unit_columns(padded(1000.0 * face.identity))
    tex, tex_length = _unit_columns(padded(255.0 * face.albedo))
    count = len(face.mean)
    arrays = {
        "shapeMU": padded(1000.0 * face.mean).reshape(-1, 1),
        "shapePC": shape,
        "shapeEV": shape_length[:, None],
        "texMU": padded(255.0 * face.colour).reshape(-1, 1),
        "texPC": tex,
        "texEV": tex_length[:, None],
    }
    tl = (face.triangles[:, ::-1] + 4).astype(np.float64)
    savemat(
        folder / "01_MorphableModel.mat", {**{k: v.astype(np.float32) for k, v in arrays.items()}, "tl": tl}
    )
    savemat(folder / "BFM_exp_idx.mat", {"trimIndex": np.arange(4, count + 4)[:, None]})
    basis, length = _unit_columns(1000.0 * face.expression)
    with (folder / "Exp_Pca.bin").open("wb") as stream:
        stream.write(struct.pack("<i", len(length)))
        stream.write(np.zeros(3 * count, "<f4").tobytes() + basis.T.astype("<f4").tobytes())
    (folder / "std_exp.txt").write_text(" ".join(map(str, length)) + "\n")
    return folder


def write_deep3d(file: Path, face: Face) -> Path:
    """As BFM_model_front.mat."""
    from scipy.io import savemat

    def columns(components, scale):
        return (scale * components).reshape(len(components), -1).T.astype(np.float32)

    savemat(
        file,
        {
            "meanshape": (face.mean / 100).reshape(1, -1).astype(np.float32),
            "meantex": (255 * face.colour).reshape(1, -1).astype(np.float32),
            "idBase": columns(face.identity, 0.01),
            "exBase": columns(face.expression, 0.01),
            "texBase": columns(face.albedo, 255.0),
            "tri": (face.triangles + 1).astype(np.int32),
            "keypoints": np.arange(1, 69)[None],
        },
    )
    return file


def flame_arrays(face: Face) -> dict[str, np.ndarray]:
    """FLAME's arrays, in metres: 300 shapes of which few move, and joints at plausible places."""
    count = len(face.mean)
    directions = np.zeros((count, 3, 300 + len(face.expression)))
    directions[..., : len(face.identity)] = face.identity.transpose(1, 2, 0) / 1000
    directions[..., 300:] = face.expression.transpose(1, 2, 0) / 1000
    weights = np.zeros((count, 5))
    jaw = np.clip((-40.0 - face.mean[:, 1]) / 30.0, 0, 1)
    weights[:, 1], weights[:, 2] = 1 - jaw, jaw
    regressor = np.zeros((5, count))
    regressor[:, np.argsort(face.mean[:, 2])[:3]] = 1 / 3  # at the back, as jaws hang
    return {
        "v_template": face.mean / 1000,
        "shapedirs": directions,
        "posedirs": np.zeros((count, 3, 36)),
        "weights": weights,
        "J_regressor": regressor,
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], range(5)], np.int64),
        "f": face.triangles.astype(np.uint32),
    }


def write_flame(file: Path, face: Face, protocol: int = 2) -> Path:
    """As generic_model.pkl: chumpy arrays, a sparse regressor; or, by the file's name, as npz."""
    arrays = flame_arrays(face)
    if file.suffix == ".npz":
        np.savez(file, **arrays)
        return file
    chumpy = types.ModuleType("chumpy.ch")
    chumpy.Ch = type("Ch", (), {"__module__": "chumpy.ch"})
    before = {name: sys.modules.get(name) for name in ("chumpy", "chumpy.ch")}
    sys.modules |= {"chumpy": types.ModuleType("chumpy"), "chumpy.ch": chumpy}
    try:
        content = dict(arrays, J_regressor=sp.csc_matrix(arrays["J_regressor"]), bs_style="lbs")
        for name in ("v_template", "shapedirs"):
            content[name] = chumpy.Ch()
            content[name].__dict__ |= {"x": arrays[name], "_dirty_vars": {"x"}, "_itr": None}
        with file.open("wb") as stream:
            pickle.dump(content, stream, protocol=protocol)
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module
    return file


def write_surrey(folder: Path, face: Face, version: int = 4) -> Path:
    """As eos 1.5 writes sfm_shape_3448.bin, and expression_blendshapes_3448.bin."""

    def matrix(array):
        array = np.asarray(array, "<f4")
        return struct.pack("<ii", *array.shape) + array.T.tobytes()

    def rows(array, kind):
        return struct.pack("<Q", len(array)) + np.ascontiguousarray(array, kind).tobytes()

    basis, length = _unit_columns(face.identity)
    shape = matrix(face.mean.reshape(-1, 1)) + matrix(basis) + matrix(length[:, None] ** 2)
    no_colour = (
        matrix(np.zeros((0, 1))) + matrix(np.zeros((0, 0))) + matrix(np.zeros((0, 1))) + rows([], "<i4")
    )
    low = face.mean.min(axis=0)
    uv = (face.mean - low)[:, :2] / np.ptp(face.mean[:, :2], axis=0)
    (folder / "sfm_shape_3448.bin").write_bytes(
        struct.pack("<I", version) + shape + rows(face.triangles, "<i4") + no_colour
        + b"\x01\x01" + rows(np.c_[uv[:, 0], 1 - uv[:, 1]], "<f8") + rows([], "<i4")
    )  # fmt: skip
    names = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
    shapes = b"".join(
        struct.pack("<Q", len(name)) + name.encode() + matrix(moved.reshape(-1, 1))
        for name, moved in zip(names, face.expression, strict=False)
    )
    (folder / "expression_blendshapes_3448.bin").write_bytes(struct.pack("<Q", len(names)) + shapes)
    return folder


def write_ict(folder: Path) -> Path:
    """As FaceXModel: OBJ files of 26,719 vertices in centimetres, but of two identity modes only."""
    from mien.facecode import ARKIT_NAMES

    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(26719, 3)) * [6.0, 8.0, 6.0]
    halves = ("browInnerUp", "cheekPuff")
    names = [name for name in ARKIT_NAMES if name not in (*halves, "tongueOut")]
    names += [f"{name}{side}" for name in (*halves, "cheekRaiser") for side in ("Left", "Right")]
    stems = [
        name.replace("Left", "_L").replace("Right", "_R") if name[:3] not in ("jaw",) else name
        for name in names
    ]
    stems = [{"mouth_L": "mouthLeft", "mouth_R": "mouthRight"}.get(stem, stem) for stem in stems]
    moved = {"generic_neutral_mesh": 0.0, "identity000": 0.1, "identity001": -0.2}
    folder.mkdir(parents=True, exist_ok=True)
    for shift, (stem, up) in enumerate((moved | dict.fromkeys(stems, None)).items()):
        up = 0.01 * shift if up is None else up
        text = "".join(f"v {x:.6g} {y + up:.6g} {z:.6g}\n" for x, y, z in vertices)
        if stem == "generic_neutral_mesh":
            text += (
                "vt 0.25 0.5\nvt 0.75 0.5\nvt 0.5 1.0\nusemtl M_Face\nf 1/1 2/2 3/3 4/2\nusemtl M_EyeLashes\n"
            )
            text += "f 26719/1 26718/2 26717/3\n"
        (folder / f"{stem}.obj").write_text(text)
    return folder


def without(face: Face, **changes: np.ndarray) -> Face:
    """The face with some fields replaced."""
    return replace(face, **changes)
