"""Wavefront OBJ: the posed head with its texture, for programs that read nothing newer."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np

from mien.errors import CannotWrite
from mien.export.surface import cut_at_seams
from mien.facecode import FaceCode
from mien.files import write_whole
from mien.image import to_uint8
from mien.morphable import MorphableModel


def save_obj(
    path: str | os.PathLike, model: MorphableModel, code: FaceCode, texture: np.ndarray
) -> tuple[Path, ...]:
    """Writes a face as `NAME.obj`, with `NAME.mtl` and `NAME.texture.png` beside it: all of them or none.

    The head has the code's identity and expression, in the model frame and millimetres.

    Args:
        path: of the .obj file.
        model: the morphable model, NumPy.
        code: one face (no batch axes).
        texture: (H, W, 3) float, sRGB in [0, 1], first row at v = 1.

    Returns:
        the files written.

    Raises:
        mien.errors.CannotWrite: as `mien.files.write_whole`.
    """
    path = Path(path)
    files = obj_files(path.stem, model, code, texture)
    written = {path.with_name(name): data for name, data in files.items() if name != f"{path.stem}.obj"}
    written[path] = files[f"{path.stem}.obj"]  # last, so that it never names a file that is not there
    new = [file for file in written if not file.exists()]
    try:
        for file, data in written.items():
            write_whole(file, data)
    except CannotWrite:
        for file in new:
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
        raise
    return tuple(written)


def obj_files(name: str, model: MorphableModel, code: FaceCode, texture: np.ndarray) -> dict[str, bytes]:
    """The files of `save_obj` by name; spaces in the names of material and texture become underscores."""
    import trimesh
    from PIL import Image
    from trimesh.exchange.obj import export_obj

    surface = cut_at_seams(model)
    vertices = model.vertices(np.asarray(code.identity), np.asarray(code.expression))[surface.vertices]
    plain = "_".join(name.split())  # many readers end a file name at the first space
    material = trimesh.visual.material.SimpleMaterial(
        image=Image.fromarray(to_uint8(texture)),
        name=f"{plain}.texture",
        ambient=[255, 255, 255],
        diffuse=[255, 255, 255],
        specular=[0, 0, 0],
        glossiness=1.0,
    )
    mesh = trimesh.Trimesh(
        vertices,
        surface.triangles,
        visual=trimesh.visual.TextureVisuals(uv=surface.uv, material=material),
        process=False,
    )
    text, beside = export_obj(
        mesh,
        include_normals=False,
        return_texture=True,
        digits=5,
        mtl_name=f"{plain}.mtl",
        header="made with mien; millimetres, y up",
    )
    return {**beside, f"{name}.obj": text.encode()}
