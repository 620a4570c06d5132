"""GLB (binary glTF 2.0): the neutral head with its expressions as named morph targets, and its texture."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.export.surface import Surface, cut_at_seams
from mien.facecode import ARKIT_NAMES, FaceCode
from mien.files import write_whole
from mien.image import jpeg_bytes
from mien.mesh import incident_triangles, vertex_normals
from mien.morphable import MorphableModel

if TYPE_CHECKING:
    import pygltflib as gltf

WHOLE_EXPRESSION = "expression"
"""Name of the morph target that is all of a PCA model's expression."""

_METRES_PER_MM = 1e-3
_STILL_MM = 1e-4  # a vertex that a target moves less stays: ten such errors add up to a micrometre
_STILL_NORMAL = 5e-3  # radians
_FLOAT, _USHORT, _UINT = 5126, 5123, 5125
_VERTEX_DATA, _INDEX_DATA = 34962, 34963


@dataclass(frozen=True)
class _Material:
    """How one kind of surface reflects, and the model's parts that are of it; other parts are skin."""

    name: str
    roughness: float
    parts: tuple[str, ...] = ()


_SKIN = _Material("skin", 0.7)
_MATERIALS = (
    _SKIN,
    _Material("eyes", 0.15, ("eye_left", "eye_right")),
    _Material("mouth", 0.35, ("teeth_upper", "teeth_lower", "tongue")),
)


def save_glb(path: str | os.PathLike, model: MorphableModel, code: FaceCode, texture: np.ndarray) -> None:
    """Writes what `glb_bytes` gives, whole or not at all.

    Raises:
        mien.errors.CannotWrite: as `mien.files.write_whole`.
    """
    write_whole(path, glb_bytes(model, code, texture))


def glb_bytes(model: MorphableModel, code: FaceCode, texture: np.ndarray) -> bytes:
    """A face as a GLB file that Blender, Unity, Unreal and three.js open.

    The head stands unposed in glTF's frame, which is the model's in metres: y up, face toward +z. Its
    geometry is the identity without expression; each of the model's expressions is a morph target, named in
    `mesh.extras.targetNames` as these programs look for it, and the code's expression is `mesh.weights`.
    The components of a PCA, many and without meaning, are left out: of such a model the targets are the
    code's expression as a whole, at weight 1, and ARKit's 52 actions as the model can do them.
    Targets carry normals too, or a smile would be lit like a neutral face; they are stored sparsely, because
    most move a small part of the head. The texture is a JPEG: a PNG of a photograph would be several times
    larger.

    Args:
        model: the morphable model, NumPy.
        code: one face (no batch axes).
        texture: (H, W, 3) float, sRGB in [0, 1], first row at v = 1.

    Returns:
        the bytes of the file; the same input gives the same bytes.
    """
    import pygltflib as gltf

    names, expressions, weights = _expressions(model, code)
    neutral = model.vertices(np.asarray(code.identity), np.zeros(model.layout.expression))
    incident = incident_triangles(model.triangles, len(neutral))
    normals = vertex_normals(neutral, model.triangles, incident)
    targets = [(d, vertex_normals(neutral + d, model.triangles, incident) - normals) for d in expressions]

    name = f"{model.name} face"
    document = gltf.GLTF2(
        asset=gltf.Asset(version="2.0", generator=f"mien {version('mien')}"),
        scene=0,
        scenes=[gltf.Scene(nodes=[0])],
        nodes=[gltf.Node(name=name, mesh=0)],
        meshes=[
            gltf.Mesh(
                name=name,
                weights=[float(weight) for weight in weights],
                extras={"targetNames": list(names)},
            )
        ],
        textures=[gltf.Texture(sampler=0, source=0)],
        samplers=[gltf.Sampler(magFilter=9729, minFilter=9987, wrapS=33071, wrapT=33071)],
    )
    data = _Data(document)
    document.images = [
        gltf.Image(name="face", bufferView=data.view(jpeg_bytes(texture)), mimeType="image/jpeg")
    ]
    for material, triangles in _surfaces(model):
        surface = cut_at_seams(model, triangles)
        document.meshes[0].primitives.append(
            _primitive(data, surface, neutral, normals, targets, len(document.materials))
        )
        document.materials.append(
            gltf.Material(
                name=material.name,
                pbrMetallicRoughness=gltf.PbrMetallicRoughness(
                    baseColorTexture=gltf.TextureInfo(index=0),
                    metallicFactor=0.0,
                    roughnessFactor=material.roughness,
                ),
                alphaCutoff=None,
            )
        )
    document.buffers = [gltf.Buffer(byteLength=len(data.bytes))]
    document.set_binary_blob(bytes(data.bytes))
    return b"".join(document.save_to_bytes())


