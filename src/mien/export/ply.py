"""PLY: the head in full detail with a colour at every vertex, for measuring and point-cloud programs."""

from __future__ import annotations

import os

import numpy as np

from mien.facecode import FaceCode
from mien.files import write_whole
from mien.image import linear_to_srgb, to_uint8
from mien.morphable import MorphableModel


def save_ply(path: str | os.PathLike, model: MorphableModel, code: FaceCode) -> None:
    """Writes what `ply_bytes` gives, whole or not at all.

    Raises:
        mien.errors.CannotWrite: as `mien.files.write_whole`.
    """
    write_whole(path, ply_bytes(model, code))


def ply_bytes(model: MorphableModel, code: FaceCode) -> bytes:
    """A face as a binary PLY file: the detail mesh, coloured with the code's albedo in 8-bit sRGB.

    The head has the code's identity and expression, in the model frame and millimetres. Vertices keep the
    model's numbers.

    Args:
        model: the morphable model, NumPy.
        code: one face (no batch axes).
    """
    import trimesh

    vertices = model.refinement(model.vertices(np.asarray(code.identity), np.asarray(code.expression)))
    colours = to_uint8(linear_to_srgb(model.albedo(np.asarray(code.albedo))))
    mesh = trimesh.Trimesh(
        vertices,
        model.refinement.triangles,
        vertex_colors=np.concatenate([colours, np.full_like(colours[:, :1], 255)], axis=1),
        process=False,
    )
    return mesh.export(file_type="ply", encoding="binary", vertex_normal=False)
