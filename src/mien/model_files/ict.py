"""ICT-FaceKit's `FaceXModel`: a folder of OBJ files in centimetres, or an archive of it.

R. Li, K. Bladin, Y. Zhao et al., "Learning Formation of Physically-Based Face Attributes", CVPR 2020. The
neutral head, 100 heads one standard deviation along an identity mode each, and a head for each expression,
all of one topology. Tear film, lashes and the shadows over the eyes are translucent and are left out. All
of it is checked on the published files.
"""

from __future__ import annotations

import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mien.errors import BadModelFile
from mien.facecode import ARKIT_NAMES
from mien.model_files.published import PublishedModel, check_size, checked, triangles_of, unreadable

NEUTRAL = "generic_neutral_mesh"
PARTS = {
    "skin": slice(0, 11248),
    "mouth": slice(11248, 13294),
    "sockets": slice(13294, 14062),
    "tongue": slice(14062, 17039),
    "teeth_upper": slice(17039, 19247),
    "teeth_lower": slice(19247, 21451),
    "eye_left": slice(21451, 23021),
    "eye_right": slice(23021, 24591),
}
"""Vertices of each opaque part, from the tables of ICT's README; `tongue` has the gums too."""
COUNT = 24591
"""Vertices of the opaque parts, which come first."""
_ALL = 26719
_TILES = {
    "M_Face": (0.0, 0.25, 0.75),
    "M_BackHead": (0.75, 0.75, 0.25),
    "M_GumsTongue": (0.75, 0.5, 0.25),
    "M_Teeth": (0.75, 0.25, 0.25),
    "M_ScleraLeft": (0.0, 0.0, 0.25),
    "M_IrisLeft": (0.25, 0.0, 0.25),
    "M_ScleraRight": (0.5, 0.0, 0.25),
    "M_IrisRight": (0.75, 0.0, 0.25),
}
"""Corner and side of each opaque material's square in the texture."""
_IDENTITY = re.compile(r"identity(\d{3})")
_MM = 10.0
_LARGEST = 1 << 26
"""Bytes of one OBJ file in an archive; ICT's have 3 MB."""


def read_ict(path: Path) -> PublishedModel:
    """The model in the folder `FaceXModel`, in a folder that has it, or in a tar archive of it.

    Raises:
        BadModelFile: a file is missing, is no OBJ file, or has another number of vertices.
    """
    shapes, mesh = {}, None
    for name, text in _objects(path):
        stem = Path(name).stem
        if stem == NEUTRAL:
            mesh = text
        elif not (_IDENTITY.fullmatch(stem) or arkit_name(stem)):
            continue
        shapes[stem] = _positions(Path(name), text)
    if mesh is None:
        raise BadModelFile(f"{path}: has no {NEUTRAL}.obj; name ICT-FaceKit's folder FaceXModel")
    neutral = shapes.pop(NEUTRAL)
    identity = sorted(name for name in shapes if _IDENTITY.fullmatch(name))
    if identity != [f"identity{k:03d}" for k in range(len(identity))] or not identity:
        raise BadModelFile(f"{path}: the files identity000.obj and following are not all there")
    files = {arkit_name(name): name for name in sorted(shapes) if name not in identity}
    missing = [name for name in ARKIT_NAMES if name != "tongueOut" and not _halves(name, files)]
    if missing:
        raise BadModelFile(f"{path}: has no OBJ file for {', '.join(missing[:5])}; get the whole folder")

    def displacement(names: list[str]) -> np.ndarray:
        return np.stack([_MM * (shapes[name] - neutral) for name in names]).astype(np.float32)

    check_size(path, NEUTRAL, _MM * neutral, "centimetres")
    triangles, uv, uv_triangles = _surface(path, mesh, neutral)
    part = np.zeros(COUNT, np.int32)
    for number, vertices in enumerate(PARTS.values()):
        part[vertices] = number
    names = list(files)
    return PublishedModel(
        mean=_MM * neutral,
        identity=displacement(identity),
        expression=displacement(list(files.values())),
        expression_names=tuple(names),
        expression_bounds=(0.0, 1.0),
        triangles=triangles,
        part=part,
        part_names=tuple(PARTS),
        uv=uv,
        uv_triangles=uv_triangles,
        from_arkit=np.array(
            [[name in _halves(action, files) for action in ARKIT_NAMES] for name in names], float
        ),
        remarks=("tear film, lashes and eye shadows (translucent) are left out",),
    )