def _expressions(model: MorphableModel, code: FaceCode) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names of the morph targets, (T, V, 3) mm that they move, and (T,) weights."""
    own = model.expression_components
    if model.correspondence is None or np.isfinite(model.expression_bounds[1]):
        return model.expression_names, own, np.asarray(code.expression)
    coefficients = np.vstack([code.expression, model.correspondence.from_arkit.T])
    moved = np.tensordot(coefficients.astype(np.float32), own, 1)
    return (WHOLE_EXPRESSION, *ARKIT_NAMES), moved, np.eye(1, len(moved))[0]


def _surfaces(model: MorphableModel) -> list[tuple[_Material, np.ndarray]]:
    """Each material in use and the numbers of its triangles."""
    material_of = {part: material for material in _MATERIALS for part in material.parts}
    of_part = [_MATERIALS.index(material_of.get(part, _SKIN)) for part in model.part_names]
    of_triangle = np.asarray(of_part)[model.part[model.triangles[:, 0]]]
    return [(_MATERIALS[i], np.flatnonzero(of_triangle == i)) for i in np.unique(of_triangle)]


def _primitive(data: _Data, surface: Surface, neutral: Any, normals: Any, targets: Any, material: int) -> Any:
    import pygltflib as gltf

    take = surface.vertices
    uv = np.stack([surface.uv[:, 0], 1.0 - surface.uv[:, 1]], axis=-1)  # glTF's v points down
    return gltf.Primitive(
        attributes=gltf.Attributes(
            POSITION=data.vertex_data(neutral[take] * _METRES_PER_MM, bounds=True),
            NORMAL=data.vertex_data(normals[take]),
            TEXCOORD_0=data.vertex_data(uv),
        ),
        indices=data.indices(surface.triangles),
        material=material,
        targets=[
            {
                "POSITION": data.deltas(
                    moved[take] * _METRES_PER_MM, _STILL_MM * _METRES_PER_MM, bounds=True
                ),
                "NORMAL": data.deltas(turned[take], _STILL_NORMAL),
            }
            for moved, turned in targets
        ],
    )


@dataclass
class _Data:
    """The buffer of the file under construction, and the document that refers to it."""

    document: gltf.GLTF2
    bytes: bytearray = field(default_factory=bytearray)
    still: dict[tuple[int, bool], int] = field(default_factory=dict)

    def view(self, content: Any, target: int | None = None) -> int:
        """Appends bytes or an array, and gives the number of their buffer view."""
        import pygltflib as gltf

        content = content if isinstance(content, bytes) else np.ascontiguousarray(content).tobytes()
        self.document.bufferViews.append(
            gltf.BufferView(buffer=0, byteOffset=len(self.bytes), byteLength=len(content), target=target)
        )
        self.bytes += content + bytes(-len(content) % 4)
        return len(self.document.bufferViews) - 1

    def vertex_data(self, values: np.ndarray, bounds: bool = False) -> int:
        """Accessor of (N, C) floats."""
        values = values.astype(np.float32)
        return self._accessor(values, bounds, bufferView=self.view(values, _VERTEX_DATA))

    def indices(self, triangles: np.ndarray) -> int:
        """Accessor of the triangles' corners, in 16 bits where they suffice."""
        import pygltflib as gltf

        numbers, component = _smallest(triangles.ravel())
        view = self.view(numbers, _INDEX_DATA)
        self.document.accessors.append(
            gltf.Accessor(bufferView=view, componentType=component, count=numbers.size, type="SCALAR")
        )
        return len(self.document.accessors) - 1

    def deltas(self, values: np.ndarray, threshold: float, bounds: bool = False) -> int:
        """Accessor of (N, 3) floats, most of which may be below the threshold: sparse where that is smaller.

        Where none is above it, all share one plain accessor of zeros.
        """
        import pygltflib as gltf

        rows = np.flatnonzero(np.linalg.norm(values, axis=-1) > threshold)
        if len(rows) == 0:
            key = (len(values), bounds)
            if key not in self.still:
                self.still[key] = self.vertex_data(np.zeros_like(values), bounds)
            return self.still[key]
        numbers, component = _smallest(rows)
        if len(rows) * (12 + numbers.itemsize) >= values.size * 4:
            return self.vertex_data(values, bounds)
        moved = values[rows].astype(np.float32)
        sparse = gltf.Sparse(
            count=len(rows),
            indices=gltf.AccessorSparseIndices(bufferView=self.view(numbers), componentType=component),
            values=gltf.AccessorSparseValues(bufferView=self.view(moved)),
        )
        full = np.zeros(values.shape, np.float32)
        full[rows] = moved
        return self._accessor(full, bounds, byteOffset=None, sparse=sparse)  # no view, no offset

    def _accessor(self, values: np.ndarray, bounds: bool, **source: Any) -> int:
        import pygltflib as gltf

        accessor = gltf.Accessor(
            componentType=_FLOAT,
            count=len(values),
            type=f"VEC{values.shape[1]}",
            min=values.min(axis=0).tolist() if bounds else None,
            max=values.max(axis=0).tolist() if bounds else None,
            **source,
        )
        self.document.accessors.append(accessor)
        return len(self.document.accessors) - 1


def _smallest(numbers: np.ndarray) -> tuple[np.ndarray, int]:
    """The numbers in 16 bits if they fit below glTF's reserved 65,535, else in 32, and glTF's name for it."""
    return (
        (numbers.astype(np.uint16), _USHORT) if numbers.max() < 65535 else (numbers.astype(np.uint32), _UINT)
    )
