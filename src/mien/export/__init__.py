"""Writers of 3D files: GLB with morph targets and texture, OBJ, PLY."""

from mien.export.glb import glb_bytes, save_glb
from mien.export.obj import save_obj
from mien.export.ply import ply_bytes, save_ply

__all__ = ["glb_bytes", "ply_bytes", "save_glb", "save_obj", "save_ply"]