def arkit_name(stem: str) -> str | None:
    """The name of an expression's file as ARKit writes it, `_L` as `Left`; None for another file."""
    name = re.sub("_R$", "Right", re.sub("_L$", "Left", stem))
    known = {*ARKIT_NAMES, "cheekRaiserLeft", "cheekRaiserRight"}
    halves = {name.removesuffix("Left").removesuffix("Right")}
    return name if name in known or halves & known else None


def _halves(action: str, names: dict[str, str]) -> list[str]:
    """The expressions that make up an ARKit action: itself, or its halves where ICT has these."""
    if action in names:
        return [action]
    return [name for name in (f"{action}Left", f"{action}Right") if name in names]


def _objects(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each OBJ file."""
    try:
        if path.is_dir():
            home = path if (path / f"{NEUTRAL}.obj").is_file() else path / "FaceXModel"
            for file in sorted(home.glob("*.obj")):
                yield str(file), file.read_bytes()
        else:
            with tarfile.open(path) as tar:
                for member in tar:
                    if member.isfile() and member.name.endswith(".obj"):
                        if member.size > _LARGEST:
                            raise BadModelFile(
                                f"{path}: {member.name} has {member.size:,} bytes, expected at most "
                                f"{_LARGEST:,}; is it ICT-FaceKit's archive?"
                            )
                        yield f"{path}/{member.name}", tar.extractfile(member).read()
    except (OSError, EOFError, tarfile.TarError, lzma.LZMAError, zlib.error) as error:
        raise unreadable(path, error, "ICT-FaceKit's folder FaceXModel, or a tar archive of it") from error


def _positions(file: Path, text: bytes) -> np.ndarray:
    """(COUNT, 3) centimetres."""
    rows = [line[2:] for line in text.splitlines() if line.startswith(b"v ")]
    if len(rows) != _ALL:
        raise BadModelFile(
            f"{file}: has {len(rows)} vertices, expected {_ALL} as in ICT-FaceKit's other files"
        )
    try:
        positions = np.loadtxt(io.BytesIO(b"\n".join(rows[:COUNT])), usecols=(0, 1, 2), comments=None)
    except ValueError as error:
        raise unreadable(file, error, "an OBJ file of vertices with three numbers") from error
    return checked(file, "its vertex list", positions, COUNT, 3)


def _surface(path: Path, text: bytes, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Triangles of the opaque parts, their texture coordinates, and the rows of these at their corners.

    Each material of ICT's fills a square of its own; here the squares share one texture.
    """
    uv, corners, material = [], [], ""
    try:
        for line in text.splitlines():
            if line.startswith(b"vt "):
                uv.append(line.split()[1:3])
            elif line.startswith(b"usemtl "):
                material = line.split()[1].decode()
            elif line.startswith(b"f ") and material in _TILES:
                tile = list(_TILES).index(material)
                corner = [(*map(int, c.split(b"/")[:2]), tile) for c in line.split()[1:]]
                corners += [[corner[0], corner[k], corner[k + 1]] for k in range(1, len(corner) - 1)]
        corners = np.array(corners)
        used, rows = np.unique(corners[..., 1:].reshape(-1, 2), axis=0, return_inverse=True)
        tiles = np.array(list(_TILES.values()))[used[:, 1]]
        square = np.array(uv, np.float64)[used[:, 0] - 1]
        square -= [1, 0] * np.floor(square)
    except (ValueError, IndexError) as error:
        raise unreadable(path, error, f"{NEUTRAL}.obj with materials and texture coordinates") from error
    place = tiles[:, :2] + tiles[:, 2:] * square
    triangles = triangles_of(path, f"{NEUTRAL}.obj", corners[..., 0], vertices, first=1)
    rows = rows.reshape(-1, 3)
    turned = triangles[0, 0] != corners[0, 0, 0] - 1
    return (
        triangles,
        place.astype(np.float32),
        np.ascontiguousarray(rows[:, ::-1] if turned else rows, np.int32),
    )
