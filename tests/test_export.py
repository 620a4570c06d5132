"""The 3D files, read back by programs that are not ours."""

import io
import json
import os
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from mien.errors import CannotWrite
from mien.export import glb_bytes, ply_bytes, save_glb, save_obj, save_ply
from mien.export.surface import cut_at_seams
from mien.facecode import ARKIT_NAMES
from mien.image import linear_to_srgb
from mien.morphable import Correspondence, MorphableModel
from tiny_face import tiny_code, tiny_face

TEXTURE = np.random.default_rng(0).random((32, 32, 3)).astype(np.float32)


@cache
def the_glb() -> bytes:
    return glb_bytes(tiny_face(), tiny_code(1), TEXTURE)


class PlainReader:
    """A GLB reader written from the specification alone, sparse accessors and all."""

    def __init__(self, data: bytes) -> None:
        assert data[:4] == b"glTF" and int.from_bytes(data[8:12], "little") == len(data)
        length = int.from_bytes(data[12:16], "little")
        self.document = json.loads(data[20 : 20 + length])
        self.binary = data[20 + length + 8 :]

    def view(self, number: int, dtype: str, width: int) -> np.ndarray:
        view = self.document["bufferViews"][number]
        start = view.get("byteOffset", 0)
        data = np.frombuffer(self.binary[start : start + view["byteLength"]], dtype)
        return data.reshape(-1, width) if width > 1 else data

    def accessor(self, number: int) -> np.ndarray:
        accessor = self.document["accessors"][number]
        types = {5126: "<f4", 5123: "<u2", 5125: "<u4"}
        width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}[accessor["type"]]
        dtype = types[accessor["componentType"]]
        values = np.zeros((accessor["count"], width), dtype)
        if "bufferView" in accessor:
            values = self.view(accessor["bufferView"], dtype, width)
        if "sparse" in accessor:
            index, value = accessor["sparse"]["indices"], accessor["sparse"]["values"]
            values[self.view(index["bufferView"], types[index["componentType"]], 1)] = self.view(
                value["bufferView"], dtype, width
            )
        if "min" in accessor:
            np.testing.assert_array_equal(values.min(axis=0), np.float32(accessor["min"]))
            np.testing.assert_array_equal(values.max(axis=0), np.float32(accessor["max"]))
        return values

    def posed(self, weights: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Positions and triangles of each primitive."""
        primitives = []
        for primitive in self.document["meshes"][0]["primitives"]:
            positions = self.accessor(primitive["attributes"]["POSITION"]).astype(np.float64)
            for weight, target in zip(weights, primitive["targets"], strict=True):
                positions += weight * self.accessor(target["POSITION"])
            primitives.append((positions, self.accessor(primitive["indices"]).reshape(-1, 3)))
        return primitives


def corner_positions(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(T, 9) corners of the triangles in one order, so that meshes compare whatever their numbering."""
    corners = np.asarray(vertices, np.float64)[triangles].reshape(-1, 9)
    return corners[np.lexsort(corners.round(3).T)]


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_glb_morphs_give_the_models_vertices(weight):
    model, code = tiny_face(), tiny_code(1)
    reader = PlainReader(the_glb())
    for index in (0, 17, 51):
        expression = np.zeros(52)
        expression[index] = weight
        ours = model.vertices(code.identity.astype(float), expression)
        posed = reader.posed(expression)
        theirs = np.concatenate([positions[triangles] for positions, triangles in posed]) * 1000
        wanted = corner_positions(ours, model.triangles)
        found = corner_positions(theirs.reshape(-1, 3), np.arange(theirs.size // 3).reshape(-1, 3))
        np.testing.assert_allclose(found, wanted, atol=1e-3)


@cache
def pca_face() -> MorphableModel:
    """The tiny face with more expressions, of a PCA, some of which make up ARKit's actions."""
    rng, tiny = np.random.default_rng(4), tiny_face()
    components = rng.normal(size=(64, *tiny.identity_mean.shape)).astype(np.float32)
    return replace(
        tiny,
        expression_components=components,
        expression_names=tuple(f"expression{k:03d}" for k in range(64)),
        expression_bounds=(-np.inf, np.inf),
        correspondence=Correspondence(
            vertices=np.zeros((1, 3), np.int32),
            barycentric=np.eye(1, 3, dtype=np.float32),
            weight=np.ones(1, np.float32),
            from_arkit=rng.normal(size=(64, 52)).astype(np.float32),
        ),
    )


def test_glb_of_a_pca_has_its_expression_whole_and_arkit_s_actions():
    model = pca_face()
    code = tiny_code(1).with_(expression=np.random.default_rng(5).normal(size=64).astype(np.float32))
    reader = PlainReader(glb_bytes(model, code, TEXTURE))
    mesh = reader.document["meshes"][0]
    assert mesh["extras"]["targetNames"] == ["expression", *ARKIT_NAMES]
    assert mesh["weights"] == [1.0] + 52 * [0.0]
    at_jaw_open = np.eye(53)[1 + ARKIT_NAMES.index("jawOpen")]
    by_name = model.correspondence.from_arkit[:, ARKIT_NAMES.index("jawOpen")]
    for weights, expression in ((mesh["weights"], code.expression), (at_jaw_open, by_name)):
        posed = reader.posed(weights)
        theirs = np.concatenate([positions[triangles] for positions, triangles in posed]) * 1000
        found = corner_positions(theirs.reshape(-1, 3), np.arange(theirs.size // 3).reshape(-1, 3))
        wanted = corner_positions(model.vertices(code.identity, expression), model.triangles)
        np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_glb_weights_and_names_are_the_codes():
    reader = PlainReader(the_glb())
    mesh = reader.document["meshes"][0]
    np.testing.assert_array_equal(mesh["weights"], tiny_code(1).expression.astype(float))
    assert mesh["extras"]["targetNames"] == list(tiny_face().expression_names)
    positions = np.concatenate([corners[triangles] for corners, triangles in reader.posed(mesh["weights"])])
    wanted = tiny_face().vertices(tiny_code(1).identity, tiny_code(1).expression)
    assert (
        abs(positions.mean(axis=(0, 1)) * 1000 - wanted[tiny_face().triangles].mean(axis=(0, 1))).max() < 1e-3
    )


def test_glb_normals_and_their_targets_are_unit_vectors_at_both_ends():
    reader = PlainReader(the_glb())
    for primitive in reader.document["meshes"][0]["primitives"]:
        normals = reader.accessor(primitive["attributes"]["NORMAL"])
        np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
        for target in primitive["targets"]:
            turned = normals + reader.accessor(target["NORMAL"])
            np.testing.assert_allclose(np.linalg.norm(turned, axis=1), 1, atol=2e-3)


def test_glb_in_trimesh_has_outward_normals_texture_and_the_right_way_up():
    scene = trimesh.load(io.BytesIO(the_glb()), file_type="glb")
    assert sorted(scene.geometry) and len(scene.geometry) == 2
    for mesh in scene.geometry.values():
        assert mesh.visual.material.baseColorTexture.size == (32, 32)
        assert mesh.merge_vertices(merge_tex=True, merge_norm=True) is None
        assert mesh.is_watertight and mesh.volume > 0
    skin = max(scene.geometry.values(), key=lambda mesh: mesh.volume)
    nose = skin.vertices[skin.vertices[:, 2].argmax()]
    assert abs(nose[0]) < 0.02 and 0.15 < np.ptp(skin.vertices[:, 1]) < 0.35  # metres


def test_glb_texture_coordinates_find_the_texel_of_the_models():
    reader = PlainReader(the_glb())
    model = tiny_face()
    uv = np.concatenate(
        [reader.accessor(p["attributes"]["TEXCOORD_0"]) for p in reader.document["meshes"][0]["primitives"]]
    )
    ours = {tuple(row) for row in (model.uv[np.unique(model.uv_triangles)] * [1, -1] + [0, 1]).round(5)}
    assert {tuple(row) for row in uv.astype(float).round(5)} == ours


def test_glb_is_made_of_the_same_bytes_twice():
    assert glb_bytes(tiny_face(), tiny_code(1), TEXTURE) == the_glb()


def test_saved_files_are_the_bytes(tmp_path):
    save_glb(tmp_path / "a.glb", tiny_face(), tiny_code(1), TEXTURE)
    save_ply(tmp_path / "a.ply", tiny_face(), tiny_code(1))
    assert (tmp_path / "a.glb").read_bytes() == the_glb()
    assert (tmp_path / "a.ply").read_bytes() == ply_bytes(tiny_face(), tiny_code(1))


@cache
def khronos_validator() -> Path | None:
    """The folder that npm installed the validator in; None where there is no node or no network."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mien-tests" / "gltf-validator"
    if shutil.which("node") is None or shutil.which("npm") is None:
        return None
    if not (folder / "node_modules" / "gltf-validator").is_dir():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            subprocess.run(
                ["npm", "install", "--no-audit", "--no-fund", "gltf-validator@2.0.0-dev.3.10"],
                cwd=folder, check=True, capture_output=True, timeout=60,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            return None
    return folder


def validate(data: bytes, path: Path) -> dict:
    """The validator's list of issues."""
    folder = khronos_validator()
    if folder is None:
        pytest.skip("the Khronos glTF validator needs node, npm and their registry")
    path.write_bytes(data)
    script = (
        "require('gltf-validator').validateBytes(new Uint8Array(require('fs').readFileSync(process.argv[1])))"
        ".then(report => console.log(JSON.stringify(report.issues)))"
    )
    done = subprocess.run(
        ["node", "-e", script, str(path)], cwd=folder, check=True, capture_output=True, timeout=60
    )
    return json.loads(done.stdout)


def test_khronos_validator_finds_nothing(tmp_path):
    of_pca = glb_bytes(pca_face(), tiny_code(1).with_(expression=np.zeros(64, np.float32)), TEXTURE)
    for data in (the_glb(), of_pca):
        assert validate(data, tmp_path / "a.glb")["messages"] == []


def test_khronos_validator_would_find_something(tmp_path):
    broken = the_glb().replace(b'"metallicFactor":0.0', b'"metallicFactor":7.0')
    assert validate(broken, tmp_path / "a.glb")["numErrors"] > 0


def test_surface_keeps_the_triangles_and_their_texture_coordinates():
    model = tiny_face()
    surface = cut_at_seams(model)
    np.testing.assert_array_equal(surface.vertices[surface.triangles], model.triangles)
    np.testing.assert_array_equal(surface.uv[surface.triangles], model.uv[model.uv_triangles])
    assert len(surface.vertices) > len(model.identity_mean)


def test_obj_comes_back_with_texture(tmp_path):
    model, code = tiny_face(), tiny_code(2)
    written = save_obj(tmp_path / "my face.obj", model, code, TEXTURE)
    assert {path.name for path in written} == {"my face.obj", "my_face.mtl", "my_face.texture.png"}
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in written}
    mesh = trimesh.load(tmp_path / "my face.obj", process=False)
    wanted = corner_positions(model.vertices(code.identity, code.expression), model.triangles)
    np.testing.assert_allclose(corner_positions(mesh.vertices, mesh.faces), wanted, atol=1e-3)
    picture = np.asarray(Image.open(tmp_path / "my_face.texture.png"))
    np.testing.assert_allclose(picture / 255, TEXTURE, atol=0.5 / 255 + 1e-6)
    assert mesh.visual.material.image.size == (32, 32)


def test_obj_is_written_whole_or_not_at_all(tmp_path):
    (tmp_path / "a.obj").mkdir()
    with pytest.raises(CannotWrite, match=r"a\.obj"):
        save_obj(tmp_path / "a.obj", tiny_face(), tiny_code(), TEXTURE)
    assert [path.name for path in tmp_path.iterdir()] == ["a.obj"]


def test_ply_comes_back_with_colours():
    model, code = tiny_face(), tiny_code(3)
    mesh = trimesh.load(io.BytesIO(ply_bytes(model, code)), file_type="ply", process=False)
    wanted = model.refinement(model.vertices(code.identity, code.expression))
    np.testing.assert_allclose(mesh.vertices, wanted, atol=1e-3)
    np.testing.assert_array_equal(mesh.faces, model.refinement.triangles)
    colours = linear_to_srgb(model.albedo(code.albedo))
    np.testing.assert_allclose(mesh.visual.vertex_colors[:, :3] / 255, colours, atol=0.5 / 255 + 1e-6)
